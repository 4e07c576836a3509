"""The time of one step by parts: each part of the loop is timed alone, on the same objects."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from acting_rows import FrozenDQN, Recorder, make_env, remembering_runner, replay
from measuring import Breakdown, Options

from skrl import EpsilonGreedy, GymEnvironment, History, MemoizationQFunction, SimpleRunner
from skrl.base import Environment, QFunction, Run, Runner
from skrl.history import Budget

N_ROUNDS = 9
N_STEPS = 25_600


def profile(options: Options) -> Iterator[Breakdown]:
    n_steps = options.work(N_STEPS, multiple_of=256)
    yield breakdown(
        "profile-deep",
        "act and remember, one CartPole, DQN 2x64",
        "CartPole-v1",
        FrozenDQN((64, 64)),
        lambda: remembering_runner(n_steps),
        n_steps,
    )
    yield breakdown(
        "profile-table",
        "act and learn, FrozenLake, table",
        "FrozenLake-v1",
        MemoizationQFunction(),
        SimpleRunner,
        n_steps,
    )


def breakdown(
    name: str,
    title: str,
    env_id: str,
    qfunction: QFunction,
    make_runner: Callable[[], Runner],
    n_steps: int,
) -> Breakdown:
    """Run the loop once to record its data, then time each part on these data."""
    environment = GymEnvironment(env_id)
    policy = EpsilonGreedy(0.1)
    qfunction.build(environment.state_space, environment.n_actions, random_state=0)

    def run(environment: Environment, runner: Runner) -> None:
        runner.run(environment, qfunction, policy, n_steps=n_steps, rng=0)

    recorder = Recorder(make_env(env_id))
    watched_environment, watched_runner = GymEnvironment(recorder), make_runner()
    resets, lessons = watch(watched_environment, "reset"), watch(watched_runner, "learn")
    run(watched_environment, watched_runner)
    transitions = [lesson.arguments[1] for lesson in lessons]

    def step_all() -> None:
        environment.reset(*resets[0].arguments, **resets[0].keywords)
        exhaust(environment.step(t.actions) for t in transitions)

    def decide_all() -> None:
        rng = np.random.default_rng(0)
        exhaust(policy.decide(t.states, qfunction, 0.5, rng) for t in transitions)

    def record_all() -> None:
        history = History()
        history.begin(n_envs=1)
        exhaust(history.record(t) for t in transitions)

    def learn_all() -> None:
        runner, history, rng = make_runner(), History(), np.random.default_rng(0)
        budget = Budget(history, n_steps=n_steps, n_episodes=None)
        fresh = Run(environment, qfunction, policy, runner, history, budget, budget, 0.99, rng)
        runner.begin(fresh)
        exhaust(runner.learn(fresh, t) for t in transitions)

    bare_env = make_env(env_id)
    whole, step, bare, values, decide, record, learn = microseconds(
        [
            lambda: run(environment, make_runner()),
            step_all,
            lambda: replay(bare_env, recorder.tape),
            lambda: exhaust(qfunction.values(t.states) for t in transitions),
            decide_all,
            record_all,
            learn_all,
        ],
        n_steps,
    )
    parts = [
        ("choose an action: policy.decide", decide),
        ("  (one call of qfunction.values)", values),
        ("take it: environment.step", step),
        ("  the bare env.step, resets included", bare),
        ("  the rest", step - bare),
        ("record it: history.record", record),
        ("learn from it: runner.learn", learn),
        ("the loop itself, metrics, colder caches", whole - decide - step - record - learn),
        ("whole step", whole),
    ]
    return Breakdown(name, title, parts, yardstick=bare)


class Call(NamedTuple):
    """The arguments of a call."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def watch(part: Any, method: str) -> list[Call]:
    """Record every further call of a part's method."""
    calls: list[Call] = []
    original = getattr(part, method)

    def noted(*arguments: Any, **keywords: Any) -> Any:
        calls.append(Call(arguments, keywords))
        return original(*arguments, **keywords)

    setattr(part, method, noted)
    return calls


def exhaust(calls: Iterable[Any]) -> None:
    """Consume a generator."""
    for _ in calls:
        pass


def microseconds(functions: Sequence[Callable[[], object]], n_steps: int) -> list[float]:
    """Time per step of each function, the median of several rounds over all functions."""
    rounds = [[seconds(function) for function in functions] for _ in range(N_ROUNDS)]
    return [median(times) / n_steps * 1e6 for times in zip(*rounds, strict=True)]


def seconds(function: Callable[[], object]) -> float:
    begin = perf_counter()
    function()
    return perf_counter() - begin
