"""The deep Q-network: action values from a neural network."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import gymnasium
import numpy as np
from jaxtyping import Float, Float32
from numpy.random import Generator
from sklearn.base import clone

from skrl.base import QFunction, States, Transitions, Values
from skrl.qfunctions._checks import check_is_built
from skrl.qfunctions.encoding import StateEncoder
from skrl.qfunctions.learner_state import LearnerState
from skrl.qfunctions.networks import ACTIVATIONS, build, convolutional_network, dense_network
from skrl.qfunctions.numpy_network import NumpyNetwork, dense_activations

# A target network that changes less often than every so many updates is evaluated for all of them
# at once.
LONG_REST = 16

# Learns while the main thread acts. One thread is enough: TensorFlow has threads of its own.
_background = ThreadPoolExecutor(1, thread_name_prefix="skrl-learning")


class DQN(QFunction):
    """Deep Q-network: a neural network that gives one value per action.

    The network learns by gradient descent on the Huber loss of the temporal-difference error
    ``rewards + discounts * bootstrap - Q(states, actions)``. The bootstrap value of the next state
    comes from a target network, a copy of the weights that stays behind
    (Mnih et al., 2015, "Human-level control through deep reinforcement learning").

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(128, 128)
        Width of every hidden layer.
    activation : {"relu", "tanh"}, default="relu"
        Of the hidden layers.
    network : callable or None, default=None
        Builds the network, ``(state_shape, n_outputs) -> keras.Model``, instead of the two
        parameters above; `n_outputs` is the number of actions, and one more if `dueling`. A
        function that can be imported, not a lambda, if the agent is to be saved. Images (states
        of at least two axes) get `skrl.qfunctions.networks.convolutional_network` by default.
    learning_rate : float, default=1e-3
        Step size of the optimizer at the beginning, > 0.
    learning_rate_decay : float >= 0, default=1e-4
        How fast the steps become smaller: the n-th update has the step size
        ``learning_rate / (1 + learning_rate_decay * (n - 1))``, as in a table. Large steps at first
        learn fast; small ones at the end keep what is good. 0 keeps them constant. (An optimizer
        with a Keras learning-rate schedule follows that instead.)
    optimizer : str or callable, default="adam"
        A Keras optimizer's name, or a function ``learning_rate -> keras.optimizers.Optimizer``,
        such as the class itself or one that sets further arguments.
    target_update_freq : int, default=1
        Updates between two changes of the target network.
    tau : float in (0, 1], default=0.015
        How far a change takes the target network towards the online network. A small number with
        ``target_update_freq=1`` lets the target network follow slowly all the time (soft updates;
        Lillicrap et al., 2016, "Continuous control with deep reinforcement learning"). 1 copies
        the weights, which should then rest: ``target_update_freq=128, tau=1.0`` is the way of Mnih
        et al.
    double : bool, default=True
        Double DQN: the online network chooses the action in the next state, the target network
        says what it is worth, which overestimates less (van Hasselt et al., 2016, "Deep
        reinforcement learning with double Q-learning").
    dueling : bool, default=False
        Dueling network: the value of a state and the advantages of its actions are learned apart,
        ``Q(s, a) = V(s) + A(s, a) - mean_b A(s, b)`` (Wang et al., 2016, "Dueling network
        architectures for deep reinforcement learning"). Both streams share all hidden layers.
    huber_delta : float, default=1.0
        Size of an error from which on the loss grows linearly, > 0.
    scale_states : bool, default=True
        Standardize states of arbitrary units by those that are learned from, at first (images
        are divided by 255). See `skrl.qfunctions.encoding.StateEncoder`.

    Attributes
    ----------
    weights_ : list of ndarray
        The network's weights, as Keras orders them.
    n_updates_ : int
        Updates made so far.

    Notes
    -----
    States other than images are one-hot encoded (Discrete, MultiDiscrete) or standardized (Box).
    A dense network is evaluated with NumPy, from a copy of the weights: TensorFlow is loaded only
    to build and to train. A stretch of updates is one compiled call, see
    `skrl.qfunctions.compiled.CompiledLearner`.

    Examples
    --------
    >>> import gymnasium, numpy as np
    >>> from skrl import DQN
    >>> space = gymnasium.make("CartPole-v1").observation_space
    >>> qfunction = DQN(hidden_layer_sizes=(32,)).build(space, n_actions=2, random_state=0)
    >>> qfunction.values(np.zeros((5, 4), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] = (128, 128),
        activation: str = "relu",
        network: Callable[[tuple[int, ...], int], Any] | None = None,
        *,
        learning_rate: float = 1e-3,
        learning_rate_decay: float = 1e-4,
        optimizer: str | Callable[[float], Any] = "adam",
        target_update_freq: int = 1,
        tau: float = 0.015,
        double: bool = True,
        dueling: bool = False,
        huber_delta: float = 1.0,
        scale_states: bool = True,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.network = network
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.optimizer = optimizer
        self.target_update_freq = target_update_freq
        self.tau = tau
        self.double = double
        self.dueling = dueling
        self.huber_delta = huber_delta
        self.scale_states = scale_states

    # ---- what a variant overrides -------------------------------------------------------------

    def n_outputs(self, n_actions: int) -> int:
        """How many outputs the network has."""
        return n_actions + self.dueling

    def values_of(self, outputs: Any) -> Any:
        """Q(s, .) from the network's outputs, in TensorFlow operations; it must be linear.

        Parameters
        ----------
        outputs : tensor of shape (B, n_outputs)
            What the network says about B states.

        Returns
        -------
        tensor of shape (B, n_actions)
        """
        from skrl.qfunctions.operations import duel

        return duel(outputs, axis=1) if self.dueling else outputs

    def targets(
        self,
        rewards: Any,
        discounts: Any,
        target_outputs: Any,
        next_outputs: Callable[[], Any],
    ) -> Any:
        """What is learned: the targets of B transitions, in TensorFlow operations.

        Parameters
        ----------
        rewards, discounts : tensor of shape (B,)
            Those of the transitions.
        target_outputs : tensor of shape (B, n_outputs)
            What the target network says about the next states s'.
        next_outputs : callable
            Gives what the online network says about them.

        Returns
        -------
        tensor of shape (B,)
        """
        from skrl.qfunctions.operations import pick

        best = self.best_actions(target_outputs, next_outputs)
        # y = r + discount * Q_target(s', a*)
        return rewards + discounts * pick(self.values_of(target_outputs), best)

    def best_actions(self, target_outputs: Any, next_outputs: Callable[[], Any]) -> Any:
        """The actions a* in the next states whose value counts, a tensor of shape (B,)."""
        import tensorflow as tf

        # argmax_a Q_online(s', a) if double, else argmax_a Q_target(s', a)
        outputs = next_outputs() if self.double else target_outputs
        return tf.argmax(self.values_of(outputs), axis=1)

    def losses(self, outputs: Any, actions: Any, targets: Any) -> tuple[Any, Any]:
        """How far the network is from the targets, in TensorFlow operations.

        Parameters
        ----------
        outputs : tensor of shape (B, n_outputs)
            What the online network says about the states.
        actions : tensor of shape (B,)
            Those of the transitions.
        targets : tensor
            What `targets` gave.

        Returns
        -------
        losses, td_errors : tensor of shape (B,)
        """
        from skrl.qfunctions.operations import huber, pick

        # delta = y - Q(s, a)
        td_errors = targets - pick(self.values_of(outputs), actions)
        return huber(td_errors, self.huber_delta), td_errors

    # ---- the QFunction interface --------------------------------------------------------------

    def build(
        self,
        state_space: gymnasium.Space[Any],
        n_actions: int,
        random_state: int | Generator | None,
    ) -> Self:
        """Make a fresh network for the environment."""
        self._validate()
        self.state_space_, self.n_actions_ = state_space, n_actions
        self._seed = int(np.random.default_rng(random_state).integers(2**31))
        self._encoder = StateEncoder(state_space, self.scale_states)
        model = self._build_model()
        self._activations = dense_activations(model)
        self._output_matrix = self._find_output_matrix()
        self.n_updates_ = 0
        self._learner = None
        self.learner_state = LearnerState(model.get_weights(), model.get_weights())
        self._learner = self._find_learner()
        self._learner.forget(self)
        self._act_with(model.get_weights())
        return self

    def values(self, states: States) -> Values:
        """Evaluate the network on states of shape (m, *state_shape)."""
        try:
            if self._numpy_network is not None:
                return self._numpy_network(states)
            with self._borrowed_learner() as learner:
                values: Values = learner.values(states, self._encoder.scale)
            return values
        except AttributeError:
            check_is_built(self)
            raise

    def encode(self, states: States) -> Float[np.ndarray, "m n_features"]:
        """The inputs of the network, in one row per state: scaled, or one-hot."""
        check_is_built(self)
        return self._encoder.encode(states)

    def update(self, transitions: Transitions) -> Float[np.ndarray, "*batch"]:
        """Make one update per batch of transitions, all in one compiled call.

        Raises
        ------
        ValueError
            If an error is not finite, because the environment gave NaN or training diverged. The
            weights are then as they were before the call.
        """
        check_is_built(self)
        if transitions.actions.ndim == 1:
            first: np.ndarray = self.update(transitions[None])[0]
            return first
        self._see(transitions)
        return self._adopt(transitions, *self._learn(transitions))

    def start_update(self, transitions: Transitions) -> Callable[[], Float[np.ndarray, "*batch"]]:
        """Begin an update of batch shape (K, B) in the background.

        Meanwhile the network acts from its NumPy copy of the weights as they were before. (One
        that has no such copy learns when the update is finished.) Only the scale of the states,
        if that adapts, comes into force at once.
        """
        check_is_built(self)
        has_own_way = type(self).update is not DQN.update  # a subclass that is not to be bypassed
        if has_own_way or self._numpy_network is None or transitions.actions.ndim == 1:
            return super().start_update(transitions)
        self._see(transitions)
        self._learning = _background.submit(self._learn, transitions)
        learned = self._learning.result
        return lambda: self._adopt(transitions, *learned())

    @property
    def target_rests(self) -> bool:
        """Whether the target network changes so seldom that it pays to evaluate it beforehand."""
        return self.target_update_freq >= LONG_REST

    def _see(self, transitions: Transitions) -> None:
        """Adapt the scale of the states."""
        if self._encoder.observe(transitions.states):
            self._act_with(self.weights_)

    def _learn(self, transitions: Transitions) -> tuple[Float[np.ndarray, "K B"], list[np.ndarray]]:
        """Make the updates; the target network rests between its own."""
        n_updates, done, errors = len(transitions.actions), 0, []
        with self._borrowed_learner() as learner:
            while done < n_updates:
                last = n_updates
                if self.target_rests:
                    age = self.n_updates_ % self.target_update_freq
                    last = min(done + self.target_update_freq - age, n_updates)
                td_errors, weights = learner.learn(
                    transitions,
                    done,
                    last,
                    self._encoder.scale,
                    self.n_updates_,
                    self.learning_rate,
                    self.learning_rate_decay,
                )
                errors.append(td_errors)
                self.n_updates_ += last - done
                done = last
                if self.target_rests and self.n_updates_ % self.target_update_freq == 0:
                    learner.renew_target()
        return np.concatenate(errors), weights

    def _adopt(
        self,
        transitions: Transitions,
        td_errors: Float[np.ndarray, "K B"],
        weights: list[np.ndarray],
    ) -> Float[np.ndarray, "K B"]:
        """Act with what has been learned, unless it is broken."""
        if not np.isfinite(td_errors).all():
            self._start_from(self.weights_)
            raise ValueError(_why_not_finite(transitions))
        self._act_with(weights)
        return td_errors

    def snapshot(self) -> Any:
        """Copy the weights and the scale of the states."""
        return list(self.weights_), self._encoder.scale

    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot, the target network as well."""
        weights, self._encoder.scale = snapshot
        self._start_from(weights)

    # ---- how it is done ------------------------------------------------------------------------

    def _validate(self) -> None:
        sizes = self.hidden_layer_sizes
        if not isinstance(sizes, tuple | list) or not all(
            isinstance(size, int | np.integer) and size > 0 for size in sizes
        ):
            raise ValueError(
                f"hidden_layer_sizes must be a tuple of positive integers, got {sizes!r}. "
                "One hidden layer of 64 units is (64,)."
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {ACTIVATIONS}, got {self.activation!r}.")
        for name in ("learning_rate", "huber_delta", "target_update_freq", "tau"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}.")
        if not self.learning_rate_decay >= 0:
            raise ValueError(
                f"learning_rate_decay must be at least 0, got {self.learning_rate_decay!r}."
            )
        if self.tau > 1:
            raise ValueError(f"tau must be in (0, 1], got {self.tau!r}.")

    def _build_model(self) -> Any:
        """Build the Keras network, the same one for the same seed."""
        builder: Callable[[tuple[int, ...], int], Any] = self.network or partial(
            dense_network,
            hidden_layer_sizes=tuple(self.hidden_layer_sizes),
            activation=self.activation,
        )
        is_image = self._encoder.state_ndim >= 2 and self._encoder.n_categories is None
        if self.network is None and is_image:
            builder = convolutional_network
        return build(builder, self._encoder.shape, self.n_outputs(self.n_actions_), self._seed)

    def _find_output_matrix(self) -> Float32[np.ndarray, "n_outputs n_actions"] | None:
        """What turns the network's outputs into values, as a matrix; None for outputs as such."""
        import tensorflow as tf

        n_outputs = self.n_outputs(self.n_actions_)
        matrix: np.ndarray = self.values_of(tf.eye(n_outputs)).numpy()
        return None if np.array_equal(matrix, np.eye(n_outputs)) else matrix

    def _find_learner(self) -> Any:
        """Find the compiled learner for networks like this one; the first time, make it."""
        from skrl.qfunctions.compiled import CompiledLearner, make_optimizer, shared_learner

        has_own_rate = isinstance(self.optimizer, str)

        def make() -> CompiledLearner:
            return CompiledLearner(
                self._build_model(),
                self._build_model(),
                make_optimizer(self.optimizer, self.learning_rate),
                StateEncoder(self.state_space_, self.scale_states),
                self._variant(),
                has_own_rate,
            )

        # Everything that is compiled into the learner.
        parameters = self.get_params(deep=False)
        parameters["hidden_layer_sizes"] = tuple(self.hidden_layer_sizes)
        del parameters["scale_states"], parameters["learning_rate_decay"]
        if self.target_rests:
            del parameters["target_update_freq"]
        if has_own_rate:
            del parameters["learning_rate"]
        counts = self._encoder.n_categories
        space = self._encoder.shape, None if counts is None else tuple(counts.tolist())
        return shared_learner((type(self), *parameters.items(), space, self.n_actions_), make)

    def _variant(self) -> Self:
        """A copy that knows what kind of DQN this is, and nothing that it has learned."""
        variant: Self = clone(self)
        variant.n_actions_ = self.n_actions_
        return variant

    @contextmanager
    def _borrowed_learner(self) -> Iterator[Any]:
        """Have the learner to ourselves, with this network's state in it."""
        if self._learner is None:  # just loaded
            self._learner = self._find_learner()
        with self._learner.lock:
            self._learner.lend(self)
            yield self._learner

    def _start_from(self, weights: list[np.ndarray]) -> None:
        """Give both networks these weights."""
        with self._borrowed_learner() as learner:
            learner.model.set_weights(weights)
            learner.target_model.set_weights(weights)
        self._act_with(weights)

    def _act_with(self, weights: list[np.ndarray]) -> None:
        """Keep a NumPy copy of the weights, and act from it if the network is dense."""
        self.weights_ = weights
        self._numpy_network = None
        if self._activations is not None:
            self._numpy_network = NumpyNetwork(
                self._activations, self._encoder, self._output_matrix
            )
            self._numpy_network.load(weights)

    def __getstate__(self) -> dict[str, Any]:
        """Plain Python and NumPy: no TensorFlow object is saved."""
        if hasattr(self, "_learning"):
            wait([self._learning])  # what it is learning belongs to the saved state
        state: dict[str, Any] = super().__getstate__().copy()
        state.pop("_learning", None)
        learner = state.get("_learner")
        if learner is not None:
            state["_learner"] = None
            with learner.lock:
                if learner.is_lent_to(self):
                    state["learner_state"] = learner.state()
        return state


def _why_not_finite(transitions: Transitions) -> str:
    """Tell whether the data or the learning is to blame."""
    for name in ("states", "rewards", "next_states"):
        if not np.isfinite(getattr(transitions, name)).all():
            return (
                f"The environment gave {name} that are NaN or infinite; they cannot be learned "
                "from. Check its step() and reset()."
            )
    return (
        "Training diverged: the network's values became NaN or infinite. Lower learning_rate, or "
        "raise target_update_freq. The weights are as they were before this stretch of updates."
    )
