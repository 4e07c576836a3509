"""Saved agents: the same when loaded, and harmless whatever the file contains."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from functools import partial

import gymnasium
import joblib
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

import skrl
from skrl import (
    DQN,
    IQN,
    QRDQN,
    DoubleMemoizationQFunction,
    EpsilonGreedy,
    ExperienceReplay,
    Greedy,
    LinearSchedule,
    MemoizationQFunction,
    PrioritizedBuffer,
    QLearningAgent,
    RegressorQFunction,
)
from skrl.archives import archive
from skrl.callbacks import CSVLogger
from skrl.qfunctions.deep.networks import dense_network

RING = "skrl/CircularWorld-v0"
SHORT = {"n_steps": 300, "n_evaluations": 2, "n_evaluation_episodes": 5, "random_state": 0}
REPLAY = {"batch_size": 8, "train_freq": 50, "gradient_steps": 2, "learning_starts": 50}


def table(**parameters):
    return QLearningAgent(MemoizationQFunction(), **SHORT, **parameters)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A saved agent."""
    path = tmp_path_factory.mktemp("saved") / "ring.skrl"
    skrl.save(table().fit(RING), path)
    return path


@pytest.mark.parametrize(
    ("agent", "env"),
    [
        (table(), RING),
        (QLearningAgent(DoubleMemoizationQFunction(), **SHORT), "Blackjack-v1"),
        (table(), "Taxi-v4"),
        (
            QLearningAgent(
                DQN((8,), network=partial(dense_network, hidden_layer_sizes=(4,))),
                runner=ExperienceReplay(**REPLAY),
                **SHORT,
            ),
            "CartPole-v1",
        ),
        (
            QLearningAgent(
                QRDQN(4, hidden_layer_sizes=(8,)),
                EpsilonGreedy(LinearSchedule(1.0, 0.1)),
                ExperienceReplay(PrioritizedBuffer(), **REPLAY),
                **SHORT,
            ),
            "CartPole-v1",
        ),
        (
            QLearningAgent(
                IQN(4, hidden_layer_sizes=(8,), noisy=True),
                Greedy(),
                ExperienceReplay(**REPLAY),
                **SHORT,
            ),
            "CartPole-v1",
        ),
    ],
    ids=["table", "tuples", "masks", "dqn", "quantiles", "noise"],
)
def test_a_loaded_agent_acts_and_learns_on_like_the_saved_one(agent, env, tmp_path):
    agent.fit(env)
    skrl.save(agent, tmp_path / "agent.skrl")
    loaded = skrl.load(tmp_path / "agent.skrl")
    # What pickle keeps is kept: a pickled agent is the reference.
    reference = pickle.loads(pickle.dumps(agent))
    for other in (reference, loaded):
        other.partial_fit(env, n_steps=200)
    assert str(loaded) == str(agent)
    assert loaded.score(env, n_episodes=20) == reference.score(env, n_episodes=20)
    assert loaded.history_[:, "return"].tolist() == reference.history_[:, "return"].tolist()
    assert loaded.qfunction_ is loaded._parts.qfunction
    expected, found = reference.qfunction_.state(), loaded.qfunction_.state()
    assert pickle.dumps(_plain(expected)) == pickle.dumps(_plain(found))


