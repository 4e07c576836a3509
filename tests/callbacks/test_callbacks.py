"""ProgressBar and Evaluation, on runs of a few hundred steps."""

import dataclasses

import gymnasium
import numpy as np
import pytest

from skrl import GymEnvironment, MemoizationQFunction, RandomPolicy, SimpleRunner
from skrl.base import Callback
from skrl.callbacks import Evaluation, ProgressBar
from skrl.evaluation import play_episodes


def run(callbacks, n_steps=400, **parameters):
    environment = GymEnvironment("skrl/CircularWorld-v0")
    qfunction = MemoizationQFunction(learning_rate=0.5)
    qfunction.build(environment.state_space, environment.n_actions, 0)
    history = SimpleRunner().run(
        environment, qfunction, RandomPolicy(), n_steps=n_steps, rng=0, callbacks=callbacks
    )
    return history, qfunction


def evaluation(**parameters):
    """Evaluate in short episodes, which are long enough to walk to 0."""
    spec = dataclasses.replace(gymnasium.spec("skrl/CircularWorld-v0"), max_episode_steps=10)
    environment = GymEnvironment(spec, n_envs=20)
    return Evaluation(environment, **{"interval": 100, "n_episodes": 20, **parameters})


def test_evaluations_come_at_intervals_and_at_the_end():
    history, _ = run([evaluation()], n_steps=400)
    # Stretches are of 64 steps.
    assert history.evaluations[:, "n_steps"].tolist() == [128, 256, 384, 400]
    assert history.evaluations[:, "n_episodes"].tolist() == [20] * 4
    # From a state chosen at random the way to 0 earns 30/11 on average.
    assert history.evaluations[-1, "score"] == pytest.approx(30 / 11, abs=1.2)
    assert history.evaluations[-1, "std"] > 0


def test_the_run_stops_once_the_threshold_is_passed_for_sure():
    # Every greedy episode of 100 steps earns at least 0 once 0 is found.
    history, _ = run([evaluation(reward_threshold=0.0)], n_steps=5000)
    assert history.n_steps < 5000
    assert history.evaluations[-1, "score"] >= 0

    history, _ = run([evaluation(reward_threshold=0.0, early_stopping=False)], n_steps=600)
    assert history.n_steps == 600


def test_a_threshold_that_may_have_been_reached_by_luck_does_not_stop():
    """The mean over all starts is 30/11; the 10 starts that this seed gives are better ones."""
    watch = evaluation(reward_threshold=30 / 11, n_episodes=10, random_state=4)
    watch.environment.set_params(n_envs=10)
    history, _ = run([watch], n_steps=1280)
    assert history.evaluations[:, "score"].max() > 30 / 11
    assert history.n_steps == 1280


class Forget(Callback):
    """Makes the Q function forget everything in the second half of the run."""

    def on_stretch_end(self, run):
        if run.progress > 0.5:
            run.qfunction.restore(self.empty)

    def on_run_begin(self, run):
        self.empty = run.qfunction.snapshot()


def test_the_best_q_function_is_kept():
    watch = evaluation()
    history, qfunction = run([Forget(), watch], n_steps=800)
    scores = history.evaluations[:, "score"]
    assert watch.best_score_ > scores[-1]
    assert qfunction.table_[:, 1:].any()  # what was learned is there again


class Judged(Callback):
    """After so many steps, sets the action values of CircularWorld."""

    def __init__(self, *schedule):
        self.schedule = dict(schedule)

    def on_stretch_end(self, run):
        for n_steps, values in self.schedule.items():
            if run.history.n_steps >= n_steps:
                run.qfunction.table_[:] = values


# Action values of CircularWorld, in every state or in each from -5 to 5: of three policies.
STAYS, RUNS = [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
TOWARDS = np.eye(3)[[2] * 5 + [1] + [0] * 5]


def test_of_equally_good_q_functions_the_latest_is_kept():
    """All evaluations play the same episodes: the same policy earns the same again."""
    judged = Judged((0, [0.0, 1.0, 0.0]), (300, [0.0, 7.0, 0.0]))  # both always stay
    watch = evaluation()
    history, qfunction = run([judged, watch], n_steps=400)
    scores = history.evaluations[:, "score"]
    assert (scores == scores[0]).all()
    assert watch.best_score_ == scores[0]
    assert (qfunction.table_ == [0.0, 7.0, 0.0]).all()


def test_a_q_function_that_is_surely_worse_is_not_kept():
    judged = Judged((0, STAYS), (300, RUNS))
    watch = evaluation()
    history, qfunction = run([judged, watch], n_steps=400)
    scores = history.evaluations[:, "score"]
    assert scores[-1] != scores[0]
    best = STAYS if scores[0] > scores[-1] else RUNS
    assert (qfunction.table_ == best).all()
    assert watch.best_score_ == scores.max()


class Spy(GymEnvironment):
    """Counts how often it is reset."""

    n_resets = 0

    def reset(self, seed=None):
        self.n_resets += 1
        return super().reset(seed)


class PlayAnew(Callback):
    """Plays the episodes of the latest evaluation once more."""

    def __init__(self, environment, n_episodes, seed):
        self.environment, self.n_episodes, self.seed = environment, n_episodes, seed
        self.scores = []

    def on_stretch_end(self, run):
        def greedy(states):
            return run.qfunction.values(states).argmax(axis=1)

        if len(run.history.evaluations) > len(self.scores):
            returns = play_episodes(self.environment, greedy, self.n_episodes, self.seed)
            self.scores.append(returns.mean())


def test_episodes_that_would_be_the_same_again_are_not_played():
    """What the last evaluation knows by heart is what episodes played anew say."""
    watch = evaluation(interval=64, random_state=3)
    anew = PlayAnew(watch.environment, n_episodes=20, seed=3)
    watch.environment = Spy(watch.environment.env, n_envs=20)
    history, _ = run([watch, anew], n_steps=3000)
    assert history.evaluations[:, "score"].tolist() == anew.scores
    # The policy changes several times, but most of the time it stays.
    n_changes = np.count_nonzero(np.diff(anew.scores))
    assert 2 < n_changes < watch.environment.n_resets < len(anew.scores) / 2


def n_evaluations(*schedule, n_iter_no_change=3):
    """How many evaluations an already solved run goes on for, if it is judged by this schedule."""
    watch = evaluation(reward_threshold=-np.inf, n_iter_no_change=n_iter_no_change)
    history, _ = run([Judged(*schedule), watch], n_steps=2000)
    return len(history.evaluations)


def test_evaluations_that_bring_nothing_stop_a_solved_run():
    assert n_evaluations((0, STAYS), n_iter_no_change=1) == 2  # the same episodes once more
    assert n_evaluations((0, STAYS)) == 4


def test_they_stop_it_only_if_they_come_in_a_row():
    # Evaluations come after 128, 256, ... steps. The third one is better: counting begins anew.
    assert n_evaluations((0, STAYS), (300, TOWARDS)) == 6


def test_a_run_does_not_stop_while_it_is_worse_than_it_was():
    assert n_evaluations((0, TOWARDS), (300, STAYS)) == 16  # all there are in 2000 steps


def test_the_progress_bar_shows_episodes_return_and_speed(capsys):
    run([ProgressBar()], n_steps=1000)
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert "episodes=10" in shown
    assert "return=" in shown
    assert "steps/s=" in shown


def test_the_progress_bar_says_why_the_run_stopped_early(capsys):
    run([evaluation(reward_threshold=0.0), ProgressBar()], n_steps=5000)
    output = capsys.readouterr()
    assert "Stopped: solved" in output.out + output.err
