"""What a checkpoint says of a run."""

from typing import Any

from skrl.base import Run, State


def take(run: Run, about: State) -> State:
    """Give everything that a run continues from, at the end of a rollout.

    Where the environment cannot be captured (`Environment.state`), the run itself goes on with
    new episodes. So it takes the same course as one that is restored.

    Parameters
    ----------
    run : Run
        A run between two rollouts, or at its end.
    about : dict
        What the run belongs to; `check_same` compares it.

    Returns
    -------
    dict
        It is valid until the next step; see `Runner.live_state`.
    """
    return {"about": about, "run": run.live_state(), "environment": run.environment.state()}


def restore(run: Run, state: State) -> None:
    """Let a run continue from a checkpoint.

    Parameters
    ----------
    run : Run
        A new run of the same parts.
    state : dict
        What `take` gave.

    Raises
    ------
    ValueError
        If the state does not fit the parts.
    """
    run.runner.start(run)
    run.set_state(state["run"])
    if state["environment"] is not None:
        run.environment.set_state(state["environment"])
    else:
        begin_anew(run)


def begin_anew(run: Run) -> None:
    """Begin new episodes, seeded by the run's generator; what was under way is left."""
    if run.stop_reason is None:
        run.runner.start(run)


def check_same(path: Any, expected: dict[str, str], got: dict[str, str]) -> None:
    """Raise a ValueError if a checkpoint belongs to something else.

    Parameters
    ----------
    path : str or Path
        The file, for the message.
    expected, got : dict of str to str
        Names and descriptions of parameters: of the checkpoint, and of now.
    """
    names = sorted(expected.keys() | got.keys())
    differing = [name for name in names if expected.get(name) != got.get(name)]
    if differing:
        texts = [f"{n}={expected.get(n)!s:.80} (now {got.get(n)!s:.80})" for n in differing[:5]]
        raise ValueError(
            f"{str(path)!r} is the checkpoint of a training with {', '.join(texts)}. Make the "
            "agent and the environment as they were, or train without resume_from."
        )
