"""Does `ParallelQ` solve classic control with every seed, and how long does it take?

Beside the default agent, which learns from a replay memory. Both keep the best network of their
evaluations, and stop when the environment is solved. The score is the mean return of greedy
episodes from new seeds.

    python examples/benchmarks/parallel_q.py --seeds 10
"""

import argparse
import platform
from statistics import median
from time import perf_counter
from typing import NamedTuple

from speed import at_least_one, cpu_model

from skrl import DQN, EpsilonGreedy, GymEnvironment, ParallelQ, QLearningAgent

N_ENVS, N_EPISODES = 16, 100


class Task(NamedTuple):
    """An environment, the mean return that counts as solved, and both agents' steps."""

    env_id: str
    threshold: float
    parallel_steps: int
    replay_steps: int


TASKS = {
    "cartpole": Task("CartPole-v1", 475, 50_000, 50_000),
    "lunarlander": Task("LunarLander-v3", 200, 300_000, 100_000),
}


def train(task: Task, seed: int, is_parallel: bool) -> tuple[float, int, float]:
    """Score, steps and seconds of an agent."""
    if is_parallel:
        agent = QLearningAgent(
            DQN((128, 128), layer_norm=True),
            EpsilonGreedy(),
            ParallelQ(),
            n_steps=task.parallel_steps,
            random_state=seed,
        )
    else:
        agent = QLearningAgent(n_steps=task.replay_steps, random_state=seed)
    begin = perf_counter()
    agent.fit(GymEnvironment(task.env_id, n_envs=N_ENVS if is_parallel else 1))
    seconds = perf_counter() - begin
    return agent.score(task.env_id, n_episodes=N_EPISODES), agent.n_steps_, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), metavar="NAME",
                        help=f"only these tasks: {', '.join(TASKS)}")  # fmt: skip
    parser.add_argument("--seeds", type=at_least_one, default=10, metavar="N")
    parser.add_argument("--first-seed", type=int, default=0, metavar="SEED")
    parser.add_argument("--alone", action="store_true", help="without the default agent")
    arguments = parser.parse_args()
    print(f"{cpu_model()}, Python {platform.python_version()}\n")
    names = {True: "ParallelQ"} if arguments.alone else {True: "ParallelQ", False: "replay"}
    rows = ["| task | agent | scores | solved | steps (median) | fit (median) |",
            "|---|---|---|---|---|---|"]  # fmt: skip
    for task in (TASKS[name] for name in arguments.only):
        results = {name: [] for name in names.values()}
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            for is_parallel, name in names.items():
                score, n_steps, seconds = train(task, seed, is_parallel)
                results[name].append((score, n_steps, seconds))
                print(f"{task.env_id} {name} seed {seed}: {score:.1f} after {n_steps:,} steps, "
                      f"{seconds:.1f} s", flush=True)  # fmt: skip
        for name, runs in results.items():
            scores, steps, seconds = zip(*runs, strict=True)
            n_solved = sum(score >= task.threshold for score in scores)
            rows.append(
                f"| {task.env_id} | {name} | {min(scores):.1f} to {max(scores):.1f} "
                f"| {n_solved} of {len(runs)} | {median(steps):,.0f} | {median(seconds):.1f} s |"
            )
    print("\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
