"""Two runs never write the same file."""

import os
import subprocess
import sys

import pytest

from skrl.checkpoints.lock import Lock


def test_a_file_has_one_lock_at_a_time(tmp_path):
    path = tmp_path / "folder" / "run"
    lock = Lock(path)
    other = Lock(tmp_path / "folder" / "other")
    with pytest.raises(BlockingIOError):
        Lock(path)
    lock.release()
    lock.release()
    again = Lock(path)
    for held in (again, other):
        held.release()
    assert os.listdir(tmp_path / "folder") == []


@pytest.mark.skipif(sys.platform == "win32", reason="locks there are for one process")
def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from skrl.checkpoints.lock import Lock\n"
        f"lock = Lock(Path({str(tmp_path / 'run')!r})); print(flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        process.stdout.readline()
        with pytest.raises(BlockingIOError):
            Lock(tmp_path / "run")
        process.kill()
        process.wait()
        Lock(tmp_path / "run").release()
    assert os.listdir(tmp_path) == []
