"""Action values from a neural network: how it is built, evaluated and trained."""

import os
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any, Self

import gymnasium
import numpy as np
from jaxtyping import Float, Float32
from numpy.random import Generator
from sklearn.base import clone

from skrl.base import Defaults, QFunction, State, States, Transitions, Values, View
from skrl.limits import check_count, check_flag, check_number
from skrl.qfunctions._checks import check_is_built, check_names
from skrl.qfunctions.deep.background import background
from skrl.qfunctions.deep.columns import why_not_finite
from skrl.qfunctions.deep.learner import (
    Batch,
    Learner,
    LearnerState,
    configuration,
    shared_learner,
)
from skrl.qfunctions.deep.networks import (
    ACTIVATIONS,
    Builder,
    build,
    convolutional_network,
    dense_network,
)
from skrl.qfunctions.deep.numpy_convolution import NumpyConvolutionalNetwork, convolutional_stack
from skrl.qfunctions.deep.numpy_network import NumpyNetwork, dense_layers
from skrl.qfunctions.deep.optimizers import make_optimizer
from skrl.qfunctions.deep.tensorflow import tf
from skrl.qfunctions.encoding import Moments, StateEncoder

# Of hidden layers: 4 GB of memory.
MAX_WEIGHTS = 10**9

# What is learned, the new state, the TD errors and the losses.
Learned = tuple[LearnerState, Float[np.ndarray, "K B"], Float[np.ndarray, " K"]]


