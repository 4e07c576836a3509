import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from skrl.base import MaskedQFunction
from skrl.policies import EpsilonGreedy, SegmentedEpsilonGreedy
from skrl.qfunctions.random_qfunction import RandomQFunction

PLANE = spaces.Box(-1, 1, (2,))
STATES = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
RIGHT = np.array([[1, 0]], np.float32)
ROWS = np.repeat(RIGHT, 300, axis=0)


class Ordered(RandomQFunction):
    """Action 0 is the best everywhere. The features are standardized states of MountainCar."""

    def values(self, states):
        return np.tile(-np.arange(self.n_actions_, dtype=np.float64), (len(states), 1))

    def encode(self, states):
        return ((states - [-0.5, 0]) / [0.1, 0.01]).astype(np.float32)


def ordered(n_actions=3):
    return Ordered().build(PLANE, n_actions, random_state=0)


def decide(policy, states, progress, rng, masks=None):
    rng = np.random.default_rng(rng)
    return policy.decide(states, ordered(), progress, rng, masks).actions


def test_one_linear_policy_in_each_segment():
    policy = SegmentedEpsilonGreedy(linear_fraction=1.0, n_segments=10)
    rng = np.random.default_rng(0)
    chosen = []
    for progress in np.linspace(0, 0.999, 500):
        chosen.append(decide(policy, RIGHT, progress, rng).item())
        policy.end_episodes(np.array([0]))
    rows = np.array(chosen).reshape(10, 50)
    assert (rows == rows[:, :1]).all()
    assert len(set(rows[:, 0])) == 3


def choices(policy, ends):
    """What 300 environments do in ten segments; the episodes of the first half end at `ends`."""
    rng, rows = np.random.default_rng(0), []
    for progress in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        rows.append(decide(policy, ROWS, progress, rng))
        if progress in ends:
            policy.end_episodes(np.arange(150))
    return np.array(rows)


def test_a_segment_is_entered_at_the_end_of_an_episode():
    policy = SegmentedEpsilonGreedy(linear_fraction=1.0, n_segments=10)
    rows = choices(policy, ends=[0.2, 0.3])
    changes = (rows[1:] != rows[:-1])[:, :150].any(axis=1)
    # Those that ended at 0.2 and 0.3 do something new at 0.3 and 0.4.
    assert changes[[2, 3]].all()


def test_without_an_end_it_is_entered_one_segment_later():
    policy = SegmentedEpsilonGreedy(linear_fraction=1.0, n_segments=10)
    rows = choices(policy, ends=[0.2, 0.3])[:, 150:]
    assert (rows[1:] != rows[:-1]).any(axis=1).tolist() == [False, True, False, True, False]


def test_other_segments_are_epsilon_greedy():
    """With epsilon 1 two decisions differ for two of three environments; linear ones repeat."""
    policy, rng = SegmentedEpsilonGreedy(1.0, linear_fraction=0.3), np.random.default_rng(0)
    n_repeated = 0
    for progress in np.arange(100) / 100:
        actions = np.array([decide(policy, ROWS, progress, rng) for _ in range(12)])
        n_repeated += (actions == actions[0]).all(axis=0).sum()
    assert n_repeated == pytest.approx(0.3 * 30_000, abs=5 * np.sqrt(0.3 * 0.7 * 30_000))


def test_by_default_there_are_fewer_and_fewer_linear_segments():
    policy, rng = SegmentedEpsilonGreedy(1.0), np.random.default_rng(0)
    fractions = []
    for progress in (0.0, 0.5, 1.0):
        actions = np.array([decide(policy, ROWS, progress, rng) for _ in range(12)])
        fractions.append((actions == actions[0]).all(axis=0).mean())
    np.testing.assert_allclose(fractions, [0.25, 0.125, 0.0], atol=0.1)
    assert fractions[0] > fractions[1] > fractions[2] == 0


def test_a_random_policy_is_linear():
    """Far from where two actions are equal, opposite states have other actions."""
    policy, rng = SegmentedEpsilonGreedy(linear_fraction=1.0), np.random.default_rng(0)
    far = np.concatenate([RIGHT, -RIGHT] * 20) * 1000
    actions = np.array([decide(policy, state[None], 0.5, rng).item() for state in far])
    assert (actions[::2] == actions[0]).all()
    assert (actions[1::2] == actions[1]).all()
    assert actions[0] != actions[1]


@pytest.mark.parametrize("masked", [False, True])
def test_side_by_side_each_environment_has_its_own_linear_policy(masked):
    masks = np.tile([True, True, not masked], (300, 1))
    policy = SegmentedEpsilonGreedy(linear_fraction=1.0)
    counts = np.bincount(decide(policy, ROWS, 0.5, 0, masks), minlength=3)
    expected = [150, 150, 0] if masked else [100, 100, 100]
    assert np.abs(counts - expected).max() < 35
    assert (counts[2] == 0) == masked


