"""The files of a checkpoint: whole at every moment, small, and harmless whatever they contain."""

import json
import os
import shutil
import zipfile

import numpy as np
import pytest

from skrl.checkpoints import files
from skrl.checkpoints.files import CheckpointFile, check_plain
from skrl.rings import Ring


def state_after(n, size=40):
    """What a run with a memory of `size` steps would write after n steps."""
    ring, squares = np.zeros((size, 2)), np.zeros(size, np.int64)
    for i in range(n):
        ring[i % size], squares[i % size] = i, i * i
    memory = {"pairs": Ring("pairs", ring, n), "squares": Ring("squares", squares, n)}
    return {"n": n, "memory": memory, "weights": np.full(5, float(n))}


def check(state, n, size=40):
    """A state that was read is the one after n steps."""
    newest = np.arange(max(0, n - size), n)
    assert state["n"] == n
    np.testing.assert_array_equal(state["weights"], np.full(5, float(n)))
    squares, pairs = state["memory"]["squares"], state["memory"]["pairs"]
    assert len(squares) == min(n, size)
    np.testing.assert_array_equal(squares[newest % size], newest**2)
    np.testing.assert_array_equal(pairs[newest % size, 0], newest)


def sizes(folder):
    return {file: os.path.getsize(folder / file) for file in sorted(os.listdir(folder))}


@pytest.mark.parametrize("step", [1, 7, 39, 40, 41, 100])
def test_what_was_written_is_read(step, tmp_path):
    file = CheckpointFile(tmp_path / "run")
    for n in range(0, 5 * step + 1, step):
        file.write(state_after(n))
        check(CheckpointFile(tmp_path / "run").read(), n)
        # A process that goes on writes to the same files.
        if n % 2:
            file = CheckpointFile(tmp_path / "run")
            file.read()


def test_only_new_entries_are_written(tmp_path):
    file = CheckpointFile(tmp_path / "run")
    file.write(state_after(10_000, size=20_000))
    before = sizes(tmp_path)
    assert list(before) == ["run", "run.1.steps"]
    file.write(state_after(10_100, size=20_000))
    after = sizes(tmp_path)
    assert list(after) == ["run", "run.1.steps", "run.2.steps"]
    assert before["run.1.steps"] == after["run.1.steps"] > 10_000 * 24
    assert after["run.2.steps"] < 100 * 24 + 2_000
    file.write(state_after(10_100, size=20_000))
    assert list(sizes(tmp_path)) == list(after)


def test_files_whose_entries_are_overwritten_are_removed(tmp_path):
    file = CheckpointFile(tmp_path / "run")
    for n in (30, 60, 90):
        file.write(state_after(n))
    assert list(sizes(tmp_path)) == ["run", "run.2.steps", "run.3.steps"]
    check(CheckpointFile(tmp_path / "run").read(), 90)


def test_there_are_never_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_FILES", 5)
    file = CheckpointFile(tmp_path / "run")
    for n in range(1, 30):
        file.write(state_after(n))
        assert len(os.listdir(tmp_path)) <= 6
    check(CheckpointFile(tmp_path / "run").read(), 29)


def test_a_ring_that_grows_is_read(tmp_path):
    file = CheckpointFile(tmp_path / "run")
    file.write(state_after(10, size=10))
    file.write(state_after(14, size=20))
    check(CheckpointFile(tmp_path / "run").read(), 14, size=20)


# ---- interrupted writes --------------------------------------------------------------------------


class Steps:
    """Counts the changes of the disk, and ends the process like SIGKILL before number `last`."""

    def __init__(self, last):
        self.last = last
        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, self.counted(getattr(os, name)))

    def counted(self, function):
        def count(*arguments, **keywords):
            self.last -= 1
            if self.last < 0:
                os._exit(9)
            return function(*arguments, **keywords)

        return count


def killed_write(path, n, last):
    """Go on from a checkpoint, and write the next one in a process that is killed before its end."""
    file = CheckpointFile(path)
    file.read()
    pid = os.fork()
    if pid == 0:
        Steps(last)
        file.write(state_after(n))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_write_that_is_killed_at_any_step_leaves_a_whole_checkpoint(tmp_path):
    original = tmp_path / "original"
    file = CheckpointFile(original / "run")
    for n in (30, 60):
        file.write(state_after(n))
    found = []
    for last in range(100):
        folder = tmp_path / str(last)
        shutil.copytree(original, folder)
        was_killed = killed_write(folder / "run", 90, last)
        again = CheckpointFile(folder / "run")
        found.append(again.read()["n"])
        check(again.read(), found[-1])
        # The next one is written, and what the killed process left is removed.
        again.write(state_after(95))
        check(CheckpointFile(folder / "run").read(), 95)
        assert not [name for name in os.listdir(folder) if name.endswith(".part")]
        assert len(os.listdir(folder)) <= 4
        if not was_killed:
            break
    # The old one is there until the new one is whole.
    assert found == sorted(found)
    assert found.count(60) >= 4
    assert found.count(90) >= 2


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    file = CheckpointFile(tmp_path / "run")
    file.write(state_after(10))
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        file.write(state_after(20))
    monkeypatch.undo()
    assert list(sizes(tmp_path)) == ["run", "run.1.steps"]
    check(CheckpointFile(tmp_path / "run").read(), 10)
    file.write(state_after(30))
    check(CheckpointFile(tmp_path / "run").read(), 30)


