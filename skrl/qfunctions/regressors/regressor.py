"""Action values from any scikit-learn regressor: linear methods, and fitted Q iteration."""

import copy
import inspect
import math
from collections.abc import Callable
from typing import Any, Self

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector.utils import batch_space
from jaxtyping import Float, Float64, Shaped
from numpy.random import Generator
from sklearn.base import BaseEstimator, clone, is_regressor

from skrl.base import QFunction, State, States, Transitions, Values
from skrl.qfunctions._checks import check_is_built, check_names, check_range
from skrl.qfunctions._targets import bootstrap_values
from skrl.qfunctions.encoding import StateEncoder

# How many states the features are fitted to, at least.
N_STATES_FOR_FEATURES = 1_000

# Some environments write the largest float where they do not have a bound.
NO_BOUND = 1e30


class RegressorQFunction(QFunction):
    """Action values from a scikit-learn regressor, one for each action.

    The targets ``r + discount * max_b Q(s', b)`` are computed for a whole batch before anything is
    learned from it. (The actions b are those that `Transitions.next_action_masks` allows. With
    `next_probabilities` the bootstrap value is ``sum_b p(b|s') Q(s', b)``.) Then each action's
    regressor learns the rows of its action, in one of two ways:

    - A regressor with `partial_fit` continues from what it knows: semi-gradient Q-learning (Sutton
      & Barto, 2018, chapters 9 to 11). With `sklearn.linear_model.SGDRegressor`::

          w_a <- w_a + eta0 * (r + discount * max_b w_b . x(s') - w_a . x(s)) x(s)

      It can learn online, with `SimpleRunner`, or from replayed batches.
    - Any other regressor is fitted anew, and one update is one iteration of fitted Q iteration
      (Ernst, Geurts & Wehenkel, 2005)::

          Q_a <- clone(estimator).fit({s}, {r + discount * max_b Q_b(s')})

      So an update needs a large batch: ``ExperienceReplay(batch_size=10_000, gradient_steps=20,
      train_freq=2_000)`` makes 20 iterations after every 2,000 steps, each from 10,000 of the
      transitions seen so far. (A `Pipeline` has no `partial_fit`: an incremental regressor in
      a pipeline is fitted anew.)

    All values are 0 until their action has been learned from. Where all rewards are negative,
    that is optimistic, and a greedy agent tries everything (Sutton & Barto, section 2.6).

    Parameters
    ----------
    estimator : scikit-learn regressor
        Is cloned for each action.
    features : scikit-learn transformer or None, default=None
        Turns a state's numbers into features x(s), such as ``TileCoding()`` or
        ``make_pipeline(StandardScaler(), RBFSampler())``. They are fitted once:

        - where the state space is bounded, in `build`, to 1,000 states drawn from it;
        - otherwise in the first `update`, to the states to be learned from. There must be at
          least 1,000, as with `ExperienceReplay`.

        ``sklearn.frozen.FrozenEstimator(transformer)`` keeps a transformer that you have fitted.

    Attributes
    ----------
    regressors_ : list
        The regressor of each action; None for an action that was never learned from.
    features_ : transformer or None
        The fitted features; None if there are none, or they are not fitted yet.
    state_space_ : gymnasium.Space
        Space of one state.
    n_actions_ : int
        Number of actions.

    Notes
    -----
    Discrete and MultiDiscrete states become one-hot vectors, on which a linear method is a table;
    all others become rows of float64. If the estimator or the features (or parts of them) have
    a `random_state` of None, it is drawn from the `random_state` of `build`.

    scikit-learn checks its input in every call, which takes longer than a linear model computes:
    many states at once cost little more than one. Measured with three actions, on two slow cores:

    ========================================= ============= ============== ===============
    estimator, features                       values of 1   update from 1  update from 500
    ========================================= ============= ============== ===============
    SGDRegressor                              0.01 ms       0.5 ms         1.6 ms
    SGDRegressor, TileCoding                  0.2 ms        1.3 ms         3.2 ms
    SGDRegressor, StandardScaler + RBFSampler 0.4 ms        1.5 ms         5.5 ms
    DecisionTreeRegressor                     0.5 ms        1.4 ms         4.3 ms
    ExtraTreesRegressor(10)                   3.3 ms        11 ms          35 ms
    ========================================= ============= ============== ===============

    Let many environments act side by side, ``GymEnvironment(env, n_envs=16)``, and learn from
    large batches. (For `SGDRegressor`, `LinearRegression` and `Ridge`, values are computed as
    ``X @ coef_ + intercept_``, without such checks.)

    Weights of transitions (`PrioritizedBuffer`) are passed on as `sample_weight`.

    References
    ----------
    D. Ernst, P. Geurts & L. Wehenkel (2005), "Tree-based batch mode reinforcement learning", JMLR
    6, 503-556.
    R. Sutton & A. Barto (2018), "Reinforcement learning", chapters 9 to 11.

    Examples
    --------
    In state 0, action 1 earned a reward of 1 and ended in state 2:

    >>> import numpy as np
    >>> from gymnasium.spaces import Discrete
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from skrl.base import Transitions
    >>> from skrl.qfunctions import RegressorQFunction
    >>> qfunction = RegressorQFunction(DecisionTreeRegressor())
    >>> qfunction = qfunction.build(Discrete(3), n_actions=2, random_state=0)
    >>> qfunction.update(Transitions(
    ...     states=np.array([0]), actions=np.array([1]), rewards=np.array([1.0]),
    ...     next_states=np.array([2]), discounts=np.array([0.99]),
    ...     terminated=np.array([False]), truncated=np.array([False])))
    array([1.])
    >>> qfunction.values(np.array([0]))
    array([[0., 1.]])
    """

    def __init__(self, estimator: Any, features: Any = None) -> None:
        self.estimator = estimator
        self.features = features

    # ---- the QFunction interface --------------------------------------------------------------

    def build(
        self,
        state_space: gymnasium.Space[Any],
        n_actions: int,
        random_state: int | Generator | None,
    ) -> Self:
        """Get ready for an environment: forget everything; see `QFunction.build`.

        Raises
        ------
        TypeError
            If the estimator is not an instance of a regressor, or the features are not an
            instance of a transformer.
        """
        _check_estimators(self.estimator, self.features)
        from sklearn.linear_model import LinearRegression, Ridge, SGDRegressor

        rng = np.random.default_rng(random_state)
        self.state_space_, self.n_actions_ = state_space, n_actions
        self._encoder = StateEncoder(state_space, scale_states=False)
        self._fresh = [_clone_with_seed(self.estimator, rng) for _ in range(n_actions)]
        self._is_linear = isinstance(self.estimator, LinearRegression | Ridge | SGDRegressor)
        self.regressors_: list[Any] = [None] * n_actions
        self._fresh_features = None
        self.features_ = None
        if self.features is not None:
            self._fresh_features = _clone_with_seed(self.features, rng)
            if _is_bounded(state_space):
                self._fit_features(_draw_states(state_space, rng))
        return self

    def values(self, states: States) -> Values:
        """Predict Q(s, .), shape (m, n_actions), dtype float64; see `QFunction.values`.

        Raises
        ------
        NotFittedError
            Before `build`.
        ValueError
            If the states are not a batch of such states.
        """
        check_is_built(self)
        X = self._featurize(states)
        return np.stack([self._value(action, X) for action in range(self.n_actions_)], axis=1)

    def encode(self, states: States) -> Float[np.ndarray, "m n_features"]:
        """The features x(s), in one row per state; plain numbers until they are fitted."""
        check_is_built(self)
        X = self._featurize(states)
        dense: Float[np.ndarray, "m n_features"] = X if isinstance(X, np.ndarray) else X.toarray()
        return dense

    def update(self, transitions: Transitions) -> Float64[np.ndarray, "*batch"]:
        """Learn from transitions of batch shape (B,) or (K, B); see `QFunction.update`.

        Raises
        ------
        NotFittedError
            Before `build`.
        ValueError
            If an action is out of range, a target is not finite, the regressor takes no weights
            and there are some, or there are too few states to fit the features to. The update it
            belongs to is not made.
        """
        check_is_built(self)
        t = transitions
        self._check(t)
        if self._fresh_features is not None and self.features_ is None:
            self._fit_features(t.states.reshape(-1, *t.states.shape[t.actions.ndim :]))
        if t.actions.ndim == 1:
            return self._update_once(t)
        return np.array([self._update_once(t[k]) for k in range(len(t))])

    def state(self) -> State:
        """Copy the regressors and the features; see `QFunction.state`.

        Returns
        -------
        dict
            ``regressors`` and ``features``, as `regressors_` and `features_`; ``fresh``, what is
            cloned for them, with its seeds; and ``n_inputs``, how many numbers a state has.
        """
        check_is_built(self)
        return {
            "regressors": copy.deepcopy(self.regressors_),
            "features": copy.deepcopy(self.features_),
            "fresh": copy.deepcopy((self._fresh, self._fresh_features)),
            "n_inputs": self._n_inputs,
        }

    def set_state(self, state: State) -> None:
        """Continue from a `state`; see `QFunction.set_state`."""
        check_is_built(self)
        check_names(self, state, {"regressors", "features", "fresh", "n_inputs"})
        got = len(state["regressors"]), state["n_inputs"]
        if got != (self.n_actions_, self._n_inputs):
            raise ValueError(
                f"Expected the state of a RegressorQFunction with {self.n_actions_} actions and "
                f"{self._n_inputs} numbers per state, got {got[0]} actions and {got[1]} numbers. "
                "Use one that was built for the same environment."
            )
        self.regressors_ = copy.deepcopy(state["regressors"])
        self.features_ = copy.deepcopy(state["features"])
        self._fresh, self._fresh_features = copy.deepcopy(state["fresh"])

    @property
    def _n_inputs(self) -> int:
        return math.prod(self._encoder.shape)

    # ---- how it is done -----------------------------------------------------------------------

    def _update_once(self, t: Transitions) -> Float64[np.ndarray, " B"]:
        """Make one update from transitions of batch shape (B,)."""
        next_values = self.values(t.next_states)
        # y = r + discount * max_b Q(s', b), where the discount is 0 if s' is terminal
        bootstraps = bootstrap_values(next_values, t.next_action_masks, t.next_probabilities)
        targets = t.rewards + t.discounts * bootstraps
        if not np.isfinite(targets).all():
            raise ValueError(
                "Rewards, discounts and values must be finite, got a target that is NaN or "
                "infinite. Look for NaN in the environment's rewards and states. If there is none, "
                "learning diverged: lower the estimator's step size. Nothing was learned from this "
                "batch."
            )
        X = self._featurize(t.states)
        td_errors = np.empty(len(t))
        for action in np.unique(t.actions).tolist():
            rows = np.flatnonzero(t.actions == action)
            X_action, weights = X[rows], None if t.weights is None else t.weights[rows]
            # delta = y - Q(s, a)
            td_errors[rows] = targets[rows] - self._value(action, X_action)
            self._learn(action, X_action, targets[rows], weights)
        return td_errors

    def _learn(
        self,
        action: int,
        X: Any,
        targets: Float[np.ndarray, " m"],
        weights: Float[np.ndarray, " m"] | None,
    ) -> None:
        """Let the regressor of an action learn its targets."""
        fit_params = {} if weights is None else {"sample_weight": weights}
        if hasattr(self.estimator, "partial_fit"):
            if self.regressors_[action] is None:
                self.regressors_[action] = clone(self._fresh[action])
            self.regressors_[action].partial_fit(X, targets, **fit_params)
        else:
            self.regressors_[action] = clone(self._fresh[action]).fit(X, targets, **fit_params)

    def _value(self, action: int, X: Any) -> Float64[np.ndarray, " m"]:
        """Q(., a) of one action, for features of shape (m, n_features)."""
        regressor = self.regressors_[action]
        if regressor is None:
            return np.zeros(X.shape[0])
        if self._is_linear:
            # Q(s, a) = w_a . x(s) + b_a
            return np.asarray(X @ regressor.coef_ + regressor.intercept_, np.float64)
        return np.asarray(regressor.predict(X), np.float64)

    def _featurize(self, states: States) -> Any:
        """Features of shape (m, n_features), dense or sparse."""
        if states.shape[1:] != self.state_space_.shape:
            raise ValueError(
                f"States of {self.state_space_} must come as a batch, an array of shape "
                f"(m, *{self.state_space_.shape}), got shape {states.shape}."
            )
        numbers = self._encoder.encode(states).astype(np.float64)
        return numbers if self.features_ is None else self.features_.transform(numbers)

    def _fit_features(self, states: States) -> None:
        if len(states) < N_STATES_FOR_FEATURES:
            raise ValueError(
                f"The features need at least {N_STATES_FOR_FEATURES} states to be fitted to, got "
                f"{len(states)}. They cannot be drawn from {self.state_space_}, which is not "
                "bounded: learn with ExperienceReplay, or fit the features to typical states "
                "yourself and give features=sklearn.frozen.FrozenEstimator(features)."
            )
        numbers = self._encoder.encode(states).astype(np.float64)
        # A FrozenEstimator insists on y.
        self.features_ = clone(self._fresh_features).fit(numbers, None)

    def _check(self, t: Transitions) -> None:
        """Raise a ValueError if there are actions or weights that cannot be learned from."""
        check_range("Actions", t.actions, self.n_actions_)
        fit = getattr(self.estimator, "partial_fit", self.estimator.fit)
        if t.weights is not None and not _takes_weights(fit):
            raise ValueError(
                "The transitions have weights, as PrioritizedBuffer gives them, but "
                f"{self.estimator!r} takes no sample_weight. Learn from a ReplayBuffer, or "
                "choose another estimator."
            )


