"""QLearningAgent: the four interfaces behind scikit-learn's fit, predict and score."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Shaped
from numpy.random import SeedSequence
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from skrl.base import Actions, Callback, Environment, Policy, QFunction, Runner, States
from skrl.callbacks import Evaluation, ProgressBar
from skrl.environments import as_environment
from skrl.environments.spaces import ActionTranslator, to_states
from skrl.evaluation import greedy_actions, play_episodes, side_by_side
from skrl.history import History
from skrl.policies import CoherentEpsilonGreedy, EpsilonGreedy
from skrl.qfunctions import DQN, MemoizationQFunction
from skrl.runners import ExperienceReplay, SimpleRunner
from skrl.seeds import seed_sequence

# Budgets, in steps, where the user gives none.
DEFAULT_STEPS_DEEP = 50_000
DEFAULT_STEPS_TABLE = 300_000

# Where neither the environment nor its specification limits an episode, a greedy policy that has
# not learned yet may walk in circles for ever. Evaluation gives up after so many steps.
STEPS_WITHOUT_LIMIT = 1_000


class QLearningAgent(BaseEstimator):
    """An agent that learns action values Q(s, a) and acts on them.

    Wherever scikit-learn says X, this agent takes environments: an id such as ``"CartPole-v1"``,
    a factory, a `gymnasium.Env`, an `Environment`, or a list of those.

    Parameters
    ----------
    qfunction : QFunction or None, default=None
        What is learned. None stands for a `MemoizationQFunction` (a table) where states are
        Discrete, and for a `DQN` everywhere else.
    policy : Policy or None, default=None
        How the agent explores during training. None stands for `CoherentEpsilonGreedy` with a
        `DQN`, which finds rewards that are far away, and for `EpsilonGreedy` otherwise.
    runner : Runner or None, default=None
        What is learned from, and when. None stands for `ExperienceReplay` with a `DQN`, and for
        `SimpleRunner` otherwise.
    discount_factor : float in [0, 1], default=0.99
        gamma: how much a reward is worth one step later.
    n_steps, n_episodes : int or None, default=None
        Budget of `fit`: steps, counted over all environments, and episodes; training ends with
        whichever is used up first. Both None stand for 300,000 steps with a table and 50,000
        with any other Q function.
    early_stopping : bool, default=True
        Stop once learning does not get any further and the environment is surely solved: its
        `reward_threshold` is reached by two standard errors in fresh episodes.
    n_iter_no_change : int, default=3
        Learning does not get any further after so many evaluations in a row that brought nothing:
        all episodes the same as in the best evaluation or the one before, or worse than in the
        best, by two standard errors. Where nothing is known about the threshold, or it is not
        reached, the budget is used up.
    reward_threshold : float or None, default=None
        Mean return at which the environment counts as solved. None stands for the threshold that
        the environment publishes, if it does; ``-numpy.inf`` stops whenever learning does not get
        any further.
    n_evaluations : int, default=40
        How often the greedy policy is evaluated during training, at equal distances in steps
        (with a budget of episodes only, every 1,250 steps). The best Q function is kept, and of
        those that cannot be told from it the latest. 0 turns evaluation off: then the last Q
        function is kept, and nothing stops early.
    n_evaluation_episodes : int, default=100
        Episodes per evaluation. They are played side by side in environments of their own and
        do not count as training.
    callbacks : list of Callback or None, default=None
        Watch the training, and may stop it.
    random_state : int, numpy.random.RandomState or None, default=None
        Seeds everything: the network, the policy, the replay, every environment.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar.
    warm_start : bool, default=False
        Whether a further `fit` goes on with what has been learned, or starts afresh.

    Attributes
    ----------
    qfunction_ : QFunction
        What has been learned.
    policy_ : Policy
        How the agent explored.
    runner_ : Runner
        How it learned.
    history_ : History
        One row per episode of training; ``history_.evaluations`` has one row per evaluation.
    n_steps_, n_episodes_ : int
        How long the agent has been trained.
    best_score_ : float
        Highest mean return of an evaluation in the last training; -inf if there was none. The Q
        function that is kept was chosen for it, so `score` gives the honest number.
    observation_space_, state_space_, action_space_ : gymnasium.Space
        Spaces of one observation, state and action of the environment.
    classes_ : ndarray of shape (n_actions, *action_shape)
        The environment's actions, in the order of the columns of `decision_function` and
        `predict_proba`.

    Examples
    --------
    >>> from skrl import QLearningAgent
    >>> agent = QLearningAgent(n_steps=2_000, n_evaluations=2, random_state=0)
    >>> agent = agent.fit("skrl/CircularWorld-v0")
    >>> agent.predict(-3), agent.predict([2, -2])
    (np.int64(2), array([0, 2]))
    """

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
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that X is a list of environments, no matrix of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags

    # ---- learning ------------------------------------------------------------------------------

    def fit(self, env: Any, y: None = None) -> Self:
        """Train in an environment.

        Parameters
        ----------
        env : str, callable, gymnasium.Env, gymnasium.vector.VectorEnv, Environment or list
            Where to train. A list is trained on side by side.
        y : None
            Ignored; scikit-learn's model selection passes it.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter or the environment will not do. An agent whose training broke off,
            also by Ctrl-C, keeps what it has learned.
        """
        self._validate()
        environment = as_environment(env)
        if not (self.warm_start and hasattr(self, "qfunction_")):
            self._start_afresh(environment)
        n_steps = self.n_steps
        if n_steps is None and self.n_episodes is None:
            n_steps = self._default_n_steps()
        self._train(environment, n_steps, self.n_episodes, schedule=(0.0, 1.0))
        return self

    def partial_fit(self, env: Any, y: None = None, *, n_steps: int | None = None) -> Self:
        """Train for some more steps, going on with what has been learned.

        The exploration goes on as well: all calls together run through the schedule that `fit`
        runs through in one go, and then stay at its end.

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
        self._validate()
        environment = as_environment(env)
        if not hasattr(self, "qfunction_"):
            self._start_afresh(environment)
        whole = self.n_steps or self._default_n_steps()
        n_steps = whole if n_steps is None else n_steps
        done = self.history_.n_steps
        schedule = min(done / whole, 1.0), min((done + n_steps) / whole, 1.0)
        self._train(environment, n_steps, None, schedule)
        return self

    def _validate(self) -> None:
        for name, interface in (("qfunction", QFunction), ("policy", Policy), ("runner", Runner)):
            part = getattr(self, name)
            if part is not None and not isinstance(part, interface):
                raise TypeError(
                    f"{name} must be a {interface.__name__} or None, got {part!r}. "
                    f"Give an instance, such as {name}={_EXAMPLES[name]}."
                )
        if not 0 <= self.discount_factor <= 1:
            raise ValueError(f"discount_factor must be in [0, 1], got {self.discount_factor!r}.")
        counts = {"n_steps": 1, "n_episodes": 1, "n_iter_no_change": 1, "n_evaluations": 0}
        for name, least in counts.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name} must be at least {least}, got {value!r}.")
        if not self.n_evaluation_episodes >= 1:
            raise ValueError(
                f"n_evaluation_episodes must be at least 1, got {self.n_evaluation_episodes!r}; "
                "n_evaluations=0 turns evaluation off."
            )

    def _start_afresh(self, environment: Environment) -> None:
        """Clone the parts, and build the Q function for the environment."""
        self._seeds = seed_sequence(self.random_state)
        self.observation_space_ = environment.observation_space
        self.state_space_ = environment.state_space
        self.action_space_ = environment.action_space
        qfunction, policy, runner = self.qfunction, self.policy, self.runner
        if qfunction is None:
            is_countable = isinstance(self.state_space_, spaces.Discrete)
            qfunction = MemoizationQFunction() if is_countable else DQN()
        is_deep = isinstance(qfunction, DQN)
        if policy is None:
            policy = CoherentEpsilonGreedy() if is_deep else EpsilonGreedy()
        if runner is None:
            runner = ExperienceReplay() if is_deep else SimpleRunner()
        self.policy_ = clone(policy)
        self.runner_ = clone(runner)
        self.qfunction_ = clone(qfunction).build(
            self.state_space_, environment.n_actions, random_state=self._next_seed()
        )
        self.classes_ = ActionTranslator(self.action_space_).translate(
            np.arange(environment.n_actions)
        )
        self.history_ = History()

    def _train(
        self,
        environment: Environment,
        n_steps: int | None,
        n_episodes: int | None,
        schedule: tuple[float, float],
    ) -> None:
        self._check_spaces(environment)
        callbacks = list(self.callbacks or [])
        evaluation = self._make_evaluation(environment, n_steps)
        if evaluation is not None:
            callbacks.append(evaluation)
        if self.verbose:
            callbacks.append(ProgressBar())
        try:
            self.runner_.run(
                environment,
                self.qfunction_,
                self.policy_,
                discount_factor=self.discount_factor,
                n_steps=n_steps,
                n_episodes=n_episodes,
                rng=self._next_seed(),
                callbacks=callbacks,
                history=self.history_,
                schedule=schedule,
            )
        finally:
            self.n_steps_, self.n_episodes_ = self.history_.n_steps, len(self.history_)
            self.best_score_ = getattr(evaluation, "best_score_", -np.inf)
            if evaluation is not None:
                evaluation.environment.close()

    def _make_evaluation(self, environment: Environment, n_steps: int | None) -> Evaluation | None:
        if not self.n_evaluations:
            return None
        return Evaluation(
            side_by_side(environment, self.n_evaluation_episodes),
            interval=1_250 if n_steps is None else max(1, n_steps // self.n_evaluations),
            n_episodes=self.n_evaluation_episodes,
            reward_threshold=(
                environment.reward_threshold
                if self.reward_threshold is None
                else self.reward_threshold
            ),
            early_stopping=self.early_stopping,
            n_iter_no_change=self.n_iter_no_change,
            max_episode_steps=_episode_cap(environment),
            random_state=self._next_seed(),
        )

    def _default_n_steps(self) -> int:
        is_table = isinstance(self.qfunction_, MemoizationQFunction)
        return DEFAULT_STEPS_TABLE if is_table else DEFAULT_STEPS_DEEP

    def _next_seed(self) -> int:
        """Seed of the next independent stream of random numbers."""
        return int(self._seeds.spawn(1)[0].generate_state(1)[0])

    def _check_spaces(self, environment: Environment) -> None:
        trained = self.observation_space_, self.action_space_
        given = environment.observation_space, environment.action_space
        if trained != given:
            raise ValueError(
                f"The agent was trained with observation and action space {trained}, but this "
                f"environment has {given}. Fit a new agent for it."
            )

    # ---- using what has been learned -----------------------------------------------------------

    def predict(self, states: Any) -> Shaped[np.ndarray, "*m_and_action_shape"] | np.generic:
        """Choose the best known action: greedy, no exploration.

        Parameters
        ----------
        states : observation, or array-like of shape (m, *observation_shape)
            One observation as the environment gives it, or a batch. (A batch of Dict or Tuple
            observations is a dict or tuple of batches.)

        Returns
        -------
        ndarray of shape (m, *action_shape), or (*action_shape,) for a single observation
            Actions in the environment's own numbering. Of equally good actions the first.
        """
        batch, is_single = self._to_batch(states)
        actions: np.ndarray = self.classes_[greedy_actions(self.qfunction_, batch)]
        return actions[0] if is_single else actions

    def decision_function(self, states: Any) -> Float[np.ndarray, "*m n_actions"]:
        """Estimate the action values Q(s, .).

        Parameters
        ----------
        states : observation, or array-like of shape (m, *observation_shape)
            As for `predict`.

        Returns
        -------
        ndarray of shape (m, n_actions), or (n_actions,) for a single observation
        """
        batch, is_single = self._to_batch(states)
        values: np.ndarray = self.qfunction_.values(batch).copy()
        return values[0] if is_single else values

    def predict_proba(self, states: Any) -> Float[np.ndarray, "*m n_actions"]:
        """Give the probabilities with which the policy chooses, at the end of training.

        Parameters
        ----------
        states : observation, or array-like of shape (m, *observation_shape)
            As for `predict`.

        Returns
        -------
        ndarray of shape (m, n_actions), or (n_actions,) for a single observation
        """
        batch, is_single = self._to_batch(states)
        probabilities: np.ndarray = self.policy_.probabilities(batch, self.qfunction_, progress=1.0)
        return probabilities[0] if is_single else probabilities

    def score(self, env: Any, y: None = None, *, n_episodes: int = 100) -> float:
        """Play greedy episodes and give their mean return.

        The episodes are played side by side, from seeds that training never uses; the same
        agent gets the same score every time.

        Parameters
        ----------
        env : str, callable, gymnasium.Env, gymnasium.vector.VectorEnv, Environment or list
            Where to play. The episodes are shared out equally among the environments of a list.
        y : None
            Ignored; scikit-learn's model selection passes it.
        n_episodes : int, default=100
            How many episodes.

        Returns
        -------
        float
            Mean undiscounted return. Episodes of an environment that has no time limit are cut
            off after 1,000 steps.
        """
        check_is_fitted(self, "qfunction_")
        if n_episodes < 1:
            raise ValueError(f"n_episodes must be at least 1, got {n_episodes!r}.")
        original = as_environment(env)
        self._check_spaces(original)
        environment = side_by_side(original, n_episodes)

        def choose(states: States) -> Actions:
            return greedy_actions(self.qfunction_, states)

        # A branch of the seeds that _next_seed, which counts from 0, never reaches.
        seed = int(SeedSequence(self._seeds.entropy, spawn_key=(2**32 - 1,)).generate_state(1)[0])
        try:
            cap = _episode_cap(original)
            return float(play_episodes(environment, choose, n_episodes, seed, cap).mean())
        finally:
            environment.close()

    def _to_batch(self, observations: Any) -> tuple[States, bool]:
        """Translate one observation or a batch into states; tell whether it was one."""
        check_is_fitted(self, "qfunction_")
        return to_states(self.observation_space_, observations)


_EXAMPLES = {"qfunction": "DQN()", "policy": "EpsilonGreedy()", "runner": "ExperienceReplay()"}


def _episode_cap(environment: Environment) -> int | None:
    """Where evaluation cuts episodes off: only where nothing else does."""
    return STEPS_WITHOUT_LIMIT if environment.max_episode_steps is None else None
