"""From plain values to JSON and arrays, and back.

Numbers, texts, lists and None are themselves in JSON. Anything else is a dict with a single key,
which names its kind.
"""

import base64
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import PCG64, Generator

from skrl.archives.archive import KINDS

# Types of scalars.
NUMBERS = "biuf"


class Encoder:
    """Turns plain values into what JSON can hold.

    Attributes
    ----------
    arrays : list of ndarray
        The arrays that were met.
    """

    # What to do with a value that is not plain.
    advice = ""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self._met: dict[int, tuple[Any, Any]] = {}  # an object, and how it is referred to

    def encode(self, value: Any) -> Any:
        """Encode a value.

        Raises
        ------
        TypeError
            If there is no safe way.
        """
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is list:
            return [self.encode(item) for item in value]
        if id(value) in self._met:
            return self._met[id(value)][1]
        encoded = self._tagged(value)
        if encoded is not None:
            return encoded
        kind = type(value)
        raise TypeError(
            f"A {kind.__module__}.{kind.__qualname__} cannot be saved safely: {value!r:.80}."
            f"{self.advice}"
        )

    def _tagged(self, value: Any) -> dict[str, Any] | None:
        """Encode a value as its kind and its content; None if there is no safe way."""
        kind = type(value)
        if isinstance(value, np.ndarray) and value.dtype.kind in KINDS:
            return {"array": self._array(value)}
        if isinstance(value, np.generic) and value.dtype.kind in NUMBERS + "U":
            return {"scalar": [value.dtype.str, value.item()]}
        if kind is tuple:
            return {"tuple": self.encode(list(value))}
        if kind is dict:
            return {"dict": [[self.encode(k), self.encode(v)] for k, v in value.items()]}
        if kind is deque:
            return {"deque": [value.maxlen, self.encode(list(value))]}
        if kind is complex:
            return {"complex": [value.real, value.imag]}
        if kind is bytes:
            return {"bytes": base64.b64encode(value).decode()}
        if kind is Generator and type(value.bit_generator) is PCG64:
            return {"generator": self.encode(value.bit_generator.state)}
        return None

    def _array(self, array: np.ndarray) -> int:
        self._met[id(array)] = array, {"array": len(self.arrays)}
        self.arrays.append(array)
        return len(self.arrays) - 1


def number_type(name: Any, kinds: str = NUMBERS) -> Any:
    """NumPy's type of a name such as ``"<f4"``; a ValueError if it is not one of `kinds`."""
    dtype = np.dtype(str(name))
    if dtype.kind not in kinds:
        raise ValueError(f"it contains numbers of the type {name!r}")
    return dtype.type


class Decoder:
    """Turns the JSON of an `Encoder` into values.

    Parameters
    ----------
    arrays : list of ndarray
        The arrays of the file.
    """

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays

    def decode(self, value: Any) -> Any:
        """Decode a value.

        Raises
        ------
        ValueError
            If the file contains what is not known.
        """
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        make: Callable[[Any], Any] | None = getattr(self, f"_make_{kind}", None)
        if make is None:
            raise ValueError(f"it contains a {kind!r}, which this version does not know")
        return make(content)

    def _make_array(self, number: int) -> np.ndarray:
        return self.arrays[number]

    def _make_scalar(self, content: list[Any]) -> np.generic:
        dtype, number = content
        scalar: np.generic = number_type(dtype, NUMBERS + "U")(number)
        return scalar

    def _make_tuple(self, content: list[Any]) -> tuple[Any, ...]:
        return tuple(self.decode(content))

    def _make_dict(self, content: list[Any]) -> dict[Any, Any]:
        return {self.decode(key): self.decode(item) for key, item in content}

    def _make_deque(self, content: list[Any]) -> deque[Any]:
        maxlen, items = content
        return deque(self.decode(items), maxlen)

    def _make_complex(self, content: list[float]) -> complex:
        return complex(*content)

    def _make_bytes(self, content: str) -> bytes:
        return base64.b64decode(content)

    def _make_generator(self, content: Any) -> Generator:
        generator = Generator(PCG64(0))
        generator.bit_generator.state = self.decode(content)
        return generator
