import importlib
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from skrl.environments import worlds
from skrl.environments.worlds import CircularWorld, IntervalWorld

LEFT, STAY, RIGHT = 0, 1, 2
BOTH = pytest.mark.parametrize("World", [CircularWorld, IntervalWorld])


def transition(world, state, action):
    """(s', r, terminated) of the world's step; it never truncates by itself."""
    observation, info = world.reset(options={"state": state})
    assert (observation, info) == (state, {})
    next_state, reward, terminated, truncated, info = world.step(action)
    assert next_state in world.observation_space
    assert not truncated
    assert info == {}
    return next_state, reward, terminated


def test_the_circular_world_of_five_integers():
    world = CircularWorld(n=2)
    table = {(s, a): transition(world, s, a) for s in range(-2, 3) for a in (LEFT, STAY, RIGHT)}
    assert table == {
        (-2, LEFT): (2, 0, False),  # as far from 0 as before
        (-2, STAY): (-2, 0, False),
        (-2, RIGHT): (-1, 1, False),
        (-1, LEFT): (-2, -1, False),
        (-1, STAY): (-1, 0, False),
        (-1, RIGHT): (0, 1, False),
        (0, LEFT): (-1, -1, False),
        (0, STAY): (0, 0, False),
        (0, RIGHT): (1, -1, False),
        (1, LEFT): (0, 1, False),
        (1, STAY): (1, 0, False),
        (1, RIGHT): (2, -1, False),
        (2, LEFT): (1, 1, False),
        (2, STAY): (2, 0, False),
        (2, RIGHT): (-2, 0, False),
    }


def test_the_interval_world_of_five_integers():
    world = IntervalWorld(n=2)
    table = {(s, a): transition(world, s, a) for s in (-1, 0, 1) for a in (LEFT, STAY, RIGHT)}
    assert table == {
        (-1, LEFT): (-2, -1, True),
        (-1, STAY): (-1, 0, False),
        (-1, RIGHT): (0, 1, False),
        (0, LEFT): (-1, -1, False),
        (0, STAY): (0, 0, False),
        (0, RIGHT): (1, -1, False),
        (1, LEFT): (0, 1, False),
        (1, STAY): (1, 0, False),
        (1, RIGHT): (2, -1, True),
    }


@pytest.mark.parametrize("n", [1, 3, 5])
def test_rewards_in_the_ring_say_whether_the_distance_to_0_shrank(n):
    """The distance is counted in steps along the ring, independently of the world's formula."""
    size = 2 * n + 1

    def distance(state):
        return min(state % size, -state % size)

    world = CircularWorld(n)
    for state in range(-n, n + 1):
        for action, move in enumerate((-1, 0, 1)):
            next_state, reward, _ = transition(world, state, action)
            assert (next_state - state - move) % size == 0
            assert reward == np.sign(distance(state) - distance(next_state))


@BOTH
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9])
def test_optimal_values_are_those_of_the_docstring(World, n, gamma):
    world = World(n)
    ends = (-n, n) if World is IntervalWorld else ()
    inner = [s for s in range(-n, n + 1) if s not in ends]
    table = {(s, a): transition(world, s, a) for s in inner for a in (LEFT, STAY, RIGHT)}

    values = dict.fromkeys(range(-n, n + 1), 0.0)
    for _ in range(400):  # value iteration: 0.9 ** 400 < 1e-18
        for s in inner:
            values[s] = max(
                r + gamma * values[t] for t, r, _ in (table[s, a] for a in (LEFT, STAY, RIGHT))
            )

    exact = {s: 0.0 if s in ends else (1 - gamma ** abs(s)) / (1 - gamma) for s in values}
    assert values == pytest.approx(exact)
    for s in inner:
        towards, away = (LEFT, RIGHT) if s > 0 else (RIGHT, LEFT)
        q = {a: r + gamma * exact[t] for a, (t, r, _) in ((a, table[s, a]) for a in range(3))}
        assert q[STAY] == pytest.approx(gamma * exact[s])
        if s == 0:
            assert max(q, key=q.get) == STAY
            continue
        assert q[towards] == pytest.approx(exact[s])
        if abs(s) < n:
            further = s + np.sign(s)
            assert q[away] == pytest.approx(-1 + gamma * exact[further])
        else:
            assert q[away] == pytest.approx(gamma * exact[n])


@BOTH
def test_spaces_hold_the_integers_themselves(World):
    world = World(n=3)
    assert world.observation_space == gymnasium.spaces.Discrete(7, start=-3)
    assert world.action_space == gymnasium.spaces.Discrete(3)


