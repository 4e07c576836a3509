"""What is wrong with the parameters of an agent."""

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from skrl.base import Policy, QFunction, Runner

if TYPE_CHECKING:
    from skrl.agent import QLearningAgent

_EXAMPLES = {"qfunction": "DQN()", "policy": "EpsilonGreedy()", "runner": "ExperienceReplay()"}


def check_parameters(agent: "QLearningAgent") -> None:
    """Raise a TypeError or ValueError if a parameter of an agent is invalid."""
    for name, interface in (("qfunction", QFunction), ("policy", Policy), ("runner", Runner)):
        part = getattr(agent, name)
        if part is not None and not isinstance(part, interface):
            raise TypeError(
                f"{name} must be a {interface.__name__} or None, got {part!r}. "
                f"Give an instance, such as {name}={_EXAMPLES[name]}."
            )
    if not isinstance(agent.discount_factor, Real) or not 0 <= agent.discount_factor <= 1:
        raise ValueError(f"discount_factor must be in [0, 1], got {agent.discount_factor!r}.")
    for name in ("n_steps", "n_episodes"):
        check_count(name, getattr(agent, name), least=1, is_optional=True)
    for name, least in (("n_iter_no_change", 1), ("n_evaluations", 0)):
        check_count(name, getattr(agent, name), least)
    check_count(
        "n_evaluation_episodes",
        agent.n_evaluation_episodes,
        least=1,
        hint=" n_evaluations=0 turns evaluation off.",
    )
    ratio = agent.evaluation_ratio
    if ratio is not None and not (isinstance(ratio, Real) and ratio > 0):
        raise ValueError(f"evaluation_ratio must be positive or None, got {ratio!r}.")


def check_count(
    name: str, value: Any, least: int, is_optional: bool = False, hint: str = ""
) -> None:
    """Raise a TypeError or ValueError unless `value` is an integer of at least `least`."""
    if value is None and is_optional:
        return
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}.{hint}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}.{hint}")
