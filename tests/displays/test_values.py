"""ValueDisplay: what is drawn is what the agent has learned."""

from pathlib import Path

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import pytest
from gymnasium import spaces
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text
from sklearn.exceptions import NotFittedError

from skrl import DQN, ExperienceReplay, QLearningAgent, RandomQFunction
from skrl.displays import ValueDisplay
from worlds import Identity

BASELINE = Path(__file__).parent / "baseline" / "value_frozen_lake.png"
BAR = "V(s) (expected discounted return)"
STEPS = {"←": (0, -1), "↓": (1, 0), "→": (0, 1), "↑": (-1, 0)}  # rows and columns


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def agent_with(table, env):
    """An agent in a world of numbered states whose table is set by hand."""
    agent = QLearningAgent(n_steps=10, n_evaluations=0, random_state=0).fit(env)
    agent.qfunction_.table_[:] = table
    return agent


def random_table(n_states, n_actions):
    return np.random.default_rng(0).normal(size=(n_states, n_actions))


def texts(ax):
    """What is written in the middle of each cell, and in its corner."""
    middle, corner = {}, {}
    for text in ax.texts:
        column, row = text.get_position()
        cell = round(row), round(column)
        (middle if column == cell[1] else corner)[cell] = text.get_text()
    return middle, corner


def small_lake():
    return gymnasium.make("FrozenLake-v1", desc=["SFH", "FFG"], is_slippery=False)


# ---- grid worlds -------------------------------------------------------------------------------


@pytest.mark.parametrize("env", ["FrozenLake-v1", "FrozenLake8x8-v1", small_lake])
def test_a_frozen_lake(env):
    desc = (env() if callable(env) else gymnasium.make(env)).unwrapped.desc.astype(str)
    table = random_table(desc.size, 4)
    display = ValueDisplay.from_agent(agent_with(table, env), env)
    (ax,) = display.axes_
    drawn = ax.images[0].get_array()
    is_closed = (desc == "H") | (desc == "G")
    np.testing.assert_array_equal(drawn.mask, is_closed)
    expected = table.max(axis=1).reshape(desc.shape)
    np.testing.assert_array_equal(drawn.data, expected)
    middle, corner = texts(ax)
    words = {"H": "hole", "G": "goal"}
    arrows = np.array(list("←↓→↑"))[table.argmax(axis=1)].reshape(desc.shape)
    assert middle == {c: words.get(letter, arrows[c]) for c, letter in np.ndenumerate(desc)}
    assert corner == dict(np.ndenumerate(desc))
    # The colours span the cells that are shown.
    assert ax.images[0].get_clim() == (expected[~is_closed].min(), expected[~is_closed].max())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column", "row")
    assert ax.figure.axes[-1].get_ylabel() == BAR


def test_cliff_walking():
    table = random_table(48, 4)
    display = ValueDisplay.from_agent(agent_with(table, "CliffWalking-v1"), "CliffWalking-v1")
    (ax,) = display.axes_
    middle, corner = texts(ax)
    bottom = ["cliff"] * 10 + ["goal"]
    assert [middle[3, column] for column in range(1, 12)] == bottom
    assert corner == {(3, 0): "S"}
    for state in range(37):
        cell = divmod(state, 12)
        assert middle[cell] == "↑→↓←"[table[state].argmax()]
        assert ax.images[0].get_array()[cell] == table[state].max()
    assert ax.images[0].get_array().mask.sum() == len(bottom)
    assert ax.figure.axes[-1].get_xlabel() == BAR


@pytest.mark.parametrize(
    ("env", "state", "row", "column"),
    [
        (lambda: gymnasium.make("FrozenLake-v1", desc=["SFF"] * 2 + ["FFG"], is_slippery=False), 4, 1, 1),
        ("CliffWalking-v1", 13, 1, 1),
        ("Taxi-v4", ((2 * 5 + 1) * 5 + 0) * 4 + 3, 2, 1),
    ],
    ids=["FrozenLake", "CliffWalking", "Taxi"],
)  # fmt: skip
@pytest.mark.parametrize("action", range(4))
def test_arrows_point_where_the_action_leads(env, state, row, column, action):
    world = (env() if callable(env) else gymnasium.make(env)).unwrapped
    table = np.zeros((world.observation_space.n, world.action_space.n))
    table[:, action] = 1
    middle, _ = texts(ValueDisplay.from_agent(agent_with(table, env), env).axes_[0])
    rows, columns = STEPS[middle[row, column]]
    _, next_state, _, _ = world.P[state][action][0]
    width = {9: 3, 48: 12, 500: 5}[len(world.P)]
    per_cell = 20 if len(world.P) == 500 else 1
    assert next_state // per_cell == (row + rows) * width + column + columns


