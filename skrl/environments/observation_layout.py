"""The numbers in an observation, one after another, with their names and bounds."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from skrl.arrays import describe


class Part(NamedTuple):
    """An array in an observation; the observation itself, unless its space is Dict or Tuple.

    Parameters
    ----------
    name : str
        Such as ``observation['speed']``.
    keys : tuple
        The keys that lead to it.
    space : gymnasium.Space
        Its space.
    """

    name: str
    keys: tuple[Any, ...]
    space: gymnasium.Space[Any]


class Problem(NamedTuple):
    """What is wrong with the form of a part of an observation.

    Parameters
    ----------
    code : str
        "observation-shape" or "observation-dtype".
    name : str
        The name of the part.
    text : str
        What it is, and what it should be.
    """

    code: str
    name: str
    text: str


class ObservationLayout:
    """The components of an observation: all numbers of all of its parts, in order.

    Unlike states (see `skrl.environments.spaces.StateTranslator`), they are exactly what the
    environment gave: nothing is one-hot encoded, shifted or converted to a shorter dtype.

    Parameters
    ----------
    space : gymnasium.Space
        The space of one observation, one that `GymEnvironment` supports.

    Attributes
    ----------
    size : int
        Number of components.
    low, high : ndarray of shape (size,), dtype float64
        Their bounds, as the space says.

    Examples
    --------
    >>> from gymnasium.spaces import Dict, Discrete, MultiBinary
    >>> layout = ObservationLayout(Dict({"doors": MultiBinary(2), "floor": Discrete(9, start=1)}))
    >>> [layout.name(i) for i in range(layout.size)]
    ["observation['doors'][0]", "observation['doors'][1]", "observation['floor']"]
    >>> layout.high
    array([1., 1., 9.])
    >>> layout.read({"doors": [0, 1], "floor": 3})
    (array([0., 1., 3.]), [])
    >>> layout.read({"floor": 3})[1][0].text
    'is missing'
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.parts = list(_parts(space, "observation", ()))
        self.offsets = np.cumsum([0] + [_size(part.space) for part in self.parts])
        self.size = int(self.offsets[-1])
        self.low, self.high = np.concatenate([_bounds(part.space) for part in self.parts], axis=1)

    def name(self, component: int) -> str:
        """Name a component, such as ``observation['speed'][2]``.

        Parameters
        ----------
        component : int
            Its number.

        Returns
        -------
        str
        """
        i = int(np.searchsorted(self.offsets, component, side="right")) - 1
        shape = self.parts[i].space.shape
        if not shape:
            return self.parts[i].name
        index = np.unravel_index(component - int(self.offsets[i]), shape)
        return f"{self.parts[i].name}[{', '.join(str(int(j)) for j in index)}]"

    def read(self, observation: Any) -> tuple[np.ndarray | None, list[Problem]]:
        """Read the components of an observation, and check its form.

        Parameters
        ----------
        observation : object
            What an environment gave.

        Returns
        -------
        numbers : ndarray of shape (size,), dtype float64, or None
            The components, or None if the observation does not have them.
        problems : list of Problem
            What is wrong with the form of each part.
        """
        problems, numbers, is_complete = [], [], True
        for part in self.parts:
            array, problem = _read_part(part, observation)
            if problem is not None:
                problems.append(problem)
            if array is None:
                is_complete = False
            else:
                numbers.append(array.astype(np.float64).ravel())
        return (np.concatenate(numbers) if is_complete else None), problems


def _parts(space: gymnasium.Space[Any], name: str, keys: tuple[Any, ...]) -> Iterator[Part]:
    """List the arrays in an observation, in the order of the space."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(space, spaces.Dict):
        pairs = space.spaces.items()
    elif isinstance(space, spaces.Tuple):
        pairs = enumerate(space.spaces)
    else:
        yield Part(name, keys, space)
    for key, part in pairs:
        yield from _parts(part, f"{name}[{key!r}]", (*keys, key))


def _read_part(part: Part, observation: Any) -> tuple[np.ndarray | None, Problem | None]:
    """Read one array, and say what is wrong with its shape or dtype."""
    value = observation
    try:
        for key in part.keys:
            value = value[key]
    except (IndexError, KeyError, TypeError):
        return None, Problem("observation-shape", part.name, "is missing")
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.empty(0, dtype=object)
    shape, is_box = part.space.shape or (), isinstance(part.space, spaces.Box)
    if array.shape != shape or array.dtype.kind not in "biuf":
        text = f"is {describe(value)}, the space says shape {shape}"
        return None, Problem("observation-shape", part.name, text)
    # A Box names a dtype, all other spaces have integers.
    if array.dtype != part.space.dtype if is_box else array.dtype.kind == "f":
        text = f"has dtype {array.dtype}, the space says {part.space.dtype}"
        return array, Problem("observation-dtype", part.name, text)
    return array, None


def _size(space: gymnasium.Space[Any]) -> int:
    return int(np.prod(space.shape or (), dtype=np.int64))


def _bounds(space: Any) -> np.ndarray:
    """Lowest and highest value of each number of a space, as an array of shape (2, size)."""
    if isinstance(space, spaces.Box):
        low, high = space.low, space.high
    elif isinstance(space, spaces.MultiBinary):
        low, high = np.zeros(space.shape), np.ones(space.shape)
    else:
        n = space.n if isinstance(space, spaces.Discrete) else space.nvec
        low, high = np.asarray(space.start), np.asarray(space.start) + n - 1
    return np.array([low, high], dtype=np.float64).reshape(2, -1)
