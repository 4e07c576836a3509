"""What the records of an `Examination` say about an environment: the rules of `skrl.diagnose`."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float64

from skrl.environments.examination import MAX_EXAMPLES, Examination

# Sizes of an observation's components that are unusual: the largest, and the ratio of two.
LARGE_OBSERVATION, LARGE_RATIO = 1e4, 1e3
LARGE_REWARD, SMALL_REWARD = 1e3, 1e-3
# Shorter episodes may well have the same length by nature: a game of three rounds.
MIN_LENGTH_OF_TIME_LIMIT = 10
# Less is not enough to say that something never happens.
MIN_STEPS = 100
# Fewer episodes of a policy may be luck.
MIN_EPISODES = 3

ADVICE = {
    "observation-shape": "Make reset and step return what observation_space says, or correct it.",
    "observation-dtype": "Return the dtype of the space: GymEnvironment converts the observation "
    "to it, which may lose digits.",
    "observation-not-finite": "Look for a division by zero or a logarithm of zero: a network that "
    "learns from NaN once is lost.",
    "observation-outside": "Widen the bounds of observation_space, or clip the observation: "
    "encodings rely on the bounds.",
    "seed-ignored": "Call super().reset(seed=seed) in reset, and draw all random numbers from "
    "self.np_random.",
    "not-deterministic": "Draw all random numbers from self.np_random, and set everything back in "
    "reset. (If it cannot be helped, register the environment with nondeterministic=True.)",
}


@dataclass(frozen=True)
class Finding:
    """Something that `skrl.diagnose` noticed.

    Parameters
    ----------
    code : str
        A short name that stays the same, see `skrl.diagnose`.
    level : {"warning", "note"}
        A warning is a fault, or makes learning difficult. A note is good to know.
    message : str
        What was noticed.
    advice : str
        What to do.

    Examples
    --------
    >>> from skrl.environments import Finding
    >>> print(Finding("reward-scale", "warning", "A reward is 1e+06.", "Divide the rewards."))
    warning [reward-scale] A reward is 1e+06. Divide the rewards.
    """

    code: str
    level: Literal["warning", "note"]
    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.level} [{self.code}] {self.message} {self.advice}"


def find_all(examination: Examination, has_time_limit: bool) -> tuple[Finding, ...]:
    """Judge what was recorded.

    Parameters
    ----------
    examination : Examination
        One that has been run.
    has_time_limit : bool
        Whether all episodes are known to be cut off.

    Returns
    -------
    tuple of Finding
        Warnings first.
    """
    found = chain(
        _errors(examination),
        _faults(examination),
        _observation_scale(examination),
        _observations_over_time(examination),
        _reward_scale(examination),
        _rewards_alike(examination),
        _ends(examination, has_time_limit),
        _actions(examination),
    )
    return tuple(sorted(found, key=lambda finding: finding.level == "note"))


def _warning(code: str, message: str, advice: str = "") -> Finding:
    return Finding(code, "warning", message, advice or ADVICE[code])


def _errors(examination: Examination) -> Iterator[Finding]:
    for error, call in list(examination.errors.items())[:3]:
        yield _warning(
            "error", f"{call} raised {error}.", "Correct the environment: training stops there."
        )
    if examination.mask_fault is not None:
        yield _warning(
            "action-mask",
            examination.mask_fault,
            "Give a mask in the info of every reset and step, or none at all.",
        )


def _faults(examination: Examination) -> Iterator[Finding]:
    """Observations that are not elements of their space, and seeds."""
    layout, n = examination.layout, examination.n_observations
    for code, fault in examination.faults.items():
        yield _warning(code, f"{_list(fault.examples)} (in {fault.count:,} of {n:,} observations).")
    if examination.n_outside:
        low, high = examination.lowest, examination.highest
        examples = {}
        for i in np.flatnonzero((low < layout.low) | (high > layout.high))[:MAX_EXAMPLES].tolist():
            examples[layout.name(i)] = (
                f"goes from {low[i]:.6g} to {high[i]:.6g}, the space says {layout.low[i]:.6g} to "
                f"{layout.high[i]:.6g}"
            )
        share = f"(in {examination.n_outside:,} of {n:,} observations)"
        yield _warning("observation-outside", f"{_list(examples)} {share}.")
    if examination.seed_fault is not None:
        yield _warning(*examination.seed_fault)


def _list(examples: dict[str, str]) -> str:
    return "; ".join(f"{name} {text}" for name, text in examples.items())


def _observation_scale(examination: Examination) -> Iterator[Finding]:
    layout = examination.layout
    sizes = np.maximum(np.abs(examination.lowest), np.abs(examination.highest))
    # Other components are one-hot encoded, or images, which are divided by 255.
    is_scaled = np.concatenate([_has_units(part.space) for part in layout.parts])
    compared = np.flatnonzero(is_scaled & np.isfinite(sizes) & (sizes > 0))
    if not len(compared):
        return
    smallest, largest = (int(compared[i]) for i in np.argsort(sizes[compared])[[0, -1]])
    ratio = sizes[largest] / sizes[smallest]
    message = f"The size of {layout.name(largest)} is up to {sizes[largest]:.3g}"
    if ratio > LARGE_RATIO:
        message += f", that of {layout.name(smallest)} at most {sizes[smallest]:.3g}"
    elif sizes[largest] <= LARGE_OBSERVATION:
        return
    yield _warning(
        "observation-scale",
        f"{message}.",
        "DQN(scale_states=True), the default, standardizes each component. RegressorQFunction does "
        "not, nor does DQN(scale_states=False): change the units with "
        "gymnasium.wrappers.TransformObservation.",
    )


def _has_units(space: spaces.Space[object]) -> Bool[np.ndarray, " size"]:
    size = int(np.prod(space.shape or (), dtype=np.int64))
    return np.full(size, isinstance(space, spaces.Box) and space.dtype != np.uint8)


def _observations_over_time(examination: Examination) -> Iterator[Finding]:
    layout, n = examination.layout, examination.n_observations
    if examination.n_overwritten:
        yield _warning(
            "observation-overwritten",
            f"{examination.n_overwritten:,} of {n:,} observations changed after they had been "
            "returned, because the environment writes to the same array again.",
            "Return a copy, observation.copy(). GymEnvironment copies it, but other code that "
            "keeps observations learns from wrong ones.",
        )
    is_constant = n == examination.n_finite and (examination.lowest == examination.highest).all()
    if is_constant and n >= MIN_STEPS and (layout.low < layout.high).any():
        yield _warning(
            "observation-constant",
            f"All {n:,} observations are equal.",
            "Check that step returns the new observation: no policy can tell the states apart.",
        )


def _reward_scale(examination: Examination) -> Iterator[Finding]:
    rewards = np.array(examination.rewards)
    is_finite = np.isfinite(rewards)
    if not is_finite.all():
        yield _warning(
            "reward-not-finite",
            f"{np.count_nonzero(~is_finite):,} of {len(rewards):,} rewards are not finite; the "
            f"first is {rewards[~is_finite][0]}.",
            "Look for a division by zero or a logarithm of zero in step.",
        )
    largest = np.abs(rewards[is_finite]).max(initial=0)
    if largest > LARGE_REWARD:
        yield _warning(
            "reward-scale",
            f"The largest reward has the size {largest:.3g}.",
            "The Huber loss of DQN limits each step towards such values: divide the rewards, so "
            "that most are between -1 and 1, with gymnasium.wrappers.TransformReward.",
        )
    elif 0 < largest < SMALL_REWARD:
        yield _warning(
            "reward-scale",
            f"The largest reward has the size {largest:.3g}.",
            "The values disappear in the errors of a network: multiply the rewards, so that they "
            "are around 1, with gymnasium.wrappers.TransformReward, or raise the learning rate.",
        )


def _rewards_alike(examination: Examination) -> Iterator[Finding]:
    rewards = np.array(examination.rewards)
    if len(rewards) < MIN_STEPS or rewards.min() != rewards.max() or examination.errors:
        return
    if rewards[0] == 0:
        yield _warning(
            "reward-never-seen",
            f"The reward is 0 in all {len(rewards):,} steps.",
            "Single random actions will not find it: explore with SegmentedEpsilonGreedy, make the "
            "task easier at first, or reward steps on the way. (If it is very rare, raise n_steps "
            "here, to see it at all.)",
        )
        return
    played = [examination.random, *examination.constant.values()]
    returns = [value for episodes in played for value in episodes.returns]
    is_terminated = any(any(episodes.terminated) for episodes in played)
    if len(returns) > 1 and not is_terminated and min(returns) == max(returns):
        yield Finding(
            "episodes-alike",
            "note",
            f"The reward is {rewards[0]:.6g} in every step, and no episode terminated: all "
            f"{len(returns):,} returns are {returns[0]:.6g}.",
            "The agent learns something only where it reaches an end: if it does not, explore with "
            "SegmentedEpsilonGreedy.",
        )


def _ends(examination: Examination, has_time_limit: bool) -> Iterator[Finding]:
    random = examination.random
    lengths, terminated = np.array(random.lengths), np.array(random.terminated, dtype=bool)
    if not len(lengths):
        if not (has_time_limit or examination.errors):
            yield _warning(
                "no-end",
                f"No episode ended within {random.n_steps:,} random steps, and no time limit is "
                "known.",
                "Add one: gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000).",
            )
        return
    longest = int(lengths.max())
    n_at_limit = int(np.count_nonzero((lengths == longest) & terminated))
    n_long = int(np.count_nonzero(lengths > longest / 2))
    is_suspicious = longest >= MIN_LENGTH_OF_TIME_LIMIT and n_at_limit >= max(
        MIN_EPISODES, n_long / 2
    )
    if is_suspicious and not _tells_time(examination, longest):
        yield _warning(
            "time-limit-terminates",
            f"{n_at_limit:,} of {len(lengths):,} random episodes terminated after exactly "
            f"{longest:,} steps, and none is longer.",
            "If that is a time limit, return truncated=True instead of terminated=True: what "
            "would have come later has a value (Pardo et al., 2018). Or else put the time left "
            "into the observation.",
        )
    endless = [
        action
        for action, episodes in examination.constant.items()
        if not episodes.lengths and episodes.n_steps > longest
    ]
    if endless and not has_time_limit and not examination.errors:
        yield Finding(
            "constant-policy-never-ends",
            "note",
            f"No time limit is known, and no episode ends if the action is always {endless[0]}.",
            "A greedy policy may do the same: add gymnasium.wrappers.TimeLimit.",
        )


def _tells_time(examination: Examination, length: int) -> bool:
    """Whether the observation tells how many steps of the episode have been taken."""
    trails = [trail for trail in examination.trails if len(trail) == length + 1]
    if len(trails) < 2:
        return False
    observations = np.concatenate(trails)
    times = np.tile(np.arange(length + 1.0), len(trails))
    if all(isinstance(part.space, spaces.Discrete) for part in examination.layout.parts):
        return _has_one_time_each(observations, times)
    # Few steps could be told from many numbers by chance.
    if len(times) < 4 * (observations.shape[1] + 1) or not np.isfinite(observations).all():
        return False
    inputs = np.column_stack([observations, np.ones(len(times))])
    weights = np.linalg.lstsq(inputs, times)[0]
    return bool(np.abs(inputs @ weights - times).max() < 0.5)


def _has_one_time_each(
    observations: Float64[np.ndarray, "m size"], times: Float64[np.ndarray, " m"]
) -> bool:
    """Whether equal observations come only at equal times."""
    with_times = np.column_stack([observations, times])
    return len(np.unique(observations, axis=0)) == len(np.unique(with_times, axis=0))


def _actions(examination: Examination) -> Iterator[Finding]:
    taken, effects = examination.n_taken, examination.n_effects
    without = np.flatnonzero((taken >= MIN_STEPS) & (effects == 0))
    if len(without) and effects.any():
        yield Finding(
            "action-without-effect",
            "note",
            f"Action {without[0]} never changed the observation ({taken[without[0]]:,} random "
            "steps).",
            "If it is not meant to do nothing, look into step.",
        )
    random = examination.random.returns
    played = examination.constant.items()
    constant = {a: e.returns for a, e in played if len(e.returns) >= MIN_EPISODES}
    if not (random and constant and np.isfinite(examination.rewards).all()):
        return
    means = {action: np.mean(returns) for action, returns in constant.items()}
    best = max(means, key=lambda action: means[action])
    mean, deviation = np.mean(random), np.std(random)
    if means[best] > mean + 2 * deviation:
        yield Finding(
            "constant-policy",
            "note",
            f"Always choosing action {best} has the mean return {means[best]:.4g}, the random "
            f"policy {mean:.4g}.",
            "Compare an agent with that: it has learned more only if it is better.",
        )