def test_taxi_shows_slices_and_only_allowed_actions():
    world = gymnasium.make("Taxi-v4").unwrapped
    masks = np.array([world.action_mask(state) for state in range(500)], bool)
    # Actions that are not allowed have never been tried: their values are the highest.
    table = np.where(masks, random_table(500, 6), 100.0)
    agent = agent_with(table, "Taxi-v4")
    display = ValueDisplay.from_agent(agent, "Taxi-v4", slices=[("R", "B"), ("taxi", "Y")])
    titles = ["passenger: R, destination: B", "passenger: taxi, destination: Y"]
    assert [ax.get_title() for ax in display.axes_] == titles
    symbols = ["↓", "↑", "→", "←", "pick", "drop"]
    for ax, passenger, destination in zip(display.axes_, (0, 4), (3, 2), strict=True):
        middle, corner = texts(ax)
        assert corner == {(0, 0): "R", (0, 4): "G", (4, 0): "Y", (4, 3): "B"}
        for row, column in np.ndindex(5, 5):
            state = world.encode(row, column, passenger, destination)
            allowed = np.where(masks[state], table[state], -np.inf)
            assert ax.images[0].get_array()[row, column] == allowed.max()
            assert middle[row, column] == symbols[allowed.argmax()]
        # A wall is where the action east (2) leads nowhere, though there is another cell.
        walls = {
            (row, column + 0.5)
            for row, column in np.ndindex(5, 4)
            for state in [world.encode(row, column, 0, 3)]
            if world.P[state][2][0][1] == state
        }
        lines = {(np.mean(line.get_ydata()), line.get_xdata()[0]) for line in ax.lines}
        assert lines == walls
    # One scale of colours for all maps.
    assert len({ax.images[0].get_clim() for ax in display.axes_}) == 1


def test_taxi_shows_four_slices_by_default():
    display = ValueDisplay.from_agent(agent_with(random_table(500, 6), "Taxi-v4"), "Taxi-v4")
    assert len(display.axes_) == 4
    assert display.values.shape == display.actions.shape == (4, 5, 5)


def test_three_slices_leave_no_empty_axes():
    display = ValueDisplay.from_agent(
        agent_with(0, "Taxi-v4"), "Taxi-v4", slices=[("R", to) for to in "GYB"]
    )
    assert len(display.figure_.axes) == 3 + 1  # and the colour bar


def test_an_academic_world():
    def env():
        return gymnasium.make("skrl/Corridor-v0", n=3)

    table = np.array([[1.0, 2], [4, 3], [5, 6], [9, 9]])
    display = ValueDisplay.from_agent(agent_with(table, env), env)
    middle, corner = texts(display.axes_[0])
    assert list(middle.values()) == ["→", "←", "→", "end"]
    assert list(corner.values()) == list("0123")
    drawn = display.axes_[0].images[0].get_array()
    assert drawn.tolist() == [[2, 4, 6, None]]


def test_any_numbered_states_with_a_shape_and_symbols():
    env = "skrl/MaximizationBias-v0"
    agent = agent_with(0, env)
    n_states, n_actions = agent.qfunction_.table_.shape
    agent.qfunction_.table_[:] = table = random_table(n_states, n_actions)
    display = ValueDisplay.from_agent(agent, env, shape=(n_states, 1), actions={1: "B"})
    middle, corner = texts(display.axes_[0])
    symbols = ["0", "B", *map(str, range(2, n_actions))]
    assert list(middle.values()) == [symbols[a] for a in table.argmax(axis=1)]
    assert not corner
    np.testing.assert_array_equal(display.values[0, :, 0], table.max(axis=1))


def test_the_first_of_equal_actions_is_shown_as_predicted():
    agent = agent_with(0.0, "FrozenLake-v1")
    display = ValueDisplay.from_agent(agent, "FrozenLake-v1")
    np.testing.assert_array_equal(display.actions.ravel(), agent.predict(np.arange(16)))


