"""The files of a checkpoint: one of the run's state, and some of the entries of its rings.

The first file is replaced as a whole. Entries of rings (`skrl.rings`), such as the steps in a
replay memory, are written once, to files beside it with the endings ``.1.steps``, ``.2.steps``, and
so on. The first file says which of those belong to it.
"""

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from skrl.archives.archive import naming, read_archive, write_archive
from skrl.archives.values import Decoder, Encoder
from skrl.base import State
from skrl.rings import Ring, places

FORMAT, STEPS_FORMAT, VERSION = "skrl checkpoint", "skrl checkpoint steps", 1
KIND, ADVICE = "a checkpoint of skrl", "Go on from a copy of it, or begin a new training."
TOGETHER = "Move, copy and rename all files of a checkpoint together"
# With more files, all entries are written to a new one.
MAX_FILES = 50

# The number of a file, and from where to where it has entries of each ring.
Piece = tuple[int, dict[str, list[int]]]


class CheckpointFile:
    """Writes and reads a checkpoint.

    Parameters
    ----------
    path : str or Path
        The first file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._run = uuid4().hex
        self._pieces: list[Piece] = []

    def write(self, state: State) -> None:
        """Replace the checkpoint, once the new one is whole.

        Parameters
        ----------
        state : dict
            Plain values, and rings. Successive calls have the same rings.

        Raises
        ------
        TypeError
            If a value is not plain. The checkpoint is then as it was.
        OSError
            If writing fails. The checkpoint is then as it was.
        """
        encoder = _Encoder()
        encoded = encoder.encode(state)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        pieces = self._write_new_entries(encoder.rings)
        sizes = {name: [ring.size, ring.n_written] for name, ring in encoder.rings.items()}
        document = {
            "format": FORMAT,
            "version": VERSION,
            "run": self._run,
            "pieces": pieces,
            "rings": sizes,
            "state": encoded,
        }
        write_archive(self.path, document, encoder.arrays)
        self._pieces = pieces
        self._remove(self._numbers() - {number for number, _ in pieces})

    def _write_new_entries(self, rings: dict[str, Ring]) -> list[Piece]:
        """Write the entries that are in no file yet to a new one, and list the files needed."""
        pieces = [piece for piece in self._pieces if _is_needed(piece, rings)]
        if len(pieces) >= MAX_FILES:
            pieces = []
        written = {name: limits[1] for _, piece in pieces for name, limits in piece.items()}
        new = {
            name: [max(ring.first, written.get(name, 0)), ring.n_written]
            for name, ring in rings.items()
            if written.get(name, -1) < ring.n_written
        }
        if new:
            number = max(self._numbers(), default=0) + 1
            entries = [rings[name].since(first) for name, (first, _) in new.items()]
            document = {"format": STEPS_FORMAT, "run": self._run, "number": number, "entries": new}
            write_archive(self._piece_path(number), document, entries)
            pieces.append((number, new))
        return pieces

    def read(self) -> State:
        """Read the checkpoint, and continue it with the next `write`.

        Returns
        -------
        dict
            In the place of each ring an array, where entry i stands at place ``i % size``.

        Raises
        ------
        OSError
            If a file cannot be read.
        ValueError
            If a file is not of a checkpoint, is damaged, is of another version, belongs to another
            checkpoint, or is missing beside the first one.
        """
        document, arrays = read_archive(self.path, KIND, ADVICE)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"{str(self.path)!r} is not {KIND}.")
        if document.get("version") != VERSION:
            raise ValueError(
                f"{str(self.path)!r} has the format version {document.get('version')!r}; this "
                f"version of the library reads version {VERSION}. Continue the run with the "
                "version that began it."
            )
        with naming(self.path):
            run, pieces = document["run"], [(n, limits) for n, limits in document["pieces"]]
            entries = [self._read_piece(run, *piece) for piece in pieces]
            rings = {
                name: _assemble(name, size, n_written, [e[name] for e in entries if name in e])
                for name, (size, n_written) in document["rings"].items()
            }
            state: State = _Decoder(arrays, rings).decode(document["state"])
        self._run, self._pieces = run, pieces
        return state

    def _read_piece(
        self, run: str, number: int, limits: dict[str, list[int]]
    ) -> dict[str, tuple[int, np.ndarray]]:
        """Read the number of the first entry, and all entries, of each ring in a file."""
        path = self._piece_path(int(number))
        if not path.exists():
            raise ValueError(f"its part {path.name!r} is missing. {TOGETHER}")
        document, arrays = read_archive(path, f"a part of {KIND}", ADVICE)
        expected = {"format": STEPS_FORMAT, "run": run, "number": number, "entries": limits}
        if document != expected:
            raise ValueError(f"{str(path)!r} belongs to another checkpoint. {TOGETHER}")
        pairs = zip(limits.items(), arrays, strict=True)
        return {name: (first, entries) for (name, (first, _)), entries in pairs}

    def _piece_path(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}.steps")

    def _numbers(self) -> set[int]:
        """The numbers of the files beside this one."""
        pattern = re.compile(re.escape(self.path.name) + r"\.(\d+)\.steps")
        names = [pattern.fullmatch(file.name) for file in self.path.parent.iterdir()]
        return {int(name[1]) for name in names if name}

    def _remove(self, numbers: set[int]) -> None:
        """Remove files that are not needed, and what a killed process left."""
        for number in numbers:
            self._piece_path(number).unlink(missing_ok=True)
        pattern = re.compile(re.escape(self.path.name) + r"(\.\d+\.steps)?\.\d+\.part")
        for file in list(self.path.parent.iterdir()):
            if pattern.fullmatch(file.name):
                file.unlink(missing_ok=True)


def check_plain(state: State) -> None:
    """Raise a TypeError if a state cannot be written."""
    _Encoder().encode(state)


class _Encoder(Encoder):
    """Encodes a state, and collects its rings."""

    advice = " It cannot be part of a checkpoint: train without one."

    def __init__(self) -> None:
        super().__init__()
        self.rings: dict[str, Ring] = {}

    def _tagged(self, value: Any) -> dict[str, Any] | None:
        if isinstance(value, Ring):
            self.rings[value.name] = value
            return {"ring": value.name}
        return super()._tagged(value)


class _Decoder(Decoder):
    """Decodes a state, with the arrays of its rings."""

    def __init__(self, arrays: list[np.ndarray], rings: dict[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.rings = rings

    def _make_ring(self, name: str) -> np.ndarray:
        return self.rings[name]


def _is_needed(piece: Piece, rings: dict[str, Ring]) -> bool:
    """Whether a file has entries that are still there."""
    return any(last > rings[name].first for name, (_, last) in piece[1].items())


def _assemble(
    name: str, size: int, n_written: int, pieces: list[tuple[int, np.ndarray]]
) -> np.ndarray:
    """Put entries of several files where they stand in a ring."""
    n_places, filled = min(size, n_written), max(0, n_written - size)
    one = pieces[0][1]
    ring = np.empty((n_places, *one.shape[1:]), one.dtype)
    for first, entries in pieces:
        last = first + len(entries)
        if filled < last:
            if first > filled:
                break
            ring[places(filled, last - filled, size)] = entries[filled - first :]
            filled = last
    if filled != n_written:
        raise ValueError(f"entries of {name} are missing")
    return ring