def _plain(value):
    """Arrays as lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def test_an_agent_that_is_not_fitted_keeps_its_parameters(tmp_path):
    agent = table(callbacks=[CSVLogger(tmp_path / "log")], discount_factor=1 / 3)
    skrl.save(agent, tmp_path / "agent.skrl")
    loaded = skrl.load(tmp_path / "agent.skrl")
    assert loaded.discount_factor == 1 / 3
    assert loaded.callbacks[0].get_params() == agent.callbacks[0].get_params()
    assert not hasattr(loaded, "qfunction_")


def test_a_dense_network_predicts_without_tensorflow(tmp_path):
    agent = QLearningAgent(DQN((8,)), runner=ExperienceReplay(**REPLAY), **SHORT).fit("CartPole-v1")
    skrl.save(agent, tmp_path / "agent.skrl")
    code = (
        "import skrl, sys\n"
        "agent = skrl.load('agent.skrl')\n"
        "print(agent.decision_function([0.1, 0.2, 0.3, 0.4]).tolist(), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    expected = agent.decision_function([0.1, 0.2, 0.3, 0.4]).tolist()
    assert done.stdout == f"{expected} False\n"


def test_a_file_of_version_1_is_still_read():
    path = os.path.join(os.path.dirname(__file__), "agent_version_1.skrl")
    agent = skrl.load(path)
    # At distance d from 0 an agent earns 1 in each of the next d steps.
    integers = np.arange(-5, 6)
    exact = (1 - 0.9 ** np.abs(integers)) / 0.1
    np.testing.assert_allclose(agent.decision_function(integers).max(axis=1), exact, atol=0.05)


def test_what_is_in_a_file_can_be_read_without_loading_it(file):
    lines = skrl.inspect(file).splitlines()
    assert lines[:2] == ["agent: QLearningAgent", "  qfunction: MemoizationQFunction"]
    assert "      _table: array of shape (11, 3), dtype float64" in lines


# ---- one's own parts -----------------------------------------------------------------------------


class Cautious(EpsilonGreedy):
    """A policy that the library does not know."""


def build_network(state_shape, n_outputs):
    return dense_network(state_shape, n_outputs, (4,))


def test_own_parts_are_loaded_if_they_are_named(tmp_path):
    path = tmp_path / "agent.skrl"
    skrl.save(QLearningAgent(DQN(network=build_network), Cautious(0.3)), path)
    with pytest.raises(ValueError, match=r"contains a '.*build_network', .* custom=\[\.\.\.\]"):
        skrl.load(path)
    with pytest.raises(ValueError, match=r"contains a '.*Cautious'"):
        skrl.load(path, custom=[build_network])
    loaded = skrl.load(path, custom=[build_network, Cautious])
    assert loaded.qfunction.network is build_network
    assert type(loaded.policy) is Cautious
    assert loaded.policy.epsilon == 0.3
    with pytest.raises(TypeError, match="classes and functions, got 'Cautious'"):
        skrl.load(path, custom=["Cautious"])


def forest_agent():
    forest = RegressorQFunction(ExtraTreesRegressor(n_estimators=2))
    replay = ExperienceReplay(**REPLAY)
    return QLearningAgent(forest, runner=replay, n_steps=100, n_evaluations=0).fit("CartPole-v1")


@pytest.mark.parametrize(
    "make_agent",
    [
        forest_agent,
        lambda: table().set_params(random_state=np.random.RandomState(0)),
        lambda: QLearningAgent(DQN(network=lambda state_shape, n_outputs: None)),
    ],
    ids=["forest", "generator", "lambda"],
)
def test_what_is_not_safe_is_not_saved_and_the_old_file_stays(make_agent, tmp_path):
    path = tmp_path / "agent.skrl"
    path.write_text("old")
    with pytest.raises(TypeError, match=r"cannot be saved safely: .* with joblib.dump"):
        skrl.save(make_agent(), path)
    assert os.listdir(tmp_path) == ["agent.skrl"]
    assert path.read_text() == "old"


def test_only_agents_are_saved(tmp_path):
    with pytest.raises(TypeError, match="Expected a QLearningAgent to save, got DQN"):
        skrl.save(DQN(), tmp_path / "agent.skrl")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    def full_disk(*args):
        raise OSError(28, "No space left on device")

    path = tmp_path / "agent.skrl"
    skrl.save(table(discount_factor=0.5), path)
    monkeypatch.setattr(archive.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        skrl.save(table(), path)
    assert os.listdir(tmp_path) == ["agent.skrl"]
    assert skrl.load(path).discount_factor == 0.5


# ---- damaged files -------------------------------------------------------------------------------


def test_damaged_files_are_refused_or_loaded_unchanged(file, tmp_path):
    whole = file.read_bytes()
    agent = skrl.load(file)
    rng = np.random.default_rng(0)
    damaged, n_refused = tmp_path / "damaged.skrl", 0
    for i in range(500):
        content = bytearray(whole)
        if i % 2:
            content[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        else:
            content = content[: rng.integers(len(whole))]
        damaged.write_bytes(content)
        try:
            loaded = skrl.load(damaged)
        except ValueError:
            n_refused += 1
        else:
            assert i % 2  # what is cut off is missed
            np.testing.assert_array_equal(loaded.qfunction_.table_, agent.qfunction_.table_)
            assert str(loaded) == str(agent)
    assert n_refused > 400


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", pickle.dumps({})])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "file.skrl"
    path.write_bytes(content)
    for function in (skrl.load, skrl.inspect):
        with pytest.raises(ValueError, match=r"file.skrl' is not a file of skrl.save, or it is"):
            function(path)
    with pytest.raises(FileNotFoundError):
        skrl.load(tmp_path / "nothing.skrl")


# ---- hostile files -------------------------------------------------------------------------------


class Payload:
    """Leaves a trace if it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def members_of(file):
    with zipfile.ZipFile(file) as whole:
        return {name: whole.read(name) for name in whole.namelist()}