def test_the_picture_of_a_frozen_lake(tmp_path):
    table = np.zeros((16, 4))
    table[np.arange(16), np.arange(16) % 4] = np.linspace(0, 1, 16)
    agent = agent_with(table, "FrozenLake-v1")
    with plt.style.context("default", after_reset=True):
        figure = plt.figure(figsize=(4, 3.2), dpi=80)
        ax = figure.add_axes((0.1, 0.15, 0.8, 0.8))
        ValueDisplay.from_agent(agent, "FrozenLake-v1", ax=ax)
        # Versions of matplotlib draw text differently; the other tests read it.
        for text in figure.findobj(Text):
            text.set_visible(False)
        figure.savefig(tmp_path / "actual.png")
    assert compare_images(BASELINE, tmp_path / "actual.png", tol=3) is None


# ---- continuous states -------------------------------------------------------------------------


class Planes(RandomQFunction):
    """Q(s, 0) = s0 + 2 s1 - s2, Q(s, 1) = 10 s3."""

    def values(self, states):
        s = states.astype(np.float64)
        return np.stack([s[:, 0] + 2 * s[:, 1] - s[:, 2], 10 * s[:, 3]], axis=1)


@pytest.fixture(scope="module")
def pole():
    return QLearningAgent(Planes(), n_steps=10, n_evaluations=0).fit("CartPole-v1")


