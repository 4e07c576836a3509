"""From Python objects to JSON and arrays, and back.

Besides plain values (`skrl.archives`) there are objects: the name of the class, and what
`__getstate__` gives.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.random import SeedSequence

from skrl.archives.values import Decoder, Encoder, number_type
from skrl.persistence.registry import full_name, name_of

# How spaces are made: the names of their arguments. None of them says how large an array is.
SPACES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "Box": (spaces.Box, ("low", "high", "dtype")),
    "Discrete": (spaces.Discrete, ("n", "start", "dtype")),
    "MultiDiscrete": (spaces.MultiDiscrete, ("nvec", "start", "dtype")),
    "MultiBinary": (spaces.MultiBinary, ("n",)),
    "Tuple": (spaces.Tuple, ("spaces",)),
    "Dict": (spaces.Dict, ("spaces",)),
}
SEED_ARGUMENTS = ("entropy", "spawn_key", "n_children_spawned")


class AgentEncoder(Encoder):
    """Turns an agent, and everything that it consists of, into what JSON can hold."""

    advice = " Save the agent with joblib.dump."

    def _tagged(self, value: Any) -> dict[str, Any] | None:
        """Encode a value as its kind and its content; None if there is no safe way."""
        plain = super()._tagged(value)
        if plain is not None:
            return plain
        kind = type(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return {"namedtuple": [name_of(kind), self.encode(list(value))]}
        if kind.__name__ in SPACES and kind is SPACES[kind.__name__][0]:
            return {"space": self._space(value)}
        if kind is SeedSequence:
            return {"seeds": [self.encode(getattr(value, n)) for n in SEED_ARGUMENTS]}
        if isinstance(value, Path):
            return {"path": str(value)}
        if isinstance(value, type | FunctionType) and "<" not in value.__qualname__:
            return {"name": name_of(value)}
        if kind is partial:
            parts = [value.func, list(value.args), value.keywords]
            return {"partial": self.encode(parts)}
        if hasattr(value, "__dict__") and kind.__module__ != "builtins":
            return {"object": self._object(value)}
        return None

    def _space(self, space: Any) -> list[Any]:
        name = type(space).__name__
        arguments = {key: getattr(space, key) for key in SPACES[name][1]}
        if "dtype" in arguments:
            arguments["dtype"] = np.dtype(space.dtype).str
        if name == "Dict":
            arguments["spaces"] = dict(space.spaces)
        return [name, self.encode(arguments)]

    def _object(self, value: Any) -> list[Any]:
        number = len(self._met)
        self._met[id(value)] = value, {"again": number}
        state = value.__getstate__()
        if state is not None and not isinstance(state, Mapping):
            raise TypeError(
                f"A {full_name(type(value))} cannot be saved safely: its state is not a dict, but "
                f"a {type(state).__name__}. Save the agent with joblib.dump."
            )
        return [name_of(type(value)), number, self.encode(dict(state or {}))]


class AgentDecoder(Decoder):
    """Turns the JSON of an `Encoder` into objects, of known classes only.

    No constructor of a part is called: an object gets the attributes it had.

    Parameters
    ----------
    arrays : list of ndarray
        The arrays of the file.
    known : dict
        The classes and functions that may occur, by name.
    """

    def __init__(self, arrays: list[np.ndarray], known: Mapping[str, Any]) -> None:
        super().__init__(arrays)
        self.known = known
        self._objects: dict[int, Any] = {}

    def _make_namedtuple(self, content: list[Any]) -> Any:
        name, items = content
        return self._class(name, tuple)(*self.decode(items))

    def _make_space(self, content: list[Any]) -> Any:
        name, arguments = content
        make, expected = SPACES[name]
        decoded = self.decode(arguments)
        if set(decoded) != set(expected):
            raise ValueError(f"its {name} space has the arguments {sorted(decoded)}")
        if "dtype" in decoded:
            decoded["dtype"] = number_type(decoded["dtype"])
        if name == "Box" and not isinstance(decoded["low"], np.ndarray):
            raise ValueError("its Box space has no arrays as bounds")
        return make(**decoded)

    def _make_seeds(self, content: list[Any]) -> SeedSequence:
        arguments = dict(zip(SEED_ARGUMENTS, self.decode(content), strict=True))
        return SeedSequence(**arguments)

    def _make_path(self, content: str) -> Path:
        return Path(content)

    def _make_name(self, name: str) -> Any:
        return self._known(name)

    def _make_partial(self, content: Any) -> Any:
        function, args, keywords = self.decode(content)
        return partial(function, *args, **keywords)

    def _make_object(self, content: list[Any]) -> Any:
        name, number, state = content
        made = object.__new__(self._class(name, object))
        self._objects[number] = made
        attributes = self.decode(state)
        if hasattr(made, "__setstate__"):
            made.__setstate__(attributes)
        else:
            vars(made).update(attributes)
        return made

    def _make_again(self, number: int) -> Any:
        return self._objects[number]

    def _class(self, name: str, base: type) -> Any:
        found = self._known(name)
        if not (isinstance(found, type) and issubclass(found, base)):
            raise ValueError(f"its {name!r} is not a class of the expected kind")
        return found

    def _known(self, name: str) -> Any:
        if name not in self.known:
            raise ValueError(
                f"it contains a {name!r}, which is not part of this library. If you trust the "
                "file, name the class or function: skrl.load(path, custom=[...])"
            )
        return self.known[name]
