"""Keep two runs from writing the same file."""

import os
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: the runs of one process are kept apart only
    fcntl = None  # type: ignore[assignment]

# Locks of this process. The system's locks tell processes apart, but not the runs of one.
_held: set[Path] = set()


class Lock:
    """The right to write a file, which ends with `release`, or with the process.

    Parameters
    ----------
    path : Path
        The file. The lock is a file beside it, which is removed when it is released.

    Raises
    ------
    BlockingIOError
        If another run holds the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.lock").absolute()
        if self.path in _held:
            raise BlockingIOError(f"{path} is in use")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: Any = None
        while self._file is None:
            file = self.path.open("w")
            try:
                if fcntl is not None:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                    self._file = file
            except FileNotFoundError:
                pass  # another run removed the file in between: make it again
            finally:
                if self._file is None:
                    file.close()
        _held.add(self.path)

    def release(self) -> None:
        """Let others write the file. May be called again."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self._file.close()
            self._file = None
            _held.discard(self.path)
