import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array

from skrl.environments.spaces import (
    StateTranslator,
    flatten_batch,
    to_states,
)

NESTED = spaces.Dict(
    {
        "z_first_in_order_of_writing": spaces.Discrete(3, start=-1),
        "pair": spaces.Tuple(
            (
                spaces.Box(-1, 1, (2, 2), dtype=np.float64),
                spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[0, -1], [5, 0]]),
            )
        ),
        "bits": spaces.MultiBinary((2, 2)),
        "pixels": spaces.Box(0, 255, (2, 3), dtype=np.uint8),
    }
)
STATE_SPACES = {
    "Discrete": spaces.Discrete(5),
    "Discrete, start": spaces.Discrete(5, start=-2),
    "Discrete, int32": spaces.Discrete(5, start=3, dtype=np.int32),
    "Box": spaces.Box(-1, 1, (3,)),
    "Box, no axes": spaces.Box(-1, 1, ()),
    "Box, float64": spaces.Box(-np.inf, np.inf, (2, 3), dtype=np.float64),
    "Box, uint8": spaces.Box(0, 255, (4, 4, 3), dtype=np.uint8),
    "MultiDiscrete": spaces.MultiDiscrete([3, 2]),
    "MultiDiscrete, start": spaces.MultiDiscrete([[3, 2], [4, 5]], start=[[-1, 0], [7, 2]]),
    "MultiBinary": spaces.MultiBinary(4),
    "MultiBinary, 2 axes": spaces.MultiBinary((2, 3)),
    "Tuple": spaces.Tuple((spaces.Discrete(3), spaces.Box(-2, 2, (2,)))),
    "Dict, nested": NESTED,
}
each_state_space = pytest.mark.parametrize("space", STATE_SPACES.values(), ids=STATE_SPACES)


def samples_of(space, n):
    space.seed(0)
    return [space.sample() for _ in range(n)]


def to_batch(space, samples):
    """The samples as a vector environment gives them."""
    return concatenate(space, samples, create_empty_array(space, n=len(samples)))


