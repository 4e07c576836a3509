"""Archives of one JSON document and many arrays: a zip file that nothing in it can expand.

Members are stored, not compressed, so what is read is never larger than the file. Arrays are
``.npy`` files, read without pickle: ``numpy.load`` opens the whole archive, too.
"""

import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.lib import format as npy

DOCUMENT = "document.json"
# Booleans, integers, floats, complex numbers and texts; no Python objects.
KINDS = "biufcSU"


def write_archive(path: str | Path, document: Any, arrays: Sequence[np.ndarray]) -> None:
    """Write an archive. A file of this name is replaced when the new one is whole.

    Parameters
    ----------
    path : str or Path
        Where to.
    document : object
        What JSON can hold.
    arrays : list of ndarray
        Without Python objects.

    Raises
    ------
    OSError
        If writing fails. The file is then as it was.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            with ZipFile(file, "w", ZIP_STORED) as archive:
                archive.writestr(DOCUMENT, json.dumps(document))
                for i, array in enumerate(arrays):
                    with archive.open(_member(i), "w", force_zip64=True) as member:
                        npy.write_array(member, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say it
        raise


def _flush_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, so that a file that was replaced stays replaced."""
    if os.name != "posix":
        return
    with suppress(OSError):  # not every file system can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_archive(path: str | Path, kind: str, advice: str) -> tuple[Any, list[np.ndarray]]:
    """Read an archive.

    Parameters
    ----------
    path : str or Path
        Which file.
    kind, advice : str
        What the file should be, and what to do if it is not, for the error message.

    Returns
    -------
    document : object
        The JSON document.
    arrays : list of ndarray
        In the order in which they were written.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not an archive of `write_archive`, or it is damaged.
    """
    with open(path, "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size)
        except (
            # what zipfile, json and numpy raise for damaged bytes
            BadZipFile, ValueError, KeyError, EOFError, RuntimeError, NotImplementedError, OSError,
            RecursionError, SyntaxError, TypeError, OverflowError, MemoryError,
        ) as error:  # fmt: skip
            raise ValueError(
                f"{str(path)!r} is not {kind}, or it is damaged: {error}. {advice}"
            ) from error


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Turn what is raised for an unexpected content into a ValueError that names the file."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError,
            RecursionError, MemoryError) as error:  # fmt: skip
        raise ValueError(f"{str(path)!r} cannot be read: {str(error).rstrip('.')}.") from error


def _read(file: Any, n_bytes: int) -> tuple[Any, list[np.ndarray]]:
    with ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if names != [DOCUMENT, *(_member(i) for i in range(len(names) - 1))]:
            raise ValueError("it has unexpected members")
        for member in members:
            if member.compress_type != ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError(f"its member {member.filename!r} is compressed")
        if sum(member.file_size for member in members) > n_bytes:
            raise ValueError("its members are larger than the file")
        contents = [archive.read(member) for member in members]  # checks their CRC-32
    return json.loads(contents[0]), [_to_array(content) for content in contents[1:]]


def _to_array(content: bytes) -> np.ndarray:
    """Read an array, unless its header declares what does not follow."""
    stream = io.BytesIO(content)
    if npy.read_magic(stream) != (1, 0):
        raise ValueError("an array has an unknown version")
    shape, is_fortran, dtype = npy.read_array_header_1_0(stream)
    data = memoryview(content)[stream.tell() :]
    fits = min(shape, default=0) >= 0 and prod(shape) * dtype.itemsize == len(data)
    if dtype.kind not in KINDS or not fits:
        raise ValueError(f"an array of shape {shape} and dtype {dtype} has {len(data)} bytes")
    flat = np.frombuffer(data, dtype, count=prod(shape)).copy()
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _member(i: int) -> str:
    return f"{i}.npy"
