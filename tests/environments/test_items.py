"""make_envs: environments as the samples of a data set."""

import pickle

import numpy as np
import pytest
from gymnasium.envs.toy_text.frozen_lake import generate_random_map
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from skrl import GymEnvironment, MemoizationQFunction, QLearningAgent, RandomPolicy, make_envs


def first_states(items, seed=0):
    return [tuple(item().reset(seed=seed)[0]) for item in items]


def test_every_item_plays_its_own_episodes():
    items = make_envs("CartPole-v1", n=6)
    assert len(set(first_states(items))) == 6
    assert first_states(items) == first_states(items)
    assert first_states(items) == first_states(make_envs("CartPole-v1", n=6))
    assert not set(first_states(items)) & set(first_states(items, seed=1))
    assert not set(first_states(items)) & set(first_states(make_envs("CartPole-v1", n=6, seed=1)))


def test_without_a_seed_the_random_numbers_go_on():
    env = make_envs("CartPole-v1", n=1)[0]()
    states = [tuple(env.reset(seed=seed)[0]) for seed in (0, None, None, 0)]
    assert len(set(states)) == 3
    assert states[0] == states[3]


def test_items_are_light_and_can_be_sent_to_another_process():
    items = make_envs("CartPole-v1", n=3)
    sent = pickle.dumps(items)
    assert len(sent) < 1_000
    assert first_states(pickle.loads(sent)) == first_states(items)


def test_items_are_made_with_the_arguments_of_make():
    items = make_envs("FrozenLake-v1", n=2, is_slippery=False, render_mode="rgb_array")
    env = items[0]()
    assert env.unwrapped.P[0][0] == [(1.0, 0, 0, False)]


def test_every_item_can_be_its_own_level():
    items = make_envs(
        "FrozenLake-v1", 5, desc=lambda rng: generate_random_map(8, seed=int(rng.integers(2**31)))
    )
    levels = {"".join(item.kwargs["desc"]) for item in items}
    assert len(levels) == 5
    assert "".join(items[1]().unwrapped.desc.astype(str).ravel()) in levels


def test_items_run_side_by_side():
    environment = GymEnvironment(make_envs("CartPole-v1", n=3))
    assert environment.reset(seed=0).shape == (3, 4)
    assert environment.reward_threshold == 475
    assert environment.has_time_limit
    assert environment.replicate(6).reset(seed=0).shape == (6, 4)


def test_folds_are_folds_over_environments():
    items = make_envs("CartPole-v1", n=6)
    for train, test in KFold(3).split(items):
        assert len(train) == 4
        assert len(test) == 2


def test_what_cannot_be_made_is_refused_at_once():
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        make_envs("CartPole-v1", n=0)
    with pytest.raises(ValueError, match="NoSuchWorld"):
        make_envs("NoSuchWorld-v0", n=2)
    with pytest.raises(ValueError, match="no_such_argument"):
        make_envs("CartPole-v1", n=2, no_such_argument=1)


def test_the_seed_decides_the_whole_episode():
    def play(item):
        env = item()
        env.reset(seed=0)
        return [env.step(a % 4)[0] for a in range(4)]

    lakes = make_envs("FrozenLake-v1", n=40)
    episodes = [play(lake) for lake in lakes]
    assert episodes == [play(lake) for lake in lakes]
    assert np.unique(episodes, axis=0).shape[0] > 5  # the ice is slippery in different ways


def test_model_selection_is_shown_the_right_call():
    """It takes a string apart, and makes an array of what has no length."""
    search = GridSearchCV(QLearningAgent(), {}, cv=2)
    with pytest.raises(ValueError, match=r"skrl.make_envs\('CartPole-v1', n=6\)"):
        search.fit("CartPole-v1")
    with pytest.raises(TypeError, match=r"skrl.make_envs\('CartPole-v1', n=6\)"):
        search.fit(GymEnvironment("CartPole-v1"))


@pytest.mark.slow
def test_cross_validation_over_items():
    table, policy = MemoizationQFunction(0.5, learning_rate_decay=0.0), RandomPolicy()
    agent = QLearningAgent(table, policy, n_steps=2_000, n_evaluations=0, random_state=0)
    scores = cross_val_score(agent, make_envs("skrl/CircularWorld-v0", n=4), cv=2)
    np.testing.assert_allclose(scores, 30 / 11, atol=0.7)  # the mean way to 0 of all starts
