import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from skrl import DQN, CoherentEpsilonGreedy, EpsilonGreedy, RandomQFunction

PLANE = spaces.Box(-1, 1, (2,))
STATES = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
RIGHT = np.array([[1, 0]], np.float32)


def random_qfunction(n_actions=3):
    return RandomQFunction().build(PLANE, n_actions, random_state=0)


def explore(policy, states, progress, seed=0):
    return policy.decide(states, random_qfunction(), progress, np.random.default_rng(seed))


def test_one_random_policy_at_a_time():
    policy, rng = CoherentEpsilonGreedy(1.0, n_turns=10, every=1), np.random.default_rng(0)
    chosen = [
        policy.decide(RIGHT, random_qfunction(), progress, rng).item()
        for progress in np.linspace(0, 0.999, 500)
    ]
    rows = np.array(chosen).reshape(10, 50)
    assert (rows == rows[:, :1]).all()
    assert len(set(rows[:, 0])) == 3


def test_other_turns_are_as_random_as_can_be():
    policy, rng = CoherentEpsilonGreedy(1.0, n_turns=4, every=4), np.random.default_rng(0)
    many = np.repeat(RIGHT, 600, axis=0)
    for progress in (0.3, 0.6, 0.99):
        one, other = (policy.decide(many, random_qfunction(), progress, rng) for _ in range(2))
        assert np.abs(np.bincount(one) - 200).max() < 50
        assert (one != other).any()
    one, other = (policy.decide(many, random_qfunction(), 0.2, rng) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_random_policy_is_linear():
    """Opposite states on a line through one where two actions are equal have other actions."""
    policy = CoherentEpsilonGreedy(1.0, every=1)
    far = np.concatenate([RIGHT, -RIGHT] * 20) * 1000
    actions = np.array([explore(policy, state[None], 0.5).item() for state in far])
    assert (actions[::2] == actions[0]).all()
    assert (actions[1::2] == actions[1]).all()
    assert actions[0] != actions[1]


def test_over_all_random_policies_every_action_is_equally_likely():
    policy = CoherentEpsilonGreedy(1.0, n_turns=900, every=1)
    counts = np.bincount([explore(policy, RIGHT, k / 900).item() for k in range(900)])
    assert np.abs(counts - 300).max() < 60  # four standard deviations


def test_side_by_side_everyone_has_a_random_policy_of_their_own():
    actions = explore(CoherentEpsilonGreedy(1.0, every=1), np.repeat(RIGHT, 300, axis=0), 0.5)
    assert np.abs(np.bincount(actions) - 100).max() < 35


def test_the_seed_decides():
    policy = CoherentEpsilonGreedy(1.0, every=1)
    one, same, other = (explore(policy, STATES, 0.5, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_epsilon_says_how_often():
    qfunction = DQN((4,)).build(PLANE, 3, random_state=0)
    greedy = qfunction.values(STATES).argmax(axis=1)
    rng = np.random.default_rng(0)
    actions = CoherentEpsilonGreedy(0.0).decide(STATES, qfunction, 0.5, rng)
    np.testing.assert_array_equal(actions, greedy)
    policies = CoherentEpsilonGreedy(0.3), EpsilonGreedy(0.3)
    one, other = (policy.probabilities(STATES, qfunction, 0.5) for policy in policies)
    np.testing.assert_array_equal(one, other)


def goals_reached(policy, n_episodes=15):
    """In how many episodes exploration climbs the mountain."""
    env = gymnasium.make("MountainCar-v0")
    qfunction = DQN((4,)).build(env.observation_space, 3, random_state=0)
    qfunction._encoder.observe(np.random.default_rng(0).normal([-0.5, 0], [0.1, 0.01], (2000, 2)))
    rng, n_goals = np.random.default_rng(1), 0
    for episode in range(n_episodes):
        state, _ = env.reset(seed=episode)
        for _ in range(200):
            action = policy.decide(state[None], qfunction, episode / n_episodes, rng)
            state, _, terminated, _, _ = env.step(action.item())
            if terminated:
                n_goals += 1
                break
    return n_goals


def test_it_climbs_the_mountain_which_single_random_actions_do_not():
    assert goals_reached(CoherentEpsilonGreedy(1.0, every=1)) >= 1
    assert goals_reached(EpsilonGreedy(1.0)) == 0


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="n_turns must be at least 1, got 0"):
        explore(CoherentEpsilonGreedy(1.0, n_turns=0), STATES, 0.5)
    with pytest.raises(ValueError, match="every must be at least 1, got -2"):
        explore(CoherentEpsilonGreedy(1.0, every=-2), STATES, 0.5)
