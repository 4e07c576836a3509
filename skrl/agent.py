"""QLearningAgent: the four interfaces behind scikit-learn's fit, predict and score."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import Tags
from sklearn.utils.metadata_routing import UNUSED

from skrl.base import Callback, Environment, Policy, QFunction, Run, Runner
from skrl.callbacks import Checkpoint
from skrl.callbacks.sklearn_callbacks import SklearnTasks, count_tasks
from skrl.environments import as_environment
from skrl.environments.actions import ActionTranslator
from skrl.interruptions import handled_interrupts
from skrl.limits import check_count
from skrl.parameters import check_parameters
from skrl.prediction import PredictionMixin
from skrl.resuming import started
from skrl.training import Parts, copy_parts, make_parts, plan_run


class QLearningAgent(CallbackSupportMixin, PredictionMixin, BaseEstimator):
    """An agent that learns action values Q(s, a) and acts on them.

    Wherever scikit-learn says X, this agent takes environments: an id such as ``"CartPole-v1"``,
    a factory, a `gymnasium.Env`, an `Environment`, or a list of those.

    Parameters
    ----------
    qfunction : QFunction or None, default=None
        What is learned. None stands for a `MemoizationQFunction` (a table) where states are
        Discrete, and for a `DQN` everywhere else.
    policy : Policy or None, default=None
        How the agent explores during training. None stands for what the Q function states in its
        `defaults`: `EpsilonGreedy` for a table, `SegmentedEpsilonGreedy` for a `DQN`.
    runner : Runner or None, default=None
        What is learned from, and when. None stands for what the Q function states in its
        `defaults`: `SimpleRunner` for a table, `ExperienceReplay` for a `DQN`.
    discount_factor : float in [0, 1], default=0.99
        gamma: how much a reward is worth one step later.
    n_steps, n_episodes : int or None, default=None
        Budget of `fit`: steps, counted over all environments, and episodes; training ends with
        whichever is used up first. Both None stand for what the Q function states in its
        `defaults`: 300,000 steps for a table, 50,000 for a `DQN`.
    early_stopping : bool, default=True
        Stop once learning has stopped improving and the environment is solved: the mean return
        of fresh episodes is above `reward_threshold`. The probability to stop although the true
        mean return is below the threshold is at most 5 %.
    n_iter_no_change : int, default=3
        Learning has stopped improving after this many consecutive evaluations without
        improvement. Without a threshold, or below it, the budget is used up.
    reward_threshold : float or None, default=None
        Mean return at which the environment counts as solved. None stands for the threshold that
        the environment publishes, if it does; ``-numpy.inf`` stops whenever learning has stopped
        improving.
    n_evaluations : int, default=40
        How often the greedy policy is evaluated during training, at equal distances in steps
        (with a budget of episodes only, every 1,250 steps). The best Q function is kept. 0 turns
        evaluation off: then the last Q function is kept, and nothing stops early.
    n_evaluation_episodes : int, default=100
        Episodes per evaluation, at most: a Q function that is clearly worse than the best so far
        is dropped after a few. They are played in separate environments and do not count as
        training.
    evaluation_ratio : float or None, default=1.0
        Environment steps of all evaluations, at most, per step of training. None sets no limit.
        Environments that are computed all at once, such as CartPole's, are cheap: for them there
        is never a limit.
    callbacks : list of Callback or None, default=None
        Watch the training, and may stop it. Copies of them are used: see `callbacks_`.
    random_state : int, numpy.random.RandomState or None, default=None
        Seeds everything: the network, the policy, the replay, every environment.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar.
    warm_start : bool, default=False
        Whether a further `fit` continues with what has been learned, or starts afresh.

    Attributes
    ----------
    qfunction_ : QFunction
        What has been learned: the best of all evaluations.
    policy_ : Policy
        How the agent explored.
    runner_ : Runner
        How it learned.
    callbacks_ : list of Callback
        The copies of `callbacks` that watched the training.
    history_ : History
        One row per episode of training; ``history_.evaluations`` has one row per evaluation, and
        ``history_.metrics`` one per rollout.
    n_steps_, n_episodes_ : int
        How long the agent has been trained.
    best_score_ : float
        Highest mean return of an evaluation; -inf if there was none. The Q function that is kept
        was chosen for it, so `score` gives the honest number.
    needs_action_masks_ : bool
        Whether the environment said in each state which actions are allowed.
    observation_space_, state_space_, action_space_ : gymnasium.Space
        Spaces of one observation, state and action of the environment.
    classes_ : ndarray of shape (n_actions, *action_shape)
        The environment's actions, in the order of the columns of `decision_function` and
        `predict_proba`.

    Notes
    -----
    `set_callbacks` sets scikit-learn's own callbacks (`sklearn.callback`, experimental), such as
    its `ProgressBar` or ``ScoringMonitor(scoring={"return": lambda agent, env, y:
    agent.score(env)})``. They watch `fit`, not `partial_fit`: a task of theirs is the time between
    two evaluations, or a rollout if there is no evaluation.

    Examples
    --------
    >>> from skrl import QLearningAgent
    >>> agent = QLearningAgent(n_steps=2_000, n_evaluations=2, random_state=0)
    >>> agent = agent.fit("skrl/CircularWorld-v0")
    >>> agent.predict(-3), agent.predict([2, -2])
    (np.int64(2), array([0, 2]))
    """

    # Environments and states take the place of scikit-learn's X: they are not metadata to route.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"env": UNUSED, "resume_from": UNUSED}
    __metadata_request__partial_fit: ClassVar[dict[str, Any]] = {"env": UNUSED, "n_steps": UNUSED}
    __metadata_request__score: ClassVar[dict[str, Any]] = {"env": UNUSED, "n_episodes": UNUSED}
    __metadata_request__predict: ClassVar[dict[str, Any]] = {
        "states": UNUSED,
        "action_mask": UNUSED,
    }
    __metadata_request__predict_proba: ClassVar[dict[str, Any]] = {"states": UNUSED}
    __metadata_request__decision_function: ClassVar[dict[str, Any]] = {"states": UNUSED}

    def __init__(
        self,
        qfunction: QFunction | None = None,
        policy: Policy | None = None,
        runner: Runner | None = None,
        *,
        discount_factor: float = 0.99,
        n_steps: int | None = None,
        n_episodes: int | None = None,
        early_stopping: bool = True,
        n_iter_no_change: int = 3,
        reward_threshold: float | None = None,
        n_evaluations: int = 40,
        n_evaluation_episodes: int = 100,
        evaluation_ratio: float | None = 1.0,
        callbacks: Sequence[Callback] | None = None,
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.qfunction = qfunction
        self.policy = policy
        self.runner = runner
        self.discount_factor = discount_factor
        self.n_steps = n_steps
        self.n_episodes = n_episodes
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.reward_threshold = reward_threshold
        self.n_evaluations = n_evaluations
        self.n_evaluation_episodes = n_evaluation_episodes
        self.evaluation_ratio = evaluation_ratio
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that X is a list of environments, not a matrix."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags

    # ---- learning ------------------------------------------------------------------------------

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, env: Any, y: None = None, *, resume_from: Any = None) -> Self:
        """Train in an environment.

        Parameters
        ----------
        env : str, callable, gymnasium.Env, gymnasium.vector.VectorEnv, Environment or list
            Where to train. A list is trained on side by side.
        y : None
            Ignored; scikit-learn's model selection passes it.
        resume_from : str, Path or None, default=None
            A file of `skrl.callbacks.Checkpoint`, of an agent with the same parameters, in the
            same environment. The training that wrote it goes on, and ends with the same agent as
            if it had not been interrupted.

        Returns
        -------
        self

        Raises
        ------
        OSError
            If the checkpoint cannot be read.
        ValueError, TypeError
            If a parameter is invalid, the environment is not supported, training fails, or the
            checkpoint is damaged or belongs to another training. An agent that was fitted before
            is then as it was. One that is interrupted by Ctrl-C, or whose first training fails,
            keeps what it has learned.
        """
        check_parameters(self)
        n_steps, n_episodes = self.n_steps, self.n_episodes
        return self._train(
            env, self.warm_start, n_steps, n_episodes, is_whole=True, resume_from=resume_from
        )

    def partial_fit(self, env: Any, y: None = None, *, n_steps: int | None = None) -> Self:
        """Train for some more steps, continuing with what has been learned.

        All calls together learn like one call of `fit`: they run through the same schedule of
        exploration, and then stay at its end; evaluations come at the same steps.

        Parameters
        ----------
        env : str, callable, gymnasium.Env, gymnasium.vector.VectorEnv, Environment or list
            Where to train.
        y : None
            Ignored.
        n_steps : int or None
            How many steps; None stands for the budget of a whole `fit`.

        Returns
        -------
        self
        """
        check_parameters(self)
        check_count("n_steps", n_steps, least=1, is_optional=True)
        n_steps = self.n_steps if n_steps is None else n_steps
        return self._train(env, True, n_steps, self.n_episodes, is_whole=False)

    def _train(
        self,
        env: Any,
        continues: bool,
        n_steps: int | None,
        n_episodes: int | None,
        is_whole: bool,
        resume_from: Any = None,
    ) -> Self:
        """Resolve what is to be done, do it, and take over what came out."""
        environment = as_environment(env)
        was_fitted = hasattr(self, "qfunction_")
        try:
            continues = continues and was_fitted and resume_from is None
            if continues:
                self._check_spaces(environment)
            parts = copy_parts(self, self._parts) if continues else make_parts(self, environment)
            before = parts.state() if continues else None
            run = plan_run(self, environment, parts, n_steps, n_episodes, is_whole)
            with started(self, env, run, parts, continues, resume_from):
                tasks = self._make_tasks(env, environment, parts, run) if is_whole else None
                try:
                    parts.runner.loop(run)
                except KeyboardInterrupt as interrupt:
                    self._adopt(parts, environment)
                    interrupt.add_note(
                        f"Training was interrupted after {self.n_steps_:,} steps. The agent keeps "
                        "what it has learned, and partial_fit trains it further."
                    )
                    raise
                except BaseException:
                    if before is not None:
                        parts.set_state(before)
                        self.runner_.forget()
                    elif not was_fitted:
                        self._adopt(parts, environment)
                    raise
                finally:
                    if parts.evaluation is not None:
                        parts.evaluation.set_params(environment=None)
            self._adopt(parts, environment)
            if tasks is not None:
                tasks.end()
        finally:
            if environment is not env:
                environment.close()
        return self

    def _make_tasks(
        self, env: Any, environment: Environment, parts: Parts, run: Run
    ) -> SklearnTasks:
        """Let scikit-learn's callbacks watch a run: after our own, before its evaluation."""
        interval = parts.runner.rollout_length
        if self.n_evaluations and parts.evaluation is not None:
            interval = parts.evaluation.interval
        context = self._init_callback_context(max_subtasks=count_tasks(run.budget, interval))

        def fitted_attributes() -> dict[str, Any]:
            learning = parts.qfunction
            space, n_actions = learning.state_space_, learning.n_actions_
            qfunction = clone(learning).build(space, n_actions, random_state=0)
            qfunction.set_state(learning.state())
            fitted = copy(self)
            fitted._adopt(replace(parts, qfunction=qfunction), environment)
            return dict(vars(fitted))

        tasks = SklearnTasks(self, env, context, interval, fitted_attributes)
        n_own = sum(not isinstance(callback, Checkpoint) for callback in parts.callbacks)
        run.callbacks = [*run.callbacks[:n_own], tasks, *run.callbacks[n_own:]]
        return tasks

    def _adopt(self, parts: Parts, environment: Environment) -> None:
        """Take over what was trained, all of it even if Ctrl-C comes in between."""
        with handled_interrupts() as interrupts, interrupts.delayed():
            self._parts = parts
            self.qfunction_, self.policy_ = parts.qfunction, parts.policy
            self.runner_, self.callbacks_ = parts.runner, parts.callbacks
            self.history_ = parts.history
            self.n_steps_, self.n_episodes_ = parts.history.n_steps, len(parts.history)
            self.best_score_ = -np.inf
            if parts.evaluation is not None:
                self.best_score_ = parts.evaluation.best_score_
            self.needs_action_masks_ = environment.action_masks is not None
            self.observation_space_ = environment.observation_space
            self.state_space_ = environment.state_space
            self.action_space_ = environment.action_space
            self.classes_ = ActionTranslator(self.action_space_).translate(
                np.arange(environment.n_actions)
            )