def _check_estimators(estimator: Any, features: Any) -> None:
    if not (isinstance(estimator, BaseEstimator) and is_regressor(estimator)):
        raise TypeError(
            "estimator must be an instance of a scikit-learn regressor, such as "
            f"SGDRegressor(), got {estimator!r}."
        )
    is_transformer = isinstance(features, BaseEstimator) and hasattr(features, "transform")
    if features is not None and not is_transformer:
        raise TypeError(
            "features must be an instance of a scikit-learn transformer, such as "
            f"StandardScaler(), or None, got {features!r}."
        )


def _clone_with_seed(estimator: Any, rng: Generator) -> Any:
    """Clone an estimator; draw a random_state wherever it or a part of it has none."""
    fresh = clone(estimator)
    for name, value in sorted(fresh.get_params().items(), key=lambda item: item[0]):
        if name.split("__")[-1] == "random_state" and value is None:
            fresh.set_params(**{name: int(rng.integers(2**31))})
    return fresh


def _takes_weights(fit: Callable[..., Any]) -> bool:
    return "sample_weight" in inspect.signature(fit).parameters


def _is_bounded(space: gymnasium.Space[Any]) -> bool:
    if not isinstance(space, Box):
        return True
    return bool(np.all(space.high.astype(np.float64) - space.low < NO_BOUND))


def _draw_states(space: gymnasium.Space[Any], rng: Generator) -> Shaped[np.ndarray, "..."]:
    """Draw states uniformly from a bounded space."""
    states = batch_space(space, N_STATES_FOR_FEATURES)
    states.seed(int(rng.integers(2**31)))
    sample: np.ndarray = states.sample()
    return sample
