"""Capture where environments stand, as plain values, and put fresh copies there.

An environment is captured if the attributes of it, of its wrappers and of the environments in it
are plain: numbers, texts, arrays, `numpy.random.Generator` of the PCG64 kind, and tuples, lists,
dicts and deques of those. Spaces count by their generators. Everything else that may change, such
as an object of a physics engine, prevents it.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from copy import deepcopy
from enum import Enum
from itertools import chain, pairwise
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv
from numpy.lib.array_utils import byte_bounds
from numpy.random import PCG64, Generator

from skrl.base import State

# What has attributes to capture.
OWNERS = gymnasium.Env, VectorEnv, gymnasium.Space
PLAIN = type(None), bool, int, float, complex, str, bytes
# What never changes. A fresh copy has the same.
CONSTANTS = type, EnvSpec, np.dtype, np.ufunc, ModuleType, Enum, BuiltinFunctionType
# Attributes that say how something was made.
RECORDS = {
    *("spec", "_cached_spec", "metadata", "_metadata", "env_fns"),
    *("_saved_kwargs", "_ezpickle_args", "_ezpickle_kwargs"),
}


class NotPlainError(Exception):
    """An attribute cannot be captured."""


def capture(envs: Sequence[Any]) -> list[list[State]] | None:
    """Copy where environments stand.

    Parameters
    ----------
    envs : sequence of gymnasium.Env or gymnasium.vector.VectorEnv
        They must have been reset.

    Returns
    -------
    list of list of dict, or None
        Plain values, for each environment. None if an attribute is not plain.
    """
    copier = _Copier()
    try:
        captured = [
            [
                {"class": type(owner).__name__, "attributes": copier.attributes(owner)}
                for owner in _owners(env)
            ]
            for env in envs
        ]
        copier.check_sharing()
    except (NotPlainError, RecursionError):
        return None
    return captured


def restore(envs: Sequence[Any], captured: list[list[State]]) -> None:
    """Put environments where others stood.

    Parameters
    ----------
    envs : sequence of gymnasium.Env or gymnasium.vector.VectorEnv
        Made like the others. They must have been reset.
    captured : list of list of dict
        What `capture` gave.

    Raises
    ------
    ValueError
        If the environments are not of the same kind, or not as many.
    """
    owners = [list(_owners(env)) for env in envs]
    if len(owners) != len(captured):
        raise ValueError(f"Expected {len(captured)} environments, got {len(owners)}.")
    for found, entries in zip(owners, captured, strict=True):
        expected, got = [e["class"] for e in entries], [type(owner).__name__ for owner in found]
        if expected != got:
            raise ValueError(
                f"Expected an environment that consists of {expected}, got {got}. Make it as it "
                "was made at first, with the same wrappers."
            )
    copier = _Copier()
    for owner, entry in zip(chain(*owners), chain(*captured), strict=True):
        attributes = vars(owner)
        for name in copier.attributes(owner).keys() - entry["attributes"].keys():
            del attributes[name]
        attributes.update(deepcopy(entry["attributes"]))


def _owners(value: Any, found: list[Any] | None = None) -> Iterator[Any]:
    """Find an environment, its wrappers, the environments in it, and all spaces."""
    found = [] if found is None else found
    if isinstance(value, OWNERS):
        if not any(value is owner for owner in found):
            found.append(value)
            yield value
            for name in sorted(vars(value).keys() - RECORDS):
                yield from _owners(vars(value)[name], found)
    elif type(value) in (list, tuple, dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _owners(item, found)


class _Copier:
    """Copies plain values, and remembers the arrays and containers that it met."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.met: set[int] = set()

    def attributes(self, owner: Any) -> dict[str, Any]:
        """Copy the attributes of an environment or a space that may change."""
        if any(set(vars(kind).get("__slots__", ())) for kind in type(owner).__mro__):
            raise NotPlainError(f"{type(owner).__name__} has slots")
        items = [(n, value) for n, value in vars(owner).items() if n not in RECORDS]
        if isinstance(owner, gymnasium.Space):
            return {n: self.copy(value) for n, value in items if isinstance(value, Generator)}
        return {n: self.copy(value) for n, value in items if not _is_constant(value)}

    def copy(self, value: Any) -> Any:
        """Copy a plain value."""
        kind = type(value)
        if kind in PLAIN or (isinstance(value, np.generic) and value.dtype.kind in "biufU"):
            return value
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufcSU":
            self.arrays.append(value)
            return value.copy()
        if kind is tuple:
            return tuple([self.copy(item) for item in value])
        if id(value) in self.met:  # a copy would not be shared
            raise NotPlainError("an attribute is shared")
        self.met.add(id(value))
        if kind is list:
            return [self.copy(item) for item in value]
        if kind is dict:
            return {self.copy(key): self.copy(item) for key, item in value.items()}
        if kind is deque:
            return deque([self.copy(item) for item in value], value.maxlen)
        if kind is Generator and type(value.bit_generator) is PCG64:
            generator = Generator(PCG64(0))
            generator.bit_generator.state = value.bit_generator.state
            return generator
        raise NotPlainError(f"{kind.__name__} is not plain")

    def check_sharing(self) -> None:
        """Refuse arrays that share memory: copies would not."""
        bounds = sorted(byte_bounds(array) for array in self.arrays if array.size)
        if any(end > begin for (_, end), (begin, _) in pairwise(bounds)):
            raise NotPlainError("arrays share memory")


def _is_constant(value: Any) -> bool:
    """Whether a value never changes: a fresh copy of the environment has the same."""
    if isinstance(value, OWNERS):
        return True  # captured by itself
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return all(isinstance(cell, str) or _is_constant(cell) for cell in cells)
    if type(value) in (list, tuple, dict) and value:
        items = value.values() if isinstance(value, dict) else value
        return all(isinstance(item, OWNERS) for item in items)
    return isinstance(value, CONSTANTS)
