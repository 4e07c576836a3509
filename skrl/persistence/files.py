"""Save an agent, load it, and look into a file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from skrl.agent import QLearningAgent
from skrl.archives.archive import naming, read_archive, write_archive
from skrl.persistence.coding import AgentDecoder, AgentEncoder
from skrl.persistence.registry import known_names

FORMAT, VERSION = "skrl agent", 1


def save(agent: Any, path: str | Path) -> None:
    """Save an agent in a file that is safe to open.

    The file is a zip archive of JSON and NumPy arrays. It holds what `joblib.dump` would save: the
    parameters and everything that has been learned, but not the memory of a replay.

    Parameters
    ----------
    agent : QLearningAgent
        Fitted or not.
    path : str or Path
        Where to. A file of this name is replaced when the new one is whole.

    Raises
    ------
    TypeError
        If it is not an agent, or a part of it cannot be saved as JSON and arrays, such as most
        regressors of scikit-learn, or lambda functions. Use `joblib.dump` for those.

    Examples
    --------
    >>> import skrl, tempfile
    >>> path = tempfile.mkdtemp() + "/ring.skrl"
    >>> agent = skrl.QLearningAgent(n_steps=500, random_state=0).fit("skrl/CircularWorld-v0")
    >>> skrl.save(agent, path)
    >>> skrl.load(path).predict(3) == agent.predict(3)
    np.True_
    """
    if not isinstance(agent, QLearningAgent):
        raise TypeError(f"Expected a QLearningAgent to save, got {agent!r}.")
    encoder = AgentEncoder()
    document = {"format": FORMAT, "version": VERSION, "agent": encoder.encode(agent)}
    write_archive(path, document, encoder.arrays)


def load(path: str | Path, custom: Iterable[Any] = ()) -> QLearningAgent:
    """Load an agent that was saved by `save`.

    Nothing in the file is run: it is read as JSON and arrays, and only objects of this library's
    classes, and of those that you name, are made of it. Their constructors are not called.

    Parameters
    ----------
    path : str or Path
        Which file.
    custom : list of classes and functions
        Your own parts that may be in the file, such as a policy's class, or the function that
        builds a network. Name only what you trust with any values of its attributes.

    Returns
    -------
    QLearningAgent

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a file of `save`, is damaged, is of a later version, or contains something
        that is neither part of this library nor named in `custom`.

    Examples
    --------
    >>> import skrl, tempfile
    >>> path = tempfile.mkdtemp() + "/agent.skrl"
    >>> skrl.save(skrl.QLearningAgent(discount_factor=0.9), path)
    >>> skrl.load(path)
    QLearningAgent(discount_factor=0.9)
    """
    document, arrays = _open(path)
    decoder = AgentDecoder(arrays, known_names(custom))
    with naming(path):
        agent = decoder.decode(document["agent"])
    if not isinstance(agent, QLearningAgent):
        raise ValueError(f"{str(path)!r} contains a {type(agent).__name__}, expected an agent.")
    return agent


def inspect(path: str | Path) -> str:
    """Describe what is in a file of `save`, without making any object of it.

    Parameters
    ----------
    path : str or Path
        Which file.

    Returns
    -------
    str
        One line for each attribute, indented: `print` it.

    Raises
    ------
    OSError, ValueError
        As for `load`.

    Examples
    --------
    >>> import skrl, tempfile
    >>> path = tempfile.mkdtemp() + "/agent.skrl"
    >>> skrl.save(skrl.QLearningAgent(skrl.DQN((64,))), path)
    >>> print(skrl.inspect(path))  # doctest: +ELLIPSIS
    agent: QLearningAgent
      qfunction: DQN
        hidden_layer_sizes: (64,)
        activation: 'relu'
    ...
    """
    document, arrays = _open(path)
    with naming(path):
        return "\n".join(_describe("agent", document["agent"], arrays, ""))


def _open(path: str | Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    document, arrays = read_archive(path, "a file of skrl.save", "Save the agent again.")
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} is not a file of skrl.save.")
    version = document.get("version")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ValueError(
            f"{str(path)!r} has the format version {version!r}; this version of the library reads "
            f"versions up to {VERSION}. Install a newer one."
        )
    if set(document) != {"format", "version", "agent"}:
        raise ValueError(f"{str(path)!r} is not a file of skrl.save.")
    return document, arrays


def _describe(name: str, value: Any, arrays: list[np.ndarray], indent: str) -> list[str]:
    """One line for a value, and one for each of its attributes."""
    if isinstance(value, dict) and "object" in value:
        kind, _, state = value["object"]
        items = state["dict"]
        lines = [_describe(str(key), item, arrays, indent + "  ") for key, item in items]
        return [f"{indent}{name}: {kind}", *(line for part in lines for line in part)]
    return [f"{indent}{name}: {_in_short(value, arrays)}"]


def _in_short(value: Any, arrays: list[np.ndarray]) -> str:
    """A value in at most 100 characters."""
    if isinstance(value, list):
        text = "[" + ", ".join(_in_short(item, arrays) for item in value[:10]) + "]"
    elif not isinstance(value, dict):
        text = repr(value)
    else:
        ((kind, content),) = value.items()
        if kind == "array":
            text = f"array of shape {arrays[content].shape}, dtype {arrays[content].dtype}"
        elif kind == "tuple":
            comma = "," if len(content) == 1 else ""
            text = f"({_in_short(content, arrays)[1:-1]}{comma})"
        elif kind == "scalar":
            text = str(content[1])
        else:
            text = f"{kind} {content!r}"
    return text if len(text) <= 100 else text[:97] + "..."
