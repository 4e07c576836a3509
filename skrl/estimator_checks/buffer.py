"""Checks of a replay buffer: the contracts of `skrl.runners.Buffer`."""

from collections.abc import Mapping

import numpy as np
from sklearn.base import clone

from skrl.base import Transitions
from skrl.estimator_checks.expectations import expect, expect_error, expect_same, twice
from skrl.estimator_checks.running import Check, run_checks
from skrl.runners import Buffer

N_STEPS = 60
DISCOUNT_FACTOR = 0.9
# K batches of B transitions each.
K, B = 3, 16


def check_buffer(
    buffer: Buffer, *, expected_failed_checks: Mapping[str, str] | None = None
) -> None:
    """Check that a replay buffer keeps the contracts of `Buffer`.

    Run it on your own buffers, in a test. It must have room for 120 transitions.

    Parameters
    ----------
    buffer : Buffer
        It is left as it is: clones are filled.
    expected_failed_checks : dict of str to str, or None
        Names of checks that it fails on purpose, each with the reason.

    Raises
    ------
    TypeError
        If it is not a buffer.
    AssertionError
        If it breaks a contract: the message says which one, what came and what was expected.

    Examples
    --------
    >>> from skrl import ReplayBuffer
    >>> from skrl.estimator_checks import check_buffer
    >>> check_buffer(ReplayBuffer(capacity=500))
    """
    run_checks(buffer, Buffer, BUFFER_CHECKS, expected_failed_checks=expected_failed_checks)


def walk(first: int) -> list[Transitions]:
    """The steps of two environments: state i leads to i + 1 and earns i; every tenth ends."""
    steps = []
    for i in range(first, first + N_STEPS // 2):
        states = np.array([i, 1000 + i])
        terminated = np.full(2, i % 10 == 9)
        steps.append(
            Transitions(
                states=states,
                actions=states % 3,
                rewards=states.astype(float),
                next_states=states + 1,
                discounts=1.0 - terminated,
                terminated=terminated,
                truncated=np.zeros(2, dtype=bool),
            )
        )
    return steps


def filled(buffer: Buffer, n_walks: int = 1) -> Buffer:
    """A clone that remembers some walks."""
    fresh: Buffer = clone(buffer)
    fresh.begin(DISCOUNT_FACTOR)
    for first in range(n_walks):
        for transitions in walk(first * N_STEPS // 2):
            fresh.add(transitions)
    fresh.end_episode()
    return fresh


def draw(buffer: Buffer, seed: int = 0) -> dict[str, np.ndarray]:
    """Copies of the columns of a sample."""
    batches = buffer.sample(np.random.default_rng(seed), K, B, 0.5)
    return {name: column.copy() for name, column in batches.to_dict().items()}


def check_begin_forgets(buffer: Buffer) -> None:
    """After `begin` there is nothing to draw."""
    fresh = filled(buffer)
    expect(len(fresh) > 0, "the length after 60 steps", expected="more than 0", got=len(fresh))
    fresh.begin(DISCOUNT_FACTOR)
    expect(len(fresh) == 0, "the length after begin", expected=0, got=len(fresh))
    expect_error(ValueError, lambda: draw(fresh), "sample of an empty buffer")


def check_sample(buffer: Buffer) -> None:
    """`sample` gives K batches of B transitions that were added."""
    columns = draw(filled(buffer))
    for name in ("states", "actions", "rewards", "next_states", "discounts", "terminated"):
        expected, got = (K, B), columns[name].shape
        expect(got == expected, f"the shape of the {name}", expected=expected, got=got)
    states, next_states = columns["states"], columns["next_states"]
    expect_same(columns["actions"], states % 3, "the actions that belong to the states")
    n = next_states - states
    is_later = (n >= 1) & (states // 10 == (next_states - 1) // 10)
    expect(is_later.all(), "the next states", expected="later in the same episode", got=n)


def check_discounts(buffer: Buffer) -> None:
    """Discounts are gamma^n after n steps, and 0 where the episode terminated."""
    columns = draw(filled(buffer))
    n = columns["next_states"] - columns["states"]
    ended = columns["terminated"]
    # discount = gamma^n, G = s + gamma (s + 1) + ...
    expected = np.where(ended, 0.0, DISCOUNT_FACTOR**n)
    is_close = np.allclose(columns["discounts"], expected, rtol=1e-4)
    expect(is_close, "the discounts", expected=expected, got=columns["discounts"])
    powers = DISCOUNT_FACTOR ** np.arange(n.max())
    earned = [
        (powers[:k] * (s + np.arange(k))).sum()
        for k, s in zip(n.ravel(), columns["states"].ravel(), strict=True)
    ]
    is_close = np.allclose(columns["rewards"].ravel(), earned, rtol=1e-4)
    expect(is_close, "the rewards", expected=earned, got=columns["rewards"])


def check_samples_last(buffer: Buffer) -> None:
    """A sample does not change while the next one is drawn."""
    fresh, rng = filled(buffer), np.random.default_rng(0)
    first = fresh.sample(rng, K, B, 0.5)
    kept = first.states.copy()
    fresh.sample(rng, K, B, 0.5)
    expect_same(first.states, kept, "a sample after the next one")


def check_update_priorities(buffer: Buffer) -> None:
    """`update_priorities` takes the TD errors of the last sample."""
    fresh = filled(buffer)
    batches = draw(fresh)
    fresh.update_priorities(np.abs(batches["rewards"]).astype(np.float64))
    draw(fresh)


def check_reproducible(buffer: Buffer) -> None:
    """The same `rng` draws the same transitions, another one others."""
    for one, other in zip(*twice(lambda: list(draw(filled(buffer)).values())), strict=True):
        expect_same(other, one, "what is drawn with the same rng")
    first, second = (draw(filled(buffer), seed)["states"] for seed in (0, 1))
    is_different = not np.array_equal(first, second)
    expect(is_different, "what another rng draws", expected="different", got="the same")


def check_state(buffer: Buffer) -> None:
    """A buffer that is given a `state` continues like the one it comes from."""
    fresh, other = filled(buffer), clone(buffer)
    other.begin(DISCOUNT_FACTOR)
    other.set_state(fresh.state())
    expect(len(other) == len(fresh), "its length", expected=len(fresh), got=len(other))
    for part in (fresh, other):
        for transitions in walk(N_STEPS // 2):
            part.add(transitions)
    for name, expected in draw(fresh).items():
        expect_same(draw(other)[name], expected, f"the {name} after set_state")


BUFFER_CHECKS: tuple[Check, ...] = (
    check_begin_forgets,
    check_sample,
    check_discounts,
    check_samples_last,
    check_update_priorities,
    check_reproducible,
    check_state,
)
