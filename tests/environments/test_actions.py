"""Action indices become the environment's own actions."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from skrl.environments.actions import ActionTranslator

ACTION_SPACES = {
    "Discrete": spaces.Discrete(4),
    "Discrete, start": spaces.Discrete(4, start=-2),
    "Discrete, int32": spaces.Discrete(4, start=1, dtype=np.int32),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiDiscrete, start": spaces.MultiDiscrete([[2, 1], [3, 2]], start=[[-1, 4], [0, 2]]),
    "MultiDiscrete, int8": spaces.MultiDiscrete([5, 2], dtype=np.int8, start=[-128, 126]),
    "MultiBinary": spaces.MultiBinary(3),
    "MultiBinary, 2 axes": spaces.MultiBinary((2, 2)),
}
each_action_space = pytest.mark.parametrize("space", ACTION_SPACES.values(), ids=ACTION_SPACES)


@each_action_space
def test_every_action_has_one_index(space):
    translator = ActionTranslator(space)
    indices = np.arange(translator.n_actions)
    actions = translator.translate(indices)

    assert actions.dtype == space.dtype
    assert actions.shape == (translator.n_actions, *space.shape)
    assert len(np.unique(actions, axis=0)) == translator.n_actions
    for index, action in zip(indices, actions, strict=True):
        assert np.asarray(action) in space
        assert translator.translate_one(int(index)) in space
        assert np.array_equal(translator.translate_one(int(index)), action)
    # Nothing is left out: what the space gives is among them.
    space.seed(0)
    for sample in [space.sample() for _ in range(50)]:
        assert any(np.array_equal(sample, action) for action in actions)


@each_action_space
def test_a_batch_of_actions_belongs_to_the_space_of_the_batch(space):
    indices = np.arange(ActionTranslator(space).n_actions)
    assert ActionTranslator(space).translate(indices) in batch_space(space, len(indices))


def test_combinations_come_in_lexicographic_order():
    translator = ActionTranslator(spaces.MultiDiscrete([2, 3], start=[0, 10]))
    expected = [[0, 10], [0, 11], [0, 12], [1, 10], [1, 11], [1, 12]]
    assert translator.translate(np.arange(6)).tolist() == expected


def test_an_environment_cannot_change_the_actions():
    translator = ActionTranslator(spaces.MultiBinary(2))
    translator.translate_one(0)[:] = 1
    assert translator.translate_one(0).tolist() == [0, 0]


def test_a_large_discrete_space_is_not_enumerated():
    assert ActionTranslator(spaces.Discrete(10**12)).n_actions == 10**12


BAD_ACTION_SPACES = [
    (spaces.Box(-1, 1, (1,)), r"action space Box\(.*finite set of actions; discretise"),
    (spaces.Text(3), r"action space Text\(.*Supported are Discrete, MultiDiscrete"),
    (spaces.Tuple((spaces.Discrete(2),)), r"action space Tuple\(.*Supported are Discrete"),
    (spaces.MultiBinary(14), r"MultiBinary\(14\) has 16,384 combinations.*At most 10,000"),
    (spaces.MultiDiscrete([2**40] * 2), r"has 1,208,925,819,614,629,174,706,176 combinations"),
]


@pytest.mark.parametrize(("space", "message"), BAD_ACTION_SPACES)
def test_other_action_spaces_are_refused(space, message):
    with pytest.raises(ValueError, match=message):
        ActionTranslator(space)


def test_the_way_to_discretise_that_the_error_names_works():
    my_actions = [np.array([force], np.float32) for force in (-2, 0, 2)]
    env = gymnasium.wrappers.TransformAction(
        gymnasium.make("Pendulum-v1"),
        lambda index: my_actions[index],
        spaces.Discrete(len(my_actions)),
    )
    assert ActionTranslator(env.action_space).n_actions == 3
    env.reset(seed=0)
    env.step(2)
