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
    policy, rng = CoherentEpsilonGreedy(coherence=1.0, n_turns=10), np.random.default_rng(0)
    chosen = [
        policy.decide(RIGHT, random_qfunction(), progress, rng).item()
        for progress in np.linspace(0, 0.999, 500)
    ]
    rows = np.array(chosen).reshape(10, 50)
    assert (rows == rows[:, :1]).all()
    assert len(set(rows[:, 0])) == 3


def test_other_turns_are_epsilon_greedy():
    """With epsilon 1 they are as random as can be; a linear policy does the same again."""
    policy, rng = CoherentEpsilonGreedy(1.0, coherence=0.3), np.random.default_rng(0)
    rows = np.repeat(RIGHT, 30, axis=0)
    n_coherent = 0
    for progress in np.arange(500) / 500:
        # Every row of a batch has turns of its own: look at the first.
        actions = [policy.decide(rows, random_qfunction(), progress, rng)[0] for _ in range(30)]
        n_coherent += len(set(actions)) == 1
    assert n_coherent == pytest.approx(0.3 * 500, abs=4 * np.sqrt(0.3 * 0.7 * 500))


def test_by_default_there_are_fewer_and_fewer_coherent_turns():
    policy, rng = CoherentEpsilonGreedy(1.0), np.random.default_rng(0)
    counts = []
    for part in ((0.0, 0.2), (0.4, 0.6), (0.8, 1.0)):
        turns = np.arange(500)[int(part[0] * 500) : int(part[1] * 500)] / 500
        counts.append(0)
        for progress in turns:
            actions = {
                policy.decide(RIGHT, random_qfunction(), progress, rng)[0] for _ in range(20)
            }
            counts[-1] += len(actions) == 1
    # 100 turns each, with a probability of 0.225, 0.125 and 0.025
    np.testing.assert_allclose(counts, [22.5, 12.5, 2.5], atol=12)
    assert counts[0] > counts[1] > counts[2]


def test_a_random_policy_is_linear():
    """Opposite states on a line through one where two actions are equal have other actions."""
    policy = CoherentEpsilonGreedy(coherence=1.0)
    far = np.concatenate([RIGHT, -RIGHT] * 20) * 1000
    actions = np.array([explore(policy, state[None], 0.5).item() for state in far])
    assert (actions[::2] == actions[0]).all()
    assert (actions[1::2] == actions[1]).all()
    assert actions[0] != actions[1]


def test_over_all_random_policies_every_action_is_equally_likely():
    policy = CoherentEpsilonGreedy(coherence=1.0, n_turns=900)
    counts = np.bincount([explore(policy, RIGHT, k / 900).item() for k in range(900)])
    assert np.abs(counts - 300).max() < 60  # four standard deviations


def test_side_by_side_everyone_has_a_random_policy_of_their_own():
    actions = explore(CoherentEpsilonGreedy(coherence=1.0), np.repeat(RIGHT, 300, axis=0), 0.5)
    assert np.abs(np.bincount(actions) - 100).max() < 35


def test_the_seed_decides():
    policy = CoherentEpsilonGreedy(coherence=1.0)
    one, same, other = (explore(policy, STATES, 0.5, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_epsilon_says_how_often():
    qfunction = DQN((4,)).build(PLANE, 3, random_state=0)
    greedy = qfunction.values(STATES).argmax(axis=1)
    rng = np.random.default_rng(0)
    actions = CoherentEpsilonGreedy(0.0, coherence=0.0).decide(STATES, qfunction, 0.5, rng)
    np.testing.assert_array_equal(actions, greedy)


def test_probabilities_count_on_every_linear_policy():
    qfunction = DQN((4,)).build(PLANE, 3, random_state=0)
    half = CoherentEpsilonGreedy(0.3, coherence=0.5).probabilities(STATES, qfunction, 0.5)
    epsilon_greedy = EpsilonGreedy(0.3).probabilities(STATES, qfunction, 0.5)
    np.testing.assert_allclose(half, 0.5 / 3 + 0.5 * epsilon_greedy)


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
    assert goals_reached(CoherentEpsilonGreedy(coherence=1.0)) >= 1
    assert goals_reached(EpsilonGreedy(1.0)) == 0


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="n_turns must be at least 1, got 0"):
        explore(CoherentEpsilonGreedy(1.0, n_turns=0), STATES, 0.5)
    with pytest.raises(ValueError, match=r"coherence must be in \[0, 1\], got 1.5"):
        explore(CoherentEpsilonGreedy(coherence=1.5), STATES, 0.5)
