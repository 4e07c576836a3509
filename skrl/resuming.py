"""Start a run, or let it go on from a checkpoint."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import SeedSequence

from skrl.archives.archive import naming
from skrl.base import Environment, Run, State
from skrl.callbacks import Checkpoint
from skrl.checkpoints.files import CheckpointFile
from skrl.checkpoints.identity import describe_parameters, digest, recipe
from skrl.checkpoints.runs import check_same, restore
from skrl.environments.opening import is_live

if TYPE_CHECKING:
    from skrl.agent import QLearningAgent
    from skrl.training import Parts

# Parameters that do not change what is learned.
IRRELEVANT = {"callbacks", "verbose", "warm_start"}
IRRELEVANT_OF_ENVIRONMENTS = {"asynchronous", "render_mode"}


@contextmanager
def started(
    agent: "QLearningAgent",
    env: Any,
    run: Run,
    parts: "Parts",
    continues: bool,
    resume_from: Any = None,
) -> Iterator[None]:
    """Start a run, or restore it from a checkpoint, and keep its own checkpoint open meanwhile.

    Parameters
    ----------
    agent : QLearningAgent
        Its parameters must be those of the checkpoint.
    env : object
        What it was given to train in.
    run : Run
        The run, as `plan_run` made it.
    parts : Parts
        What is trained.
    continues : bool
        Whether the run continues what the agent was trained before.
    resume_from : str, Path or None
        A checkpoint to go on from.
    """
    about = _describe(agent, run.environment, parts)
    file = None if resume_from is None else CheckpointFile(resume_from)
    with ExitStack() as opened:
        checkpoints = [c for c in parts.callbacks if isinstance(c, Checkpoint)]
        if len(checkpoints) > 1:
            raise ValueError(f"An agent may have one Checkpoint, got {checkpoints}.")
        for checkpoint in checkpoints:
            name = _name(agent, env) if checkpoint.per_run else None
            opened.callback(checkpoint.close)
            file = checkpoint.open(about, name, continues, resume_from) or file
        if file is None:
            run.runner.start(run)
        else:
            _resume(run, parts, about, file)
        yield


def _resume(run: Run, parts: "Parts", about: State, file: CheckpointFile) -> None:
    """Let a run go on from a checkpoint."""
    state = file.read()
    with naming(file.path):
        known = state["about"]
        parameters = {str(name): str(value) for name, value in known["parameters"].items()}
    check_same(file.path, parameters, about["parameters"])
    with naming(file.path):
        # The next checkpoint has the same seeds, also if `random_state` is None.
        about |= {name: known[name] for name in ("seeds", "evaluation_seed")}
        entropy, spawn_key, n_spawned = known["seeds"]
        parts.seeds = SeedSequence(entropy, spawn_key=spawn_key, n_children_spawned=n_spawned)
        if parts.evaluation is not None:
            parts.evaluation.set_params(random_state=known["evaluation_seed"])
        restore(run, state)


def _describe(agent: "QLearningAgent", environment: Environment, parts: "Parts") -> State:
    """Describe what a run belongs to, and where the seeds of its agent stand."""
    parameters = describe_parameters(agent)
    for name in [n for n in parameters if n.partition("__")[0] in IRRELEVANT]:
        del parameters[name]
    of_environment = describe_parameters(environment)
    for name in of_environment.keys() - IRRELEVANT_OF_ENVIRONMENTS:
        parameters[f"env__{name}"] = of_environment[name]
    parameters |= {
        "observation_space": repr(environment.observation_space),
        "action_space": repr(environment.action_space),
        "n_envs": str(environment.n_envs_),
    }
    seeds, evaluation = parts.seeds, parts.evaluation
    return {
        "parameters": parameters,
        "seeds": [seeds.entropy, list(seeds.spawn_key), seeds.n_children_spawned],
        "evaluation_seed": None if evaluation is None else evaluation.random_state,
    }


def _name(agent: "QLearningAgent", env: Any) -> str:
    """Name a run by the agent's parameters and the environment."""
    if not isinstance(agent.random_state, int | np.integer):
        raise ValueError(
            "Checkpoint(per_run=True) recognises a run by its parameters: give the agent an "
            f"integer random_state, got {agent.random_state!r}."
        )
    if is_live(env) or is_live(getattr(env, "env", None)):
        raise ValueError(
            f"Checkpoint(per_run=True) cannot recognise a live environment, got {env!r}. Pass an "
            "id or a function that makes it."
        )
    parameters = agent.get_params(deep=False)
    relevant = {name: parameters[name] for name in parameters.keys() - IRRELEVANT}
    try:
        return digest(recipe([sorted(relevant.items()), env]))
    except ValueError as error:
        raise ValueError(
            f"Checkpoint(per_run=True) cannot recognise the run by the agent and {env!r}: {error}."
        ) from error
