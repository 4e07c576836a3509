"""Everything that a training comes to, to compare two of them bit by bit."""

import hashlib

import numpy as np


def outcome(agent, with_memory=True):
    """All that was learned, noted and remembered by an agent, by names; but no seconds."""
    numbers = {}
    _note(numbers, "qfunction", agent.qfunction_.state())
    _note(numbers, "policy", agent.policy_.state())
    _note(numbers, "runner", agent.runner_.state() if with_memory else {})
    if agent._parts.evaluation is not None:
        _note(numbers, "evaluation", agent._parts.evaluation.state())
    for name, table in agent.history_.tables().items():
        for column in set(table.columns) - {"seconds"}:
            _note(numbers, f"{name}.{column}", table[:, column])
    _note(numbers, "best", [agent.best_score_, agent.n_steps_, agent.n_episodes_])
    _note(numbers, "seeds", agent._parts.seeds.state)
    return numbers


def _note(numbers, name, value):
    if isinstance(value, dict):
        for key, item in value.items():
            _note(numbers, f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _note(numbers, f"{name}.{i}", item)
    else:
        numbers[name] = value


def digest(numbers):
    """A short text that differs if any bit does."""
    found = hashlib.sha256()
    for name in sorted(numbers):
        value = np.asarray(numbers[name])
        content = repr(numbers[name]) if value.dtype.kind == "O" else value.tobytes()
        found.update(repr((name, value.dtype.str, value.shape, content)).encode())
    return found.hexdigest()