def write(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as hostile:
        for name, content in members.items():
            hostile.writestr(name, content)
    return path


def test_pickles_in_any_member_are_not_run(file, tmp_path):
    trace = tmp_path / "trace"
    members = members_of(file)
    with open(tmp_path / "payload.npy", "wb") as stream:
        np.save(stream, np.array([Payload(trace)], dtype=object), allow_pickle=True)
    for payload in (pickle.dumps(Payload(trace)), (tmp_path / "payload.npy").read_bytes()):
        for name in members:
            path = write(tmp_path / "hostile.skrl", {**members, name: payload})
            with pytest.raises(ValueError, match=r"hostile.skrl'"):
                skrl.load(path)
    assert not trace.exists()
    # The trace would be there if something was unpickled.
    joblib.load(_written(tmp_path / "pickle", pickle.dumps(Payload(trace))))
    assert trace.exists()


def _written(path, content):
    path.write_bytes(content)
    return path


def test_nothing_in_a_file_expands(file, tmp_path):
    members = members_of(file)
    bomb = {**members, "0.npy": bytes(100_000_000)}
    path = write(tmp_path / "bomb.skrl", bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    with pytest.raises(ValueError, match="is compressed"):
        skrl.load(path)


def test_an_array_has_the_bytes_that_it_declares(file, tmp_path):
    header = members_of(file)["0.npy"]
    for shape in ("(11, 3)", "(11, 3000000000)", "(-1, 3)", "(11, 3, 1" + "0" * 30 + ")"):
        text = str({"descr": "<f8", "fortran_order": False, "shape": 0}).replace(
            ": 0", ": " + shape
        )
        text = text.ljust(117) + "\n"
        content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
        path = write(tmp_path / "huge.skrl", {**members_of(file), "0.npy": content})
        with pytest.raises(ValueError, match=r"huge.skrl' .*an array of shape .* has 0 bytes"):
            skrl.load(path)
    assert len(header) > 11 * 3 * 8


@pytest.mark.parametrize("name", ["../../outside.npy", "/outside.npy", "1.npy/../0.npy", "x"])
def test_members_of_other_names_are_refused(name, file, tmp_path):
    path = write(tmp_path / "names.skrl", {**members_of(file), name: b"content"})
    with pytest.raises(ValueError, match="unexpected members"):
        skrl.load(path)
    assert not (tmp_path.parent / "outside.npy").exists()


def hostile_agent(agent):
    document = {"format": "skrl agent", "version": 1, "agent": agent}
    return {"document.json": json.dumps(document)}


def object_of(name, **attributes):
    state = {"dict": [[key, value] for key, value in attributes.items()]}
    return {"object": [name, 0, state]}


DEEP = []
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "agent",
    [
        object_of("subprocess.Popen", args="touch trace"),
        object_of("os.system"),
        {"name": "os.system"},
        {"partial": [{"name": "builtins.eval"}, ["1"], {"dict": []}]},
        {"namedtuple": ["os.stat_result", []]},
        {"namedtuple": ["DQN", []]},
        object_of("LearnerState"),
        object_of("dense_network"),
        object_of("DQN"),  # no agent
        {"again": 5},
        {"array": 3},
        {"scalar": ["V9999999999999", 0]},
        {"scalar": ["O", 0]},
        {"space": ["Box", {"dict": [["low", 0], ["high", 1], ["dtype", "<f4"]]}]},
        {"space": ["Box", {"dict": [["low", 0], ["high", 1], ["shape", [10**6, 10**6]]]}]},
        {"space": ["Graph", {"dict": []}]},
        {"seeds": [1, {"tuple": []}]},
        {"code": "print()"},
        {"class__": "DQN"},
        {},
        {"array": 0, "tuple": []},
        {"dict": [[{"dict": []}, 1]]},
        {"bytes": "?"},
        DEEP,
        None,
        5,
    ],
    ids=lambda agent: str(agent)[:40],
)
def test_hostile_documents_are_refused(agent, tmp_path):
    path = write(tmp_path / "hostile.skrl", hostile_agent(agent))
    with pytest.raises(ValueError, match=r"hostile.skrl' "):
        skrl.load(path)
    assert os.listdir(tmp_path) == ["hostile.skrl"]


def test_a_class_cannot_be_changed_by_an_attribute(tmp_path):
    agent = object_of("QLearningAgent", __class__={"name": "DQN"}, fit={"name": "DQN"})
    loaded = skrl.load(write(tmp_path / "agent.skrl", hostile_agent(agent)))
    assert type(loaded) is QLearningAgent


@pytest.mark.parametrize("version", [2, 0, None, "1", 1e9])
def test_other_versions_are_refused(version, tmp_path):
    document = {"format": "skrl agent", "version": version, "agent": None}
    path = write(tmp_path / "new.skrl", {"document.json": json.dumps(document)})
    with pytest.raises(ValueError, match=r"has the format version .* reads versions up to 1"):
        skrl.load(path)


@pytest.mark.parametrize("document", [[], {}, {"format": "skrl agent", "version": 1}, 3])
def test_other_documents_are_refused(document, tmp_path):
    path = write(tmp_path / "other.skrl", {"document.json": json.dumps(document)})
    with pytest.raises(ValueError, match=r"other.skrl' "):
        skrl.load(path)


def test_a_convolution_never_reads_outside_of_its_image(tmp_path):
    """The strides of a damaged or hostile file would let a view leave the memory."""
    space = gymnasium.spaces.Box(0, 255, (10, 10, 2), np.uint8)
    qfunction = DQN().build(space, 2, random_state=0)
    network = qfunction._numpy_network
    first = network.stack.convolutions[0]._replace(strides=(-1, 1))
    network.stack = network.stack._replace(convolutions=(first, *network.stack.convolutions[1:]))
    with pytest.raises(ValueError, match=r"strides of a convolution must be positive, got \(-1, 1"):
        qfunction.values(np.zeros((1, 10, 10, 2), np.uint8))