class NetworkQFunction(QFunction):
    """A neural network and a target network; see `DQN` for the parameters.

    A subclass says what the network learns: what its outputs mean (`n_outputs`, `values_of`),
    their targets (`targets`), and the distance from these (`losses`), in TensorFlow operations.

    All that is learned is one `LearnerState`, and `skrl.qfunctions.deep.learner.Learner` maps it
    to the next one. A stack of dense layers, or of convolutions and dense layers, is evaluated
    with NumPy, so TensorFlow is loaded only to build and to train.

    Attributes
    ----------
    weights_ : list of ndarray
        The trainable weights of the network, as Keras orders them.
    n_updates_ : int
        Updates made so far.
    """

    hidden_layer_sizes: tuple[int, ...] | int
    activation: str
    network: Builder | None
    learning_rate: float
    learning_rate_decay: float
    optimizer: str | Callable[[float], Any]
    target_update_interval: int
    tau: float
    scale_states: bool
    layer_norm: bool
    noisy: bool

    defaults = Defaults("SegmentedEpsilonGreedy", "ExperienceReplay", n_steps=50_000)

    @property
    def is_random(self) -> bool:
        """Whether the outputs are random in learning, also those of the target network."""
        return self.noisy

    # ---- what a subclass says ------------------------------------------------------------------

    @abstractmethod
    def n_outputs(self, n_actions: int) -> int:
        """How many outputs the network has."""

    @abstractmethod
    def values_of(self, outputs: Any) -> Any:
        """Q(s, .) from the network's outputs.

        Parameters
        ----------
        outputs : tensor of shape (B, n_outputs)
            What the network says about B states.

        Returns
        -------
        tensor of shape (B, n_actions)
        """

    def prepare(self, batch: Batch, target_outputs: Any, state_outputs: Callable[[], Any]) -> Batch:
        """Say how B transitions are learned from: by default as they are.

        Parameters
        ----------
        batch : Batch
            Rewards, discounts and whatever else is known of the transitions.
        target_outputs : tensor of shape (B, n_outputs)
            What the target network says about the next states s'.
        state_outputs : callable
            Gives what the target network says about the states s.

        Returns
        -------
        Batch
            What `targets` gets. A method that adds to the rewards, or states the probabilities
            of the next actions, works with the targets of every subclass.
        """
        return batch

    @abstractmethod
    def targets(self, batch: Batch, target_outputs: Any, next_outputs: Callable[[], Any]) -> Any:
        """What is learned: the targets of B transitions.

        Parameters
        ----------
        batch : Batch
            Rewards, discounts and whatever else is known of the transitions.
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

    # ---- the QFunction interface ---------------------------------------------------------------

    def build(
        self,
        state_space: gymnasium.Space[Any],
        n_actions: int,
        random_state: int | Generator | None,
    ) -> Self:
        """Make a fresh network for the environment."""
        self._validate()
        self.state_space_, self.n_actions_ = state_space, n_actions
        self._encoder = StateEncoder(state_space, self.scale_states)
        model = self._build_model(np.random.default_rng(random_state))
        self._layers = convolutional_stack(model) or dense_layers(model)
        self._output_matrix = self._find_output_matrix()
        self._loss = np.nan
        self._adopt(self._learner(model).initial_state(model))
        return self

    def values(self, states: States) -> Values:
        """Evaluate the network on states of shape (m, *state_shape)."""
        return self._values(states)

    def for_exploration(self, rng: Generator) -> QFunction:
        """Give what a policy acts on: a view with noise on the weights, if they are `noisy`."""
        return _WithNoise(self, rng) if self.noisy else self

    def _values(self, states: States, rng: Generator | None = None) -> Values:
        """Evaluate the network, with noise from a generator if one is given."""
        try:
            if self._numpy_network is not None:
                return self._numpy_network(states, rng)
            return self._learner().values(self._state, states, rng)
        except AttributeError:
            check_is_built(self)
            raise

    def encode(self, states: States) -> Float[np.ndarray, "m n_features"]:
        """The inputs of the network, in one row per state: scaled, or one-hot."""
        check_is_built(self)
        return self._encoder.encode(states, self._state.moments)

    def update(self, transitions: Transitions) -> Float[np.ndarray, "*batch"]:
        """Make one update per batch of transitions, all in one compiled call.

        Raises
        ------
        ValueError
            If an error is not finite, because the environment gave NaN or training diverged. The
            weights are then as they were before the call.
        """
        check_is_built(self)
        return self._finish(transitions, self._learn(self._state, transitions))

    def start_update(self, transitions: Transitions) -> Callable[[], Float[np.ndarray, "*batch"]]:
        """Begin an update in the background; meanwhile, the network acts as before."""
        if type(self).update is not NetworkQFunction.update:
            return super().start_update(transitions)  # do not bypass a subclass
        check_is_built(self)
        began_with = self._state
        learning = background().submit(self._learn, began_with, transitions)

        def finish() -> Float[np.ndarray, "*batch"]:
            if self._state is not began_with:  # `set_state` came in between
                return self.update(transitions)
            return self._finish(transitions, learning.result())

        return finish

    def state(self) -> State:
        """Copy the learner's state."""
        check_is_built(self)
        state = self._state.to_numpy()._asdict()
        return {**state, "moments": state["moments"]._asdict()}

    def set_state(self, state: State) -> None:
        """Continue from a `state` of a network of the same shape."""
        check_is_built(self)
        check_names(self, state, set(LearnerState._fields))
        new = LearnerState(**{**state, "moments": Moments(**state["moments"])})
        for name in LearnerState._fields[:5]:
            parts = getattr(self._state, name), getattr(new, name)
            expected, got = ([np.shape(array) for array in part] for part in parts)
            if expected != got:
                raise ValueError(
                    f"The state does not fit this network: its {name} have the shapes {got}, "
                    f"expected {expected}. Give the network the same parameters."
                )
        self._adopt(new)

    def metrics(self) -> dict[str, float]:
        """Report the mean loss of the last call, and the step size of the next update."""
        # alpha_n = learning_rate / (1 + decay * (n - 1))
        rate = self.learning_rate / (1 + self.learning_rate_decay * self.n_updates_)
        return {"loss": self._loss, "learning_rate": rate}

    @property
    def weights_(self) -> list[np.ndarray]:
        """The trainable weights, as Keras orders them."""
        check_is_built(self)
        return [np.asarray(array) for array in self._state.weights]

    @property
    def n_updates_(self) -> int:
        """Updates made so far."""
        check_is_built(self)
        return self._state.n_updates

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the network for other programs; see `skrl.QLearningAgent.export`."""
        from skrl.qfunctions.deep.export import export  # needs Keras

        check_is_built(self)
        model = self._build_model(np.random.default_rng(0))
        variables = [*model.trainable_variables, *model.non_trainable_variables]
        for variable, array in zip(
            variables, [*self._state.weights, *self._state.other], strict=True
        ):
            variable.assign(array)
        shift, factor = self._encoder.scale(self._state.moments)
        encode = partial(self._learner().encode, shift=shift, factor=factor)
        export(encode, model, self.values_of, self.state_space_, path)

    # ---- how it is done ------------------------------------------------------------------------

    def _learn(self, state: LearnerState, transitions: Transitions) -> Learned:
        """Compute what is learned. This changes nothing, so it may run in the background."""
        is_single = transitions.actions.ndim == 1
        return self._learner().learn(
            state,
            transitions[None] if is_single else transitions,
            self.learning_rate,
            self.learning_rate_decay,
        )

    def _finish(self, transitions: Transitions, learned: Learned) -> Float[np.ndarray, "*batch"]:
        """Let what was learned take effect, unless it is broken."""
        state, td_errors, losses = learned
        # The errors are those before each update, the weights those after the last one.
        if not all(np.isfinite(array).all() for array in (td_errors, *state.weights)):
            raise ValueError(why_not_finite(transitions))
        self._loss = float(losses.mean())
        self._adopt(state)
        return td_errors.reshape(transitions.actions.shape)

    def _adopt(self, state: LearnerState) -> None:
        """Continue from this state, and act with its weights."""
        self._state = state
        self._numpy_network: NumpyNetwork | NumpyConvolutionalNetwork | None = None
        if self._layers is not None:
            is_dense = isinstance(self._layers, list)
            kind: Any = NumpyNetwork if is_dense else NumpyConvolutionalNetwork
            self._numpy_network = kind(self._layers, self._encoder, self._output_matrix)
            self._numpy_network.load(self._acting_weights(), state.moments)

    def _acting_weights(self) -> list[np.ndarray]:
        """The weights of the layers that are evaluated with NumPy."""
        return self.weights_

    def _learner(self, model: Any = None) -> Learner:
        """Find what is compiled for networks like this one; the first time, make it."""
        parameters = self.get_params(deep=False)
        if isinstance(self.optimizer, str):
            del parameters["learning_rate"]  # passed with every call
        del parameters["learning_rate_decay"]
        counts = self._encoder.n_categories
        # Not the space's repr, which leaves out the middle of long arrays.
        states = (
            type(self.state_space_),
            self.state_space_.dtype,
            self.state_space_.shape,
            None if counts is None else tuple(counts.tolist()),
        )
        key = type(self), configuration(list(parameters.items())), states, self.n_actions_

        def make() -> Learner:
            objective: Self = clone(self)
            objective.n_actions_ = self.n_actions_
            return Learner(
                model or self._build_model(np.random.default_rng(0)),
                make_optimizer(self.optimizer, self.learning_rate),
                self._encoder,
                objective,
            )

        return shared_learner(key, make)

    def _build_model(self, rng: Generator) -> Any:
        """Build the Keras network, the same one for the same generator."""
        options: dict[str, Any] = {"layer_norm": self.layer_norm, "noisy": self.noisy}
        if self.network is not None:
            builder = self.network
        elif _is_image(self.state_space_):
            builder = partial(convolutional_network, **options)
        else:
            sizes = self._layer_sizes()
            builder = partial(
                dense_network, hidden_layer_sizes=sizes, activation=self.activation, **options
            )
        model = build(builder, self._encoder.shape, self.n_outputs(self.n_actions_), rng)
        if self.noisy and not any("int" in seed.dtype for seed in model.non_trainable_variables):
            raise ValueError(
                f"noisy=True, but the network that {builder!r} builds has no layer that draws "
                "noise. Let it use skrl.qfunctions.deep.layers.NoisyDense for its last layers."
            )
        return model

    def _find_output_matrix(self) -> Float32[np.ndarray, "n_outputs n_actions"] | None:
        """What turns outputs into values: a matrix, or None for the outputs as such.

        If `values_of` is not linear, there is no matrix, and TensorFlow evaluates the network.
        """
        n_outputs = self.n_outputs(self.n_actions_)
        matrix: np.ndarray = self.values_of(tf.eye(n_outputs)).numpy()
        points = np.random.default_rng(0).normal(size=(16, n_outputs)).astype(np.float32)
        if not np.allclose(self.values_of(tf.constant(points)), points @ matrix, 1e-4, 1e-4):
            self._layers = None
        return None if np.array_equal(matrix, np.eye(n_outputs)) else matrix

    def _layer_sizes(self) -> tuple[int, ...]:
        """The sizes of the hidden layers; a single number stands for one layer."""
        sizes = self.hidden_layer_sizes
        return tuple(map(int, [sizes] if isinstance(sizes, int | np.integer) else sizes))

    def _validate(self) -> None:
        sizes = self.hidden_layer_sizes
        for size in sizes if isinstance(sizes, tuple | list) else [sizes]:
            hint = f" hidden_layer_sizes={sizes!r:.80}: two layers of 64 units are (64, 64)."
            check_count("A hidden layer's size", size, least=1, hint=hint)
        if sum(map(prod, pairwise([1, *self._layer_sizes()]))) > MAX_WEIGHTS:
            raise ValueError(
                f"hidden_layer_sizes={sizes!r:.80} needs more than {MAX_WEIGHTS:,} weights. Use "
                "smaller layers."
            )
        if self.network is not None and not callable(self.network):
            raise TypeError(
                "network must be a function (state_shape, n_outputs) -> keras.Model or None, got "
                f"{self.network!r:.80}."
            )
        if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {ACTIVATIONS}, got {self.activation!r}.")
        check_number("learning_rate", self.learning_rate, is_positive=True)
        check_number("learning_rate_decay", self.learning_rate_decay, least=0)
        check_count("target_update_interval", self.target_update_interval, least=1)
        check_number("tau", self.tau, is_positive=True, most=1)
        for name in ("scale_states", "layer_norm", "noisy"):
            check_flag(name, getattr(self, name))

    def __getstate__(self) -> dict[str, Any]:
        """Plain Python and NumPy: no TensorFlow object is saved."""
        state: dict[str, Any] = super().__getstate__().copy()
        if "_state" in state:
            state["_state"] = state["_state"].to_numpy()
        return state


class _WithNoise(View):
    """A network whose values have new noise at every look."""

    qfunction: NetworkQFunction

    def __init__(self, qfunction: NetworkQFunction, rng: Generator) -> None:
        super().__init__(qfunction)
        self.rng = rng

    def values(self, states: States) -> Values:
        """Values of shape (m, n_actions); see `QFunction.values`."""
        return self.qfunction._values(states, self.rng)


def _is_image(space: gymnasium.Space[Any]) -> bool:
    """Whether states are pictures: uint8 with two or three axes, or three axes of any dtype."""
    if not isinstance(space, gymnasium.spaces.Box):
        return False
    return len(space.shape) == 3 or (len(space.shape) == 2 and space.dtype == np.uint8)
