"""A disk that is full, or a folder that cannot be written to, damages nothing."""

import signal
from contextlib import contextmanager

import numpy as np
import pytest
from interruptions import replay, table
from outcomes import outcome

import skrl
from skrl import Callback
from skrl.callbacks import Checkpoint, CSVLogger

resource = pytest.importorskip("resource")  # not on Windows


@contextmanager
def full_disk():
    """Let files take no more than a hundred bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


class FillTheDisk(Callback):
    """Fills the disk after so many steps."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_rollout_end(self, run):
        if run.history.n_steps >= self.n_steps and not hasattr(self, "disk_"):
            self.disk_ = full_disk()
            self.disk_.__enter__()

    def on_run_end(self, run):
        if hasattr(self, "disk_"):
            self.disk_.__exit__(None, None, None)
            del self.disk_


@pytest.mark.parametrize("make", [table, replay])
def test_the_last_checkpoint_stays_and_the_agent_keeps_what_it_has_learned(make, tmp_path):
    whole = make(n_steps=2_000).fit("FrozenLake-v1")
    path = tmp_path / "run.checkpoint"
    checkpoint = Checkpoint(path, interval=256)
    agent = make(n_steps=2_000, callbacks=[FillTheDisk(1_000), checkpoint])
    with pytest.raises(OSError, match=r"File too large: .*run\.checkpoint"):
        agent.fit("FrozenLake-v1")
    assert agent.n_steps_ == 1_024
    agent.predict(np.arange(16))
    resumed = make(n_steps=2_000, callbacks=[checkpoint])
    resumed.fit("FrozenLake-v1", resume_from=path)
    np.testing.assert_equal(outcome(resumed), outcome(whole))


def test_a_fitted_agent_stays_as_it_was(tmp_path):
    agent = table().fit("FrozenLake-v1")
    before = outcome(agent)
    agent.set_params(callbacks=[FillTheDisk(300), Checkpoint(tmp_path / "run", interval=256)])
    with pytest.raises(OSError, match="File too large"):
        agent.fit("FrozenLake-v1")
    np.testing.assert_equal(outcome(agent), before)


def test_a_log_says_which_file(tmp_path):
    agent = table(callbacks=[FillTheDisk(300), CSVLogger(tmp_path)])
    with pytest.raises(OSError, match="File too large"):
        agent.fit("FrozenLake-v1")
    assert agent.n_steps_ >= 300


def test_an_old_file_stays(tmp_path):
    path = tmp_path / "agent.skrl"
    skrl.save(table(discount_factor=0.5), path)
    with full_disk(), pytest.raises(OSError, match=r"File too large: .*agent\.skrl"):
        skrl.save(table(), path)
    assert skrl.load(path).discount_factor == 0.5
    assert [file.name for file in tmp_path.iterdir()] == ["agent.skrl"]


@pytest.mark.parametrize("make", [Checkpoint, CSVLogger])
def test_a_path_that_cannot_be_written_is_refused_before_training(make, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    path = tmp_path / "file" / "run"
    agent = table().fit("FrozenLake-v1")
    before = outcome(agent)
    with pytest.raises(OSError, match="file"):
        agent.set_params(callbacks=[make(path)]).fit("FrozenLake-v1")
    np.testing.assert_equal(outcome(agent), before)
    with pytest.raises(OSError, match="file"):
        skrl.save(agent, path)
