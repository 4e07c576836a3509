"""ProgressBar and Evaluation, on runs of a few thousand steps."""

import dataclasses

import gymnasium
import numpy as np
import pytest
from tqdm.auto import tqdm

from skrl import GymEnvironment, MemoizationQFunction, RandomPolicy, SimpleRunner
from skrl.base import Callback, Run
from skrl.callbacks import Evaluation, ProgressBar
from skrl.history import Budget, History

WORLD = "skrl/CircularWorld-v0"
# The runs' rollouts are of 256 steps.
INTERVAL = 256


def built(environment):
    qfunction = MemoizationQFunction(learning_rate=0.5)
    return qfunction.build(environment.state_space, environment.n_actions, 0)


def run(callbacks, n_steps=512, env=WORLD, n_envs=1, qfunction=None, history=None):
    environment = GymEnvironment(env, n_envs=n_envs)
    qfunction = built(environment) if qfunction is None else qfunction
    history = SimpleRunner().run(
        environment,
        qfunction,
        RandomPolicy(),
        n_steps=n_steps,
        rng=0,
        callbacks=callbacks,
        history=history,
    )
    return history, qfunction


def evaluation(**parameters):
    """Evaluate in short episodes, which are long enough to walk to 0, with as many as it takes."""
    spec = dataclasses.replace(gymnasium.spec(WORLD), max_episode_steps=10)
    defaults = {"interval": INTERVAL, "n_episodes": 20, "max_ratio": None}
    return Evaluation(GymEnvironment(spec), **{**defaults, **parameters})


class Judged(Callback):
    """After so many steps, sets the action values of CircularWorld."""

    def __init__(self, *schedule):
        self.schedule = dict(schedule)

    def on_rollout_end(self, run):
        for n_steps, values in self.schedule.items():
            if run.history.n_steps >= n_steps:
                run.qfunction.table_[:] = values


# Action values of CircularWorld, in each state from -5 to 5: of two policies.
STAYS = np.eye(3)[[1] * 11]  # earns 0
TOWARDS = np.eye(3)[[2] * 5 + [1] + [0] * 5]  # earns the distance to 0


def test_evaluations_come_at_intervals_and_at_the_end():
    history, _ = run([evaluation()], n_steps=600)
    assert history.evaluations[:, "n_steps"].tolist() == [256, 512, 600]
    assert history.evaluations[:, "n_episodes"].tolist() == [20] * 3
    # From a state chosen at random the way to 0 earns 30/11 on average.
    assert history.evaluations[-1, "score"] == pytest.approx(30 / 11, abs=1.2)
    assert history.evaluations[-1, "std"] > 0


def test_the_grid_does_not_drift():
    """With 128 environments a rollout ends every 256 steps, and evaluations are due every 300."""
    watch = evaluation(interval=300, n_episodes=5)
    history, _ = run([watch], n_steps=2304, n_envs=128)
    # Due at 300, 600, 900, 1200, 1500, 1800, 2100, and at the end.
    expected = [512, 768, 1024, 1280, 1536, 2048, 2304]
    assert history.evaluations[:, "n_steps"].tolist() == expected


def test_environments_that_are_computed_at_once_are_evaluated_without_limit():
    watch = Evaluation(GymEnvironment("CartPole-v1"), interval=INTERVAL, n_episodes=200)
    history, _ = run([watch], n_steps=INTERVAL, env="CartPole-v1")
    assert history.evaluations[:, "n_episodes"].tolist() == [200]
    assert history.evaluations[-1, "evaluation_steps"] > history.n_steps


def chunks(sizes, schedule, callbacks):
    """Make runs that continue each other, as partial_fit does."""
    environment, history = GymEnvironment(WORLD), History()
    qfunction, runner, rng = built(environment), SimpleRunner(), np.random.default_rng(0)
    for n_steps in sizes:
        one = Run(
            environment,
            qfunction,
            RandomPolicy(),
            runner,
            history,
            budget=Budget(history, n_steps, None),
            schedule=Budget(history, schedule, None, since=(0, 0)),
            discount_factor=0.9,
            rng=rng,
            callbacks=callbacks,
        )
        runner.start(one)
        runner.loop(one)
    return history


def test_chunks_are_not_evaluated_at_their_ends():
    history = chunks([100] * 12, 1200, [evaluation(interval=500)])
    assert history.evaluations[:, "n_steps"].tolist() == [500, 1000, 1200]