def observation_of(space, state):
    """The way back: what observation a state stands for."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return spaces.unflatten(space, state)
    return state + getattr(space, "start", np.zeros((), state.dtype))


@each_state_space
def test_states_stand_for_their_observations(space):
    samples = samples_of(space, 20)
    one, many = StateTranslator(space, 1), StateTranslator(space, 20)
    states = many.translate(to_batch(space, samples))

    assert states.shape == (20, *many.state_space.shape)
    assert states.dtype == many.state_space.dtype
    for sample, state in zip(samples, states, strict=True):
        assert np.array_equal(one.translate(sample), state[None])
        assert np.asarray(state) in many.state_space
        np.testing.assert_equal(
            spaces.flatten(space, observation_of(space, state)).astype(np.float32),
            spaces.flatten(space, sample).astype(np.float32),
        )


def test_states_count_from_zero():
    translator = StateTranslator(spaces.Discrete(3, start=10), 2)
    assert translator.state_space == spaces.Discrete(3)
    assert translator.translate(np.array([10, 12])).tolist() == [0, 2]
    translator = StateTranslator(spaces.MultiDiscrete([3, 2], start=[-1, 5]), 1)
    assert translator.state_space == spaces.MultiDiscrete([3, 2])
    assert translator.translate(np.array([1, 5])).tolist() == [[2, 0]]


def test_nested_spaces_become_float32_boxes_with_their_bounds():
    # Gymnasium sorts the keys of a Dict; 1e300 is beyond the largest float32.
    space = spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Box(-3, 1e300, (1,), np.float64)})
    low, high = np.array([-3, 0, 0], np.float32), np.array([np.inf, 1, 1], np.float32)
    assert StateTranslator(space, 1).state_space == spaces.Box(low, high)


def test_flattening_a_batch_is_flattening_each():
    samples = samples_of(NESTED, 50)
    expected = [spaces.flatten(NESTED, sample) for sample in samples]
    batch = flatten_batch(NESTED, to_batch(NESTED, samples), 50)
    assert batch.dtype == np.float32
    assert np.array_equal(batch, np.array(expected, dtype=np.float32))


@each_state_space
def test_states_are_fresh_arrays(space):
    translator = StateTranslator(space, 3)
    batch = to_batch(space, samples_of(space, 3))
    first, second = translator.translate(batch), translator.translate(batch)
    first[...] = 1
    assert np.array_equal(translator.translate(batch), second)


BAD_STATE_SPACES = {
    "Text": spaces.Text(5),
    "Graph": spaces.Graph(spaces.Box(0, 1, (2,)), None),
    "Sequence": spaces.Sequence(spaces.Discrete(2)),
    "OneOf": spaces.OneOf((spaces.Discrete(2), spaces.Discrete(3))),
    "Text in a Dict": spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Tuple((spaces.Text(5),))}),
}


@pytest.mark.parametrize("space", BAD_STATE_SPACES.values(), ids=BAD_STATE_SPACES)
def test_other_observation_spaces_are_refused(space):
    name = "Text" if isinstance(space, spaces.Dict) else type(space).__name__
    with pytest.raises(ValueError, match=rf"observation space {name}\(.*Supported are Discrete"):
        StateTranslator(space, 1)


def test_observations_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 4\) do not fit .*: expected \(1, 3\)"):
        StateTranslator(spaces.Box(-1, 1, (3,)), 1).translate(np.zeros(4))


@each_state_space
def test_one_observation_and_batches_become_states(space):
    samples = samples_of(space, 3)
    states, is_single = to_states(space, samples[0])
    assert is_single
    assert np.array_equal(states, StateTranslator(space, 1).translate(samples[0]))
    states, is_single = to_states(space, to_batch(space, samples))
    assert not is_single
    assert np.array_equal(states[2:], to_states(space, samples[2])[0])


@pytest.mark.parametrize("env_id", ["CartPole-v1", "FrozenLake-v1", "Blackjack-v1"])
def test_what_reset_gives_is_told_from_an_observation(env_id):
    env = gymnasium.make(env_id)
    with pytest.raises(ValueError, match=r"reset\(\) returns: .*`observation, info = env.reset"):
        to_states(env.observation_space, env.reset())


def test_a_pair_with_a_dict_can_be_an_observation():
    space = spaces.Tuple((spaces.Discrete(2), spaces.Dict({"a": spaces.Discrete(3)})))
    assert to_states(space, (1, {"a": 2}))[0].tolist() == [[0, 1, 0, 0, 1]]


BOX = spaces.Box(-1, 1, (2,))
BAD_OBSERVATIONS = [
    (BOX, [[1.0, 2.0], [3.0]], "Expected an observation of the space Box"),
    (BOX, ["left", "right"], "Expected an observation of the space Box"),
    (BOX, {"a": 1}, "Expected one observation of shape .* got an array of shape \\(\\)"),
    (BOX, np.zeros((2, 3)), r"or a batch of shape \('m', 2\), got an array of shape \(2, 3\)"),
    (BOX, [0.0, np.nan], "contain NaN or infinity"),
    (spaces.Discrete(3), None, "Expected an observation of the space Discrete.* got None"),
    (spaces.Discrete(3), "1a", "Expected an observation of the space Discrete.* got '1a'"),
    (spaces.Discrete(3), 3, r"Expected observations of the space Discrete\(3\), got 3"),
    (spaces.Discrete(3, start=5), [6, 4], "Expected observations of the space Discrete"),
    (spaces.Discrete(3), 1.5, "Expected an observation of the space Discrete.* got 1.5"),
    (spaces.MultiDiscrete([2, 3]), [[1, 2], [2, 1]], "Expected observations of the space Multi"),
    (spaces.Dict({"a": BOX}), {"b": np.zeros(2)}, "Expected an observation of the space Dict"),
    (spaces.Dict({"a": BOX}), np.zeros(2), "Expected an observation of the space Dict"),
    (spaces.Tuple((BOX, BOX)), (np.zeros(2),), "Expected an observation of the space Tuple"),
]


@pytest.mark.parametrize(("space", "observations", "message"), BAD_OBSERVATIONS)
def test_what_is_not_an_observation_is_refused(space, observations, message):
    with pytest.raises(ValueError, match=message):
        to_states(space, observations)
