"""What is wrong with the parameters of an agent."""

from typing import TYPE_CHECKING

from skrl.base import Policy, QFunction, Runner
from skrl.limits import check_count, check_flag, check_number

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
    check_number("discount_factor", agent.discount_factor, least=0, most=1)
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
    if agent.evaluation_ratio is not None:
        check_number("evaluation_ratio", agent.evaluation_ratio, is_positive=True)
    if agent.reward_threshold is not None:
        check_number("reward_threshold", agent.reward_threshold)
    for name in ("early_stopping", "warm_start"):
        check_flag(name, getattr(agent, name))