def test_an_allowed_action_that_the_linear_policy_prefers_stays():
    """Masks take away actions, and do not disturb the others."""
    policy, rng = SegmentedEpsilonGreedy(linear_fraction=1.0), np.random.default_rng(0)
    free = decide(policy, ROWS, 0.5, rng)
    masks = np.ones((300, 3), dtype=bool)
    masks[:, 1] = False
    masked = decide(policy, ROWS, 0.5, rng, masks)
    np.testing.assert_array_equal(masked[free != 1], free[free != 1])
    assert set(masked) == {0, 2}


def test_the_generator_decides():
    one, same, other = (
        decide(SegmentedEpsilonGreedy(linear_fraction=1.0), STATES, 0.5, seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_any_bit_generator_will_do():
    rng = np.random.Generator(np.random.MT19937())
    rng.bit_generator.state = np.random.MT19937(0).state
    decision = SegmentedEpsilonGreedy().decide(STATES, ordered(), 0.0, rng)
    assert decision.actions.shape == (200,)


def test_only_those_who_follow_have_weights_and_they_are_small():
    policy = SegmentedEpsilonGreedy(linear_fraction=0.25)
    decide(policy, STATES, 0.5, 0)
    state = policy.state()
    assert state["weights"].shape == (state["follows"].sum(), 3, 3)
    assert state["weights"].dtype == np.float32
    assert 20 < state["follows"].sum() < 80


def test_a_new_number_of_states_begins_a_segment():
    policy, rng = SegmentedEpsilonGreedy(linear_fraction=1.0), np.random.default_rng(0)
    assert [len(decide(policy, STATES[:m], 0.5, rng)) for m in (3, 5, 1, 200)] == [3, 5, 1, 200]


@pytest.mark.parametrize("linear_fraction", [0.0, 0.5, 1.0])
def test_a_state_continues_in_the_middle_of_a_segment(linear_fraction):
    policy, rng = SegmentedEpsilonGreedy(0.5, linear_fraction), np.random.default_rng(0)
    decide(policy, STATES, 0.5, rng)
    state, at = policy.state(), rng.bit_generator.state
    json.dumps({name: np.asarray(value).tolist() for name, value in state.items()})
    progresses = (0.5, 0.5, 0.501, 0.6)
    expected = [decide(policy, STATES, progress, rng) for progress in progresses]
    resumed = SegmentedEpsilonGreedy(0.5, linear_fraction)
    resumed.set_state(state)
    rng.bit_generator.state = at
    got = [decide(resumed, STATES, progress, rng) for progress in progresses]
    np.testing.assert_array_equal(got, expected)


def test_without_linear_segments_it_is_epsilon_greedy():
    actions = decide(SegmentedEpsilonGreedy(0.0, linear_fraction=0.0), STATES, 0.5, 0)
    assert not actions.any()


def test_probabilities_are_those_over_all_linear_policies():
    qfunction, masks = ordered(), np.array([[True, True, False]])
    policy = SegmentedEpsilonGreedy(0.3, linear_fraction=0.5)
    np.testing.assert_allclose(
        policy.probabilities(RIGHT, qfunction, 0.5),
        [[0.5 / 3 + 0.4, 0.5 / 3 + 0.05, 0.5 / 3 + 0.05]],
    )
    np.testing.assert_allclose(
        policy.probabilities(RIGHT, MaskedQFunction(qfunction, masks), 0.5),
        [[0.25 + 0.5 * 8 / 9, 0.25 + 0.5 / 9, 0.0]],
    )


def goals_reached(policy, n_episodes=15):
    """In how many episodes exploration climbs the mountain."""
    env = gymnasium.make("MountainCar-v0")
    rng, n_goals = np.random.default_rng(1), 0
    for episode in range(n_episodes):
        state, _ = env.reset(seed=episode)
        for _ in range(200):
            action = decide(policy, state[None], episode / n_episodes, rng)
            state, _, terminated, _, _ = env.step(action.item())
            if terminated:
                n_goals += 1
                break
    return n_goals


def test_it_climbs_the_mountain_which_single_random_actions_do_not():
    assert goals_reached(SegmentedEpsilonGreedy(linear_fraction=1.0)) >= 1
    assert goals_reached(EpsilonGreedy(1.0)) == 0


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="n_segments must be at least 1, got 0"):
        decide(SegmentedEpsilonGreedy(1.0, n_segments=0), STATES, 0.5, 0)
    with pytest.raises(ValueError, match=r"linear_fraction must be in \[0, 1\], got 1.5"):
        decide(SegmentedEpsilonGreedy(linear_fraction=1.5), STATES, 0.5, 0)