def test_a_plane_through_the_states_of_cart_pole(pole):
    display = ValueDisplay.from_agent(
        pole, "CartPole-v1", dims=(2, 3), at={0: 0.5}, ranges={3: (-1, 3)},
        actions={0: "left", 1: "right"},
    )  # fmt: skip
    value_ax, action_ax = display.axes_
    high = pole.state_space_.high[2]
    s2, s3 = np.meshgrid(np.linspace(-high, high, 101), np.linspace(-1, 3, 101))
    # s1 is unbounded, so it is 0.
    q = np.stack([0.5 - s2, 10 * s3])
    mesh, greedy = value_ax.collections[0], action_ax.collections[0]
    np.testing.assert_allclose(mesh.get_array(), q.max(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(greedy.get_array(), display.actions[0])
    clear = np.abs(q[0] - q[1]) > 1e-4
    np.testing.assert_array_equal(greedy.get_array()[clear], q.argmax(axis=0)[clear])
    # The first number grows to the right, the second one upwards.
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[50, :, 0].mean(), 0, atol=1e-6)
    assert corners[0, 0, 1] < corners[-1, 0, 1]
    for ax in display.axes_:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("state[2]", "state[3]")
    bars = [ax for ax in display.figure_.axes if ax not in set(display.axes_)]
    assert {bar.get_ylabel() for bar in bars} == {BAR, "greedy action"}
    (names,) = [bar.get_yticklabels() for bar in bars if bar.get_ylabel() != BAR]
    assert [name.get_text() for name in names] == ["left", "right"]


def test_bounds_are_the_ranges_and_their_middle_the_default():
    def env():
        return gymnasium.wrappers.RescaleObservation(
            gymnasium.make("Acrobot-v1"), np.float32(0), np.arange(2, 8, dtype=np.float32)
        )

    agent = QLearningAgent(Planes(), n_steps=10, n_evaluations=0).fit(env)
    states = ValueDisplay.from_agent(agent, env, dims=(0, 4)).layout.states[0]
    np.testing.assert_allclose(states[0, [0, -1], 0], [0, 2])
    np.testing.assert_allclose(states[[0, -1], 0, 4], [0, 6])
    np.testing.assert_allclose(states[50, 50], np.arange(2, 8) / 2)


def test_the_values_of_a_network():
    agent = QLearningAgent(
        DQN((8,)), runner=ExperienceReplay(learning_starts=64, train_freq=64),
        n_steps=256, n_evaluations=0, random_state=0,
    ).fit(Identity)  # fmt: skip
    display = ValueDisplay.from_agent(agent, Identity)
    states = display.layout.states.reshape(-1, 2)
    mesh, greedy = (ax.collections[0].get_array() for ax in display.axes_)
    np.testing.assert_array_equal(mesh.ravel(), agent.decision_function(states).max(axis=1))
    np.testing.assert_array_equal(greedy.ravel(), agent.predict(states))


# ---- axes, and what goes wrong -----------------------------------------------------------------


def test_plot_draws_where_it_is_told_and_returns_itself():
    figure, axes = plt.subplots(2, 2)
    agent = agent_with(random_table(16, 4), "FrozenLake-v1")
    display = ValueDisplay.from_agent(agent, "FrozenLake-v1", ax=axes[1, 0])
    assert display.axes_.tolist() == [axes[1, 0]]
    assert display.figure_ is figure
    assert display.plot() is display
    assert display.figure_ is not figure
    np.testing.assert_array_equal(
        display.axes_[0].images[0].get_array(), axes[1, 0].images[0].get_array()
    )


def test_the_number_of_axes_must_fit(pole):
    with pytest.raises(ValueError, match=r"Expected 2 axes, got 1.*plt.subplots\(1, 2\)"):
        ValueDisplay.from_agent(pole, "CartPole-v1", ranges={1: (-1, 1)}, ax=plt.subplots()[1])


def test_a_live_environment_is_left_alone():
    env = gymnasium.make("FrozenLake-v1")
    agent = agent_with(random_table(16, 4), env)
    env.reset(seed=0)
    env.unwrapped.s = 5
    ValueDisplay.from_agent(agent, env)
    assert env.unwrapped.s == 5
    env.step(0)


def test_an_agent_must_be_fitted():
    with pytest.raises(NotFittedError):
        ValueDisplay.from_agent(QLearningAgent(), "FrozenLake-v1")


def test_the_environment_must_fit_the_agent(pole):
    with pytest.raises(ValueError, match="Pass the environment that it was trained in"):
        ValueDisplay.from_agent(pole, "FrozenLake-v1")


@pytest.mark.parametrize(
    ("env", "arguments", "message"),
    [
        ("skrl/MaximizationBias-v0", {}, r"Pass its number of rows and columns, shape="),
        ("FrozenLake-v1", {"shape": (3, 5)}, r"map of 16 states, got \(3, 5\)"),
        ("FrozenLake-v1", {"at": {2: 0.0}}, r"do not apply to states of Discrete\(16\)"),
        ("FrozenLake-v1", {"actions": {4: "x"}}, "action indices, from 0 to 3"),
        ("FrozenLake-v1", {"slices": [("R", "G")]}, "slices are for Taxi only"),
        ("Taxi-v4", {"slices": [("R", "R")]}, "the episode has ended"),
        ("Taxi-v4", {"slices": [("R", "taxi")]}, r"where to \(one of"),
    ],
)
def test_numbered_states_that_cannot_be_drawn(env, arguments, message):
    with pytest.raises(ValueError, match=message):
        ValueDisplay.from_agent(agent_with(0, env), env, **arguments)


def test_a_known_map_with_other_actions_needs_a_shape():
    def env():
        return gymnasium.wrappers.TransformAction(
            gymnasium.make("FrozenLake-v1"), lambda index: index + 1, spaces.Discrete(2)
        )

    agent = agent_with(0, env)
    with pytest.raises(ValueError, match=r"one of \(16, 4\).*the agent has \(16, 2\)"):
        ValueDisplay.from_agent(agent, env)
    display = ValueDisplay.from_agent(agent, env, shape=(4, 4), actions={0: "↓", 1: "→"})
    assert set(texts(display.axes_[0])[0].values()) == {"↓"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"The range of state\[1\] must be finite.*ranges=\{1: \(-1, 1\)\}"),
        ({"ranges": {1: (2, 1)}}, r"increasing, got \(2, 1\)"),
        ({"shape": (2, 2)}, r"do not apply to states of Box"),
        ({"dims": (0, 4)}, "indices of a state of 4 numbers, from 0 to 3"),
        ({"dims": (1, 1)}, "two different indices"),
        ({"ranges": {2: (0, 1)}}, r"ranges must be a dict whose keys are among the indices \[0, 1\]"),
        ({"at": {1: 0.0}}, r"at must be a dict whose keys are among the indices \[2, 3\]"),
        ({"actions": {2: "jump"}}, r"actions must be a dict whose keys are among"),
    ],
)  # fmt: skip
def test_planes_that_cannot_be_drawn(pole, arguments, message):
    with pytest.raises(ValueError, match=message):
        ValueDisplay.from_agent(pole, "CartPole-v1", **arguments)


def test_other_states_cannot_be_drawn():
    def env():
        return gymnasium.wrappers.TransformObservation(
            gymnasium.make("FrozenLake-v1"),
            lambda state: np.array(divmod(state, 4)),
            spaces.MultiDiscrete([4, 4]),
        )

    agent = QLearningAgent(RandomQFunction(), n_steps=10, n_evaluations=0).fit(env)
    with pytest.raises(ValueError, match="Expected Discrete states, or a Box"):
        ValueDisplay.from_agent(agent, env)