class StopAt(Callback):
    """Stops a run after so many steps."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_rollout_end(self, run):
        if run.history.n_steps >= self.n_steps:
            run.stop("enough")


def test_a_run_that_somebody_stops_is_evaluated():
    history = chunks([600], 1200, [StopAt(256), evaluation(interval=500)])
    assert history.evaluations[:, "n_steps"].tolist() == [256]


class Ledger(Callback):
    """Writes down the steps of training and of evaluation so far, after each rollout."""

    def __init__(self, watch):
        self.watch = watch
        self.rows = []

    def on_rollout_end(self, run):
        self.rows.append((run.history.n_steps, self.watch.state()["n_steps"]))


class Shuffle(Callback):
    """Draws all action values anew, so that every evaluation sees another policy."""

    def on_rollout_end(self, run):
        table = run.qfunction.table_
        table[:] = np.random.default_rng(run.history.n_steps).random(table.shape)


@pytest.mark.parametrize("max_ratio", [0.5, 1.0])
def test_evaluation_never_takes_more_steps_than_its_share(max_ratio):
    watch = evaluation(max_ratio=max_ratio, random_state=1)
    watch.environment = GymEnvironment(WORLD)  # its episodes are 100 steps
    ledger = Ledger(watch)
    history, _ = run([Shuffle(), watch, ledger], n_steps=3_000)
    assert all(spent <= max_ratio * n_steps for n_steps, spent in ledger.rows)
    assert ledger.rows[-1][1] > max_ratio * 3_000 / 3
    # Fewer evaluations than were due, and they played whole heats of five.
    assert 0 < len(history.evaluations) < len(ledger.rows)
    assert set(history.evaluations[:, "n_episodes"] % 5) == {0}
    assert history.evaluations[-1, "evaluation_steps"] <= ledger.rows[-1][1]


def test_a_run_too_short_for_a_heat_has_no_evaluation():
    watch = evaluation(max_ratio=1.0)
    watch.environment = GymEnvironment(WORLD)
    history, qfunction = run([watch, Judged((0, STAYS))], n_steps=400)
    assert len(history.evaluations) == 0
    assert 0 < watch.state()["n_steps"] <= 400
    assert watch.best_score_ == -np.inf
    assert (qfunction.table_ == STAYS).all()  # the last


def test_a_bad_candidate_is_dropped_after_one_heat():
    watch = evaluation()
    history, qfunction = run([Judged((0, TOWARDS), (300, STAYS)), watch], n_steps=512)
    assert history.evaluations[:, "n_episodes"].tolist() == [20, 5]
    assert history.evaluations[-1, "score"] == 0
    assert watch.best_score_ == history.evaluations[0, "score"] > 0
    assert (qfunction.table_ == TOWARDS).all()


def test_a_candidate_that_is_better_plays_all_episodes():
    watch = evaluation()
    history, qfunction = run([Judged((0, STAYS), (300, TOWARDS)), watch], n_steps=512)
    assert history.evaluations[:, "n_episodes"].tolist() == [20, 20]
    assert watch.best_score_ == history.evaluations[1, "score"]
    assert (qfunction.table_ == TOWARDS).all()


# Walks one step towards 0 from -5, where one of eleven episodes begins, and earns 1 there.
STEPS_ONCE = np.eye(3)[[2] + [1] * 10]


def test_contenders_play_on_at_the_end_with_the_steps_that_were_saved():
    """The first heats do not tell these two apart: none of their episodes begins in -5."""
    judged = Judged((0, STEPS_ONCE), (600, STAYS))
    watch = evaluation(interval=512, max_ratio=1.0, n_episodes=50, random_state=4)
    history, qfunction = run([judged, watch], n_steps=1024)
    assert history.evaluations[:, "score"].tolist() == [0, 0]
    assert history.evaluations[0, "n_episodes"] == 25  # 10 steps each, half of the 512
    earlier, later = (contender["returns"] for contender in watch.state()["race"])
    assert len(earlier) == len(later) == 50
    assert earlier.sum() > later.sum() == 0
    assert watch.best_score_ == earlier.mean()
    assert watch.state()["n_steps"] <= 1024
    assert (qfunction.table_ == STEPS_ONCE).all()


def test_of_equally_good_q_functions_the_latest_is_kept():
    """All evaluations play the same episodes: the same policy earns the same again."""
    watch = evaluation()
    history, qfunction = run([Judged((0, STAYS), (300, 7 * STAYS)), watch], n_steps=512)
    scores = history.evaluations[:, "score"]
    assert (scores == scores[0]).all()
    assert watch.best_score_ == scores[0]
    assert (qfunction.table_ == 7 * STAYS).all()


@pytest.mark.parametrize("name", ["interval", "n_episodes", "n_iter_no_change"])
def test_a_parameter_out_of_range_is_named(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        run([evaluation(**{name: 0})])


class Raise(Callback):
    """Does not let a run begin."""

    def on_run_begin(self, run):
        raise RuntimeError("not today")


class Look(Callback):
    """Copies the Q function that a run begins with."""

    def on_run_begin(self, run):
        self.table = run.qfunction.table_.copy()


def copied(watch):
    other = evaluation()
    other.set_state(watch.state())
    return other


@pytest.mark.parametrize("continued", [lambda watch: watch, copied])
def test_a_run_continues_from_the_latest_q_function_and_keeps_the_best(continued):
    judged, watch, look = Judged((0, TOWARDS), (300, STAYS)), evaluation(), Look()
    history, qfunction = run([judged, watch])
    assert (qfunction.table_ == TOWARDS).all()
    watch = continued(watch)
    run([judged, watch, look], qfunction=qfunction, history=history)
    assert (look.table == STAYS).all()
    assert (qfunction.table_ == TOWARDS).all()
    assert history.evaluations[:, "n_steps"].tolist() == [256, 512, 768, 1024]
    assert (np.diff(history.evaluations[:, "evaluation_steps"]) >= 0).all()


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_run_that_cannot_begin_loses_neither_the_best_nor_the_latest(order):
    judged, watch, look = Judged((0, TOWARDS), (300, STAYS)), evaluation(), Look()
    history, qfunction = run([judged, watch])
    with pytest.raises(RuntimeError, match="not today"):
        run([[watch, Raise()][i] for i in order], qfunction=qfunction, history=history)
    assert (qfunction.table_ == TOWARDS).all()
    run([watch, look], qfunction=qfunction, history=history, n_steps=1)
    assert (look.table == STAYS).all()


def test_another_run_begins_without_a_best():
    watch = evaluation()
    run([Judged((0, TOWARDS)), watch])
    _, qfunction = run([Judged((0, STAYS)), watch])
    assert watch.best_score_ == 0
    assert (qfunction.table_ == STAYS).all()


class Forgetful(Evaluation):
    """Plays all episodes, also those that would be the same again."""

    def on_rollout_end(self, run):
        super().on_rollout_end(run)
        self.set_state({**self.state(), "visited": np.empty(0, np.int64)})


def test_episodes_that_would_be_the_same_again_are_not_played():
    """What the last evaluation knows by heart is what episodes played anew say."""
    watch = evaluation(random_state=3, early_stopping=False)
    anew = Forgetful(**watch.get_params(deep=False))
    history, _ = run([watch, anew], n_steps=3000)
    assert history.evaluations[::2, "score"].tolist() == history.evaluations[1::2, "score"].tolist()
    steps, steps_anew = history.evaluations[-2:, "evaluation_steps"]
    # The policy changes several times, but most of the time it stays.
    assert 200 < steps < steps_anew / 2


def test_the_run_stops_once_the_threshold_is_passed_for_sure():
    # Every greedy episode earns at least 0 once 0 is found.
    history, _ = run([evaluation(reward_threshold=0.0)], n_steps=5000)
    assert history.n_steps < 5000
    assert history.evaluations[-1, "score"] >= 0

    history, _ = run([evaluation(reward_threshold=0.0, early_stopping=False)], n_steps=2560)
    assert history.n_steps == 2560


def test_a_threshold_that_may_have_been_reached_by_luck_does_not_stop():
    """The mean over all starts is 30/11; the 10 starts that this seed gives are better ones."""
    watch = evaluation(reward_threshold=30 / 11, n_episodes=10, random_state=4)
    history, _ = run([Judged((0, TOWARDS)), watch], n_steps=2560)
    assert history.evaluations[:, "score"].max() > 30 / 11
    assert history.n_steps == 2560


def test_the_episodes_of_the_solved_test_count():
    watch = evaluation(reward_threshold=0.0, n_iter_no_change=1)
    run([Judged((0, TOWARDS)), watch], n_steps=2560)
    # 20 episodes of 10 steps are evaluated once, and twice as many are fresh.
    assert watch.state()["n_steps"] == 200 + 400


def n_evaluations(*schedule, n_iter_no_change=3):
    """How many evaluations an already solved run goes on for, if it is judged by this schedule."""
    watch = evaluation(reward_threshold=-np.inf, n_iter_no_change=n_iter_no_change)
    history, _ = run([Judged(*schedule), watch], n_steps=2560)
    return len(history.evaluations)


def test_evaluations_that_bring_nothing_stop_a_solved_run():
    assert n_evaluations((0, STAYS), n_iter_no_change=1) == 2  # the same episodes once more
    assert n_evaluations((0, STAYS)) == 4


def test_they_stop_it_only_if_they_come_in_a_row():
    # Evaluations come after 256, 512, ... steps. The third one is better: counting begins anew.
    assert n_evaluations((0, STAYS), (600, TOWARDS)) == 6


def test_a_run_does_not_stop_while_it_is_worse_than_it_was():
    assert n_evaluations((0, TOWARDS), (300, STAYS)) == 10  # all there are in 2560 steps


def test_the_progress_bar_shows_episodes_return_and_speed(capsys):
    run([evaluation(), ProgressBar()], n_steps=1000)
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert "episodes=10" in shown
    assert "return=" in shown
    assert "steps/s=" in shown
    assert "score=" in shown
    assert "evaluated=" in shown


def test_the_progress_bar_says_why_the_run_stopped_early(capsys):
    run([evaluation(reward_threshold=0.0), ProgressBar()], n_steps=5000)
    output = capsys.readouterr()
    assert "Stopped: solved" in output.out + output.err


def test_the_progress_bar_closes_also_if_the_run_fails():
    with pytest.raises(TypeError):
        run([ProgressBar(n_last="a few")])
    with pytest.raises(RuntimeError, match="not today"):
        run([ProgressBar(), Raise()])
    assert len(tqdm._instances) == 0