def test_what_is_not_plain_is_refused(tmp_path):
    for value in (object(), np.array([None]), {1, 2}, lambda: 0):
        with pytest.raises(TypeError, match=r"cannot be saved safely: .* train without one"):
            check_plain({"value": value})
    with pytest.raises(TypeError):
        CheckpointFile(tmp_path / "run").write({"value": object()})
    assert os.listdir(tmp_path) == []


# ---- damaged and foreign files -------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of three files."""
    file = CheckpointFile(tmp_path / "whole" / "run")
    for n in (20, 35):
        file.write(state_after(n))
    return tmp_path / "whole"


def test_damaged_files_are_refused_or_read_unchanged(folder, tmp_path):
    rng, n_refused = np.random.default_rng(0), 0
    names = os.listdir(folder)
    assert len(names) == 3
    for i in range(500):
        name = names[i % 3]
        whole = (folder / name).read_bytes()
        content = bytearray(whole)
        if i % 2:
            content[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        else:
            content = content[: rng.integers(len(whole))]
        (folder / name).write_bytes(content)
        try:
            state = CheckpointFile(folder / "run").read()
        except ValueError as error:
            assert str(folder / name) in str(error)  # noqa: PT017
            n_refused += 1
        else:
            assert i % 2  # what is cut off is missed
            check(state, 35)
        (folder / name).write_bytes(whole)
    assert n_refused > 400


def test_a_missing_part_is_named(folder):
    os.remove(folder / "run.1.steps")
    with pytest.raises(ValueError, match=r"run' .* part 'run.1.steps' is missing. Move, copy and"):
        CheckpointFile(folder / "run").read()


def test_parts_of_another_checkpoint_are_refused(folder, tmp_path):
    other = CheckpointFile(tmp_path / "other" / "run")
    for n in (20, 35):
        other.write(state_after(n))
    shutil.copy(tmp_path / "other" / "run.2.steps", folder)
    with pytest.raises(ValueError, match=r"run.2.steps' belongs to another checkpoint"):
        CheckpointFile(folder / "run").read()
    # Nor is a part in the place of the first file.
    shutil.copy(folder / "run.2.steps", folder / "run")
    with pytest.raises(ValueError, match=r"run' is not a checkpoint of skrl"):
        CheckpointFile(folder / "run").read()


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "run").write_bytes(content)
    with pytest.raises(ValueError, match=r"run' is not a checkpoint of skrl, or it is damaged"):
        CheckpointFile(tmp_path / "run").read()
    with pytest.raises(FileNotFoundError):
        CheckpointFile(tmp_path / "nothing").read()


@pytest.mark.parametrize(
    "change",
    [
        {"pieces": 3},
        {"pieces": [["../../outside", {}]]},
        {"pieces": [[99, {}]]},
        {"pieces": []},
        {"rings": {"pairs": [10**15, 10**15]}},
        {"rings": {"pairs": [-1, 35], "squares": [40, 35]}},
        {"rings": {}},
        {"state": {"ring": "nothing"}},
        {"state": {"object": ["os.system", 0, {"dict": []}]}},
        {"state": {"array": 10**9}},
        {"run": None},
    ],
    ids=str,
)
def test_hostile_documents_are_refused(change, folder):
    with zipfile.ZipFile(folder / "run") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    document = {**json.loads(members["document.json"]), **change}
    members["document.json"] = json.dumps(document).encode()
    with zipfile.ZipFile(folder / "run", "w") as hostile:
        for name, content in members.items():
            hostile.writestr(name, content)
    with pytest.raises(ValueError, match=r"run"):
        CheckpointFile(folder / "run").read()


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_other_versions_are_refused(version, folder, monkeypatch):
    monkeypatch.setattr(files, "VERSION", version)
    CheckpointFile(folder / "run").write(state_after(10))
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"has the format version .* reads version 1\."):
        CheckpointFile(folder / "run").read()
