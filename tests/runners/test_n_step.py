"""What returns over several steps are worth (Sutton & Barto, 2018, chapter 7)."""

import numpy as np
from gymnasium.spaces import Discrete

from skrl import MemoizationQFunction, Transitions
from skrl.environments.worlds import Corridor
from skrl.runners import ReplayBuffer
from worlds import begun

LEFT, RIGHT = 0, 1


def walks(n, n_walks, rng):
    """Walks from one end of the corridor to the other, with a step back now and then."""
    world = Corridor(n)
    rows = []
    for _ in range(n_walks):
        state, _ = world.reset()
        terminated = False
        while not terminated:
            action = RIGHT if rng.random() < 0.9 else LEFT
            next_state, reward, terminated, _, _ = world.step(action)
            rows.append((state, action, reward, next_state, terminated))
            state = next_state
    states, actions, rewards, next_states, terminated = map(np.array, zip(*rows, strict=True))
    no = np.zeros(len(rows), dtype=bool)
    return Transitions(
        states, actions, rewards, next_states, 1.0 - terminated, terminated, no, env_ids=0 * states
    )


def n_updates_until_learned(n_step_return, transitions, n, rng):
    """Updates until the value of the start is half of what it should become."""
    discount_factor = 0.99
    buffer = begun(ReplayBuffer(1000, n_step_return), discount_factor)
    buffer.add(transitions)
    buffer.end_episode()
    qfunction = MemoizationQFunction(1 / 4, learning_rate_decay=0.0, initial_value=0.0).build(
        Discrete(n + 1), 2, 0
    )
    n_batches = 4
    for n_updates in range(n_batches, 5_000, n_batches):
        qfunction.update(buffer.sample(rng, n_batches, 4))
        # V(0) = gamma^(n-1)
        if qfunction.table_[0, RIGHT] > discount_factor ** (n - 1) / 2:
            return n_updates
    raise AssertionError("The value of the start is still wrong after 5,000 updates.")


def test_news_of_a_reward_travels_faster_over_several_steps():
    """The medians are 438 updates over one step and 72 over ten."""
    n = 20
    single, tenfold = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        transitions = walks(n, 4, rng)
        single.append(n_updates_until_learned(1, transitions, n, rng))
        tenfold.append(n_updates_until_learned(10, transitions, n, rng))
    assert np.median(tenfold) < np.median(single) / 3
    assert max(tenfold) < min(single)


def learned_values(n_step_return, transitions, n):
    """What many updates make of the same walks."""
    buffer = begun(ReplayBuffer(1000, n_step_return), 0.9)
    buffer.add(transitions)
    buffer.end_episode()
    learner = MemoizationQFunction(0.5, learning_rate_decay=0.01, initial_value=0.0)
    learner.build(Discrete(n + 1), 2, 0)
    learner.update(buffer.sample(np.random.default_rng(0), 2_000, 32))
    return learner.table_[:n, RIGHT]


def test_exploration_does_not_spoil_returns_that_end_before_it():
    """V(s) = gamma^(n-1-s) if nobody steps back; those who do so take longer."""
    n = 8
    transitions = walks(n, 40, np.random.default_rng(0))
    exact = 0.9 ** np.arange(n - 1, -1, -1)
    assert (learned_values(5, transitions, n)[:4] < 0.97 * exact[:4]).all()
    transitions.is_greedy = transitions.actions == RIGHT
    np.testing.assert_allclose(learned_values(5, transitions, n), exact, rtol=1e-3)