def test_an_episode_begins_anywhere_it_does_not_end_at_once():
    for world, expected in ((CircularWorld(2), range(-2, 3)), (IntervalWorld(3), range(-2, 3))):
        world.reset(seed=0)
        starts, counts = np.unique([world.reset()[0] for _ in range(5000)], return_counts=True)
        assert starts.tolist() == list(expected)
        assert counts == pytest.approx(1000, abs=120)  # over four standard deviations


@BOTH
def test_a_seed_repeats_the_first_states(World):
    def first_states(seed):
        world = World(50)
        return [world.reset(seed=seed)[0]] + [world.reset()[0] for _ in range(10)]

    assert first_states(7) == first_states(7)
    assert first_states(7) != first_states(8)


@BOTH
@pytest.mark.parametrize("render_mode", ["rgb_array", "ansi"])
def test_gymnasium_finds_nothing_wrong(World, render_mode):
    world = gymnasium.make(f"skrl/{World.__name__}-v0", render_mode=render_mode)
    assert isinstance(world.unwrapped, World)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(world.unwrapped, skip_render_check=False)


@BOTH
def test_registered_worlds_are_cut_off_after_100_steps(World):
    world = gymnasium.make(f"skrl/{World.__name__}-v0")
    world.reset(seed=0)
    ends = [world.step(STAY)[2:4] for _ in range(100)]
    assert ends == [(False, False)] * 99 + [(False, True)]


def test_importing_again_registers_nothing_twice():
    before = dict(gymnasium.registry)
    importlib.reload(worlds)  # gymnasium would warn, and warnings are errors here
    assert gymnasium.registry == before


@BOTH
def test_ansi_puts_the_agent_in_brackets(World):
    world = World(n=2, render_mode="ansi")
    world.reset(options={"state": 0})
    assert world.render() == "-2 -1 [0] 1 2"
    world.step(RIGHT)
    assert world.render() == "-2 -1 0 [1] 2"


@pytest.mark.parametrize(
    ("world", "shape"),
    [
        (CircularWorld(render_mode="rgb_array"), (400, 400, 3)),
        (IntervalWorld(render_mode="rgb_array"), (120, 640, 3)),
    ],
)
def test_pictures_show_where_the_agent_is(world, shape):
    world.reset(options={"state": 0})
    pictures = [world.render()]
    for action in (RIGHT, RIGHT, RIGHT, LEFT):
        world.step(action)
        pictures.append(world.render())
    for picture in pictures:
        assert picture.shape == shape
        assert picture.dtype == np.uint8
    for i, before in enumerate(pictures):
        for j, after in enumerate(pictures):
            # Only the states visited by the first and the second last move are the same: 2 and 2.
            assert np.array_equal(before, after) == (i == j or {i, j} == {2, 4})


@BOTH
def test_the_agent_is_painted_where_its_state_is(World):
    world = World(n=5, render_mode="rgb_array")
    for state in (-4, 0, 3):
        world.reset(options={"state": state})
        # The agent's color is the only one with much red and little blue.
        picture = world.render().astype(int)
        rows, columns = np.nonzero(picture[:, :, 0] - picture[:, :, 2] > 150)
        assert (columns.mean(), rows.mean()) == pytest.approx(world.position(state), abs=2)


def test_to_the_left_of_0_are_the_negative_integers():
    for world in (CircularWorld(), IntervalWorld()):
        assert world.position(-1)[0] < world.position(0)[0] < world.position(1)[0]


@BOTH
@pytest.mark.parametrize("n", [0, -1, 2.0])
def test_n_must_be_a_positive_integer(World, n):
    # The type checker of the test suite raises a TypeError for 2.0.
    with pytest.raises((ValueError, TypeError)):
        World(n=n)


@BOTH
def test_errors_say_what_to_do(World):
    with pytest.raises(ValueError, match=r"'rgb_array', 'ansi'.*got 'human'"):
        World(render_mode="human")
    world = World(n=2, render_mode="ansi")
    with pytest.raises(ValueError, match=r"reset\(\)"):
        world.step(STAY)
    with pytest.raises(ValueError, match=r"reset\(\)"):
        world.render()
    with pytest.raises(ValueError, match=r"got options=\{'state': 3\}"):
        world.reset(options={"state": 3})
    world.reset()
    with pytest.raises(ValueError, match="got 3"):
        world.step(3)


def test_an_interval_cannot_be_left():
    world = IntervalWorld(n=2)
    with pytest.raises(ValueError, match="from -1 to 1"):
        world.reset(options={"state": 2})
    world.reset(options={"state": 1})
    assert world.step(RIGHT)[2]
    with pytest.raises(ValueError, match=r"reset\(\)"):
        world.step(RIGHT)


@BOTH
def test_rendering_without_a_mode_warns(World):
    world = World()
    world.reset()
    with pytest.warns(UserWarning, match="render_mode"):
        assert world.render() is None
