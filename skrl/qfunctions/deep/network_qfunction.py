"""Action values from a neural network: how it is built, evaluated, trained and saved."""

from abc import abstractmethod
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
from skrl.qfunctions.deep.learner_state import LearnerState
from skrl.qfunctions.deep.networks import ACTIVATIONS, build, convolutional_network, dense_network
from skrl.qfunctions.deep.numpy_network import NumpyNetwork, dense_activations
from skrl.qfunctions.encoding import StateEncoder

# A target network that changes less often than every so many updates is evaluated for all of them
# at once.
LONG_REST = 16

# Learns while the main thread acts. One thread is enough: TensorFlow has threads of its own.
_background = ThreadPoolExecutor(1, thread_name_prefix="skrl-learning")


class NetworkQFunction(QFunction):
    """A neural network, and a target network beside it; see `DQN` for the parameters.

    A subclass says what the network learns: what its outputs mean (`n_outputs`, `values_of`), what
    they are to become (`targets`), and how far they are from that (`losses`), in TensorFlow
    operations. This class sees to the rest.

    A dense network is evaluated with NumPy, from a copy of the weights: TensorFlow is loaded only
    to build and to train. A stretch of updates is one compiled call, see
    `skrl.qfunctions.deep.learner.CompiledLearner`.

    Attributes
    ----------
    weights_ : list of ndarray
        The network's weights, as Keras orders them.
    n_updates_ : int
        Updates made so far.
    """

    hidden_layer_sizes: tuple[int, ...]
    activation: str
    network: Callable[[tuple[int, ...], int], Any] | None
    learning_rate: float
    learning_rate_decay: float
    optimizer: str | Callable[[float], Any]
    target_update_freq: int
    tau: float
    scale_states: bool

    # ---- what a subclass says ------------------------------------------------------------------

    @abstractmethod
    def n_outputs(self, n_actions: int) -> int:
        """How many outputs the network has."""

    @abstractmethod
    def values_of(self, outputs: Any) -> Any:
        """Q(s, .) from the network's outputs; it must be linear.

        Parameters
        ----------
        outputs : tensor of shape (B, n_outputs)
            What the network says about B states.

        Returns
        -------
        tensor of shape (B, n_actions)
        """

    @abstractmethod
    def targets(
        self,
        rewards: Any,
        discounts: Any,
        target_outputs: Any,
        next_outputs: Callable[[], Any],
    ) -> Any:
        """What is learned: the targets of B transitions.

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
        tensor of shape (B, ...)
            Whatever `losses` compares with the outputs.
        """

    @abstractmethod
    def losses(self, outputs: Any, actions: Any, targets: Any) -> tuple[Any, Any]:
        """How far the network is from the targets.

        Parameters
        ----------
        outputs : tensor of shape (B, n_outputs)
            What the online network says about the states.
        actions : tensor of shape (B,)
            Those of the transitions.
        targets : tensor of shape (B, ...)
            What `targets` gave.

        Returns
        -------
        losses, td_errors : tensor of shape (B,)
        """

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
        # The update of a subclass that has its own is not to be bypassed.
        has_own_way = type(self).update is not NetworkQFunction.update
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
        for name in ("learning_rate", "target_update_freq", "tau"):
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
        from skrl.qfunctions.deep.learner import CompiledLearner, make_optimizer, shared_learner

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
