"""Learning as a function from state to state: many updates of a network in one compiled call.

    new_state, td_errors, losses = learner.learn(state, transitions, learning_rate, decay)

A `LearnerState` is everything that learning goes on from. A `Learner` holds none of it: it is
what was compiled, and all networks of the same architecture and options share one.
"""

import warnings
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from threading import Lock
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy.random import Generator

from skrl.qfunctions.deep.columns import fill_up, to_columns
from skrl.qfunctions.deep.tensorflow import check_not_forked, tf
from skrl.qfunctions.encoding import Moments, StateEncoder
from skrl.transitions import Transitions

# A target network that changes less often than every so many updates is evaluated for all of them
# at once.
LONG_REST = 16

# Learners that are kept, by what was compiled into them. TensorFlow never frees what it compiled.
N_LEARNERS = 32
_learners: dict[Hashable, "Learner"] = {}

Arrays = list[Any]


class LearnerState(NamedTuple):
    """What a network has learned, and everything that its learning goes on from.

    All arrays are NumPy arrays or immutable tensors.

    Parameters
    ----------
    weights, other : list of ndarray
        The trainable and the other variables of the network, in the order of Keras. The others
        are moving averages, and the seeds of stochastic layers.
    target_weights, target_other : list of ndarray
        The same of the target network.
    optimizer : list of ndarray
        The variables of the optimizer.
    n_updates : int
        Updates made so far.
    moments : Moments
        Of the states that were learned from: they decide on the scale of the states.
    """

    weights: Arrays
    other: Arrays
    target_weights: Arrays
    target_other: Arrays
    optimizer: Arrays
    n_updates: int
    moments: Moments

    def to_numpy(self) -> "LearnerState":
        """The same state, with nothing but NumPy arrays."""
        parts = [
            [np.asarray(array) for array in part] if isinstance(part, list) else part
            for part in self
        ]
        return LearnerState(*parts)  # type: ignore[arg-type]


class Batch(NamedTuple):
    """B transitions as tensors of shape (B,) or (B, n_actions); see `Transitions`.

    What the transitions do not have is None.
    """

    actions: Any
    rewards: Any
    discounts: Any
    weights: Any
    next_probabilities: Any = None
    next_action_masks: Any = None


@runtime_checkable
class Objective(Protocol):
    """What is learned: the target of the outputs, and how far they are from it.

    `skrl.qfunctions.deep.network_qfunction.NetworkQFunction` describes the methods.
    """

    target_update_interval: int
    tau: float
    is_random: bool

    def values_of(self, outputs: Any) -> Any:
        """Q(s, .) from the outputs of the network."""

    def prepare(self, batch: Batch, target_outputs: Any, state_outputs: Callable[[], Any]) -> Batch:
        """The transitions as they are learned from."""

    def targets(self, batch: Batch, target_outputs: Any, next_outputs: Callable[[], Any]) -> Any:
        """The targets of B transitions."""

    def losses(self, outputs: Any, actions: Any, targets: Any) -> tuple[Any, Any]:
        """Losses and TD errors of B transitions."""


def shared_learner(key: Hashable, make: Callable[[], "Learner"]) -> "Learner":
    """Find the learner that was compiled for `key`, or make it."""
    if key not in _learners:
        if len(_learners) >= N_LEARNERS:
            del _learners[next(iter(_learners))]  # the oldest
        _learners[key] = make()
    return _learners[key]


def configuration(value: Any) -> Hashable:
    """Describe a parameter, so that equal parameters have equal descriptions."""
    if isinstance(value, partial):
        keywords = tuple(sorted((k, configuration(v)) for k, v in value.keywords.items()))
        return value.func, configuration(value.args), keywords
    if isinstance(value, list | tuple):
        return tuple(configuration(item) for item in value)
    return value if isinstance(value, Hashable) else repr(value)


class Learner:
    """Makes K updates of a network in one compiled call.

    Calling TensorFlow costs about as much as ten small updates. Here the loop over the updates
    is itself compiled, by XLA, so that a call is paid once per rollout.

    Parameters
    ----------
    model : keras.Model
        The architecture; its weights are not used.
    optimizer : keras.optimizers.Optimizer
        Its rule; its variables are not used after `initial_state`.
    encoder : StateEncoder
        How states become inputs of the network.
    objective : Objective
        What is learned.
    """

    def __init__(
        self, model: Any, optimizer: Any, encoder: StateEncoder, objective: Objective
    ) -> None:
        from skrl.qfunctions.deep.convolution import with_matrix_products  # needs Keras

        self.model = model = with_matrix_products(model)
        self.optimizer = optimizer
        self.encoder = encoder
        self.objective = objective
        optimizer.build(model.trainable_variables)
        self._fresh_optimizer = [variable.numpy() for variable in optimizer.variables]
        # An optimizer that follows a Keras schedule cannot be given a learning rate.
        self._has_rate = isinstance(optimizer.get_config()["learning_rate"], float)
        self._lock = Lock()
        self.target_rests = objective.target_update_interval >= LONG_REST
        # All K batches of images as float32, and what layers make of them, would take gigabytes.
        self._is_one_by_one = len(encoder.shape) > 1
        self._jit_compile = True
        self._compiled: dict[tuple[int, ...], tuple[int, Any]] = {}
        self._forward = tf.function(self._evaluate, autograph=False, reduce_retracing=True)

    def initial_state(self, model: Any) -> LearnerState:
        """The state of a network that has learned nothing, with the weights of `model`."""
        weights = [variable.numpy() for variable in model.trainable_variables]
        other = [variable.numpy() for variable in model.non_trainable_variables]
        moments = self.encoder.no_moments()
        return LearnerState(weights, other, weights, other, self._fresh_optimizer, 0, moments)

    def values(
        self, state: LearnerState, states: np.ndarray, rng: Generator | None = None
    ) -> np.ndarray:
        """Evaluate the network on states, with noise from a generator if one is given."""
        check_not_forked()
        scale, other = self.encoder.scale(state.moments), state.other
        if rng is not None:
            # The integers among the variables are seeds of stochastic layers.
            other = [
                x if x.dtype.kind == "f" else rng.integers(2**31, size=x.shape).astype(x.dtype)
                for x in map(np.asarray, other)
            ]
        values = self._forward(state.weights, other, states, *scale, training=rng is not None)
        array: np.ndarray = values.numpy()
        return array

    def _evaluate(
        self, weights: Any, other: Any, states: Any, shift: Any, factor: Any, training: bool
    ) -> Any:
        inputs = self.encode(states, shift, factor)
        outputs = self.model.stateless_call(weights, other, inputs, **_training(training))[0]
        return self.objective.values_of(outputs)

    def learn(
        self,
        state: LearnerState,
        transitions: Transitions,
        learning_rate: float,
        decay: float,
    ) -> tuple[LearnerState, Float32[np.ndarray, "K B"], Float32[np.ndarray, " K"]]:
        """Make one update per batch of transitions.

        Parameters
        ----------
        state : LearnerState
            It is not changed.
        transitions : Transitions
            Of batch shape (K, B).
        learning_rate, decay : float
            The step size of the first update ever made, and how fast the steps become smaller.

        Returns
        -------
        state : LearnerState
            After the last update.
        td_errors : ndarray of shape (K, B), dtype float32
            Before each update.
        losses : ndarray of shape (K,), dtype float32
            Before each update.
        """
        check_not_forked()
        shifts, factors, moments = self.encoder.observe(state.moments, transitions.states)
        columns = to_columns(transitions)
        if self.encoder.standardizes and state.moments.n == 0:
            columns["weights"][0] = 0.0  # the first batch of all only sets the scale
        n_updates, done = len(transitions), 0
        td_errors, losses = [], []
        while done < n_updates:
            last = n_updates
            if self.target_rests:
                interval = self.objective.target_update_interval
                last = min(done + interval - state.n_updates % interval, n_updates)
            counts = [np.array(count, np.int32) for count in (done, last, state.n_updates)]
            rates = [np.array(rate, np.float32) for rate in (learning_rate, decay)]
            variables, errors, means = self._call(
                columns, (shifts, factors), *counts, *rates, list(state[:5])
            )
            td_errors.append(errors.numpy()[done:last])
            losses.append(means.numpy()[done:last])
            n_updates_made = state.n_updates + last - done
            state = LearnerState(*variables, n_updates=n_updates_made, moments=moments)  # type: ignore[misc]
            done = last
        return state, np.concatenate(td_errors), np.concatenate(losses)

    def _call(
        self, columns: dict[str, np.ndarray], scale: tuple[np.ndarray, np.ndarray], *arguments: Any
    ) -> Any:
        """Call what is compiled for transitions of this shape."""
        K, B = columns["actions"].shape
        key = B, *sorted(columns)
        K_compiled, compiled = self._compiled.get(key, (0, None))
        if K_compiled < K:
            compiled = tf.function(self._update_all, autograph=False, jit_compile=self._jit_compile)
            K_compiled = K
            self._compiled[key] = K_compiled, compiled
        # Fewer updates than an earlier call made are filled up, so that nothing is compiled again.
        filled = {name: fill_up(array, K_compiled) for name, array in columns.items()}
        if self.encoder.standardizes:
            scale = fill_up(scale[0], K_compiled), fill_up(scale[1], K_compiled)
        try:
            with self._lock:
                return compiled(filled, scale, *arguments)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            if not self._jit_compile:
                raise
            warnings.warn(
                f"XLA cannot compile this network, so training is slower: {error.message[:300]}",
                stacklevel=2,
            )
            self._jit_compile, self._compiled = False, {}
            return self._call(columns, scale, *arguments)

    def _update_all(
        self,
        columns: Mapping[str, Any],
        scale: tuple[Any, Any],
        first: Any,
        last: Any,
        n_before: Any,
        rate: Any,
        decay: Any,
        state: list[Arrays],
    ) -> Any:
        """The compiled loop over the updates `first` to `last` (exclusive).

        The columns have the batch shape (K, B); shift and factor of the states, one for each
        batch or for all, have the shape (K or 1, *shape).
        """
        weights, other, target_weights, target_other, optimizer = state
        target = [*target_weights, *target_other]
        is_random = self.objective.is_random
        training = _training(is_random)
        shifts, factors = scale[0][:, None], scale[1][:, None]  # one for the B states of a batch
        K, B = columns["actions"].shape
        has_next = "next_states" in columns
        encoded = {}
        if not self._is_one_by_one:
            for name in ("states", "next_states") if has_next else ("states",):
                encoded[name] = self.encode(columns[name], shifts, factors)
        all_outputs = None
        if has_next and self.target_rests and encoded and not is_random:
            # The target network does not change meanwhile: evaluate it once, for all K x B states.
            next_states = encoded["next_states"]
            flat_states = tf.reshape(next_states, (K * B, *next_states.shape[2:]))
            all_outputs = tf.reshape(self._outputs(target, flat_states), (K, B, -1))

        def inputs(name: str, k: Any) -> Any:
            if encoded:
                return encoded[name][k]
            k_scale = k if self.encoder.standardizes else 0
            return self.encode(columns[name][k], shifts[k_scale], factors[k_scale])

        self._assign([*weights, *other, *optimizer])

        def update(k: Any, td_errors: Any, losses: Any, target: Any) -> Any:
            batch = Batch(**{n: columns[n][k] for n in Batch._fields if n in columns})
            states = inputs("states", k)
            next_states = inputs("next_states", k) if has_next else None
            if all_outputs is not None:
                target_outputs = all_outputs[k]
            elif has_next:
                target_outputs = self._outputs(target, next_states)
            else:
                # All discounts are 0: what the networks say about the next states does not count.
                # XLA computes nothing here.
                target_outputs = tf.zeros_like(self._outputs(target, states))
            batch = self.objective.prepare(
                batch, target_outputs, lambda: self._outputs(target, states)
            )
            targets = self.objective.targets(
                batch,
                target_outputs,
                lambda: self.model(next_states, **training) if has_next else target_outputs,
            )
            n_earlier = n_before + (k - first)
            if self._has_rate:
                # alpha_n = learning_rate / (1 + decay * (n - 1))
                self.optimizer.learning_rate = rate / (1 + decay * tf.cast(n_earlier, tf.float32))
            loss, errors = self._descend(states, batch, tf.stop_gradient(targets))
            if not self.target_rests:
                target = self._follow(target, n_earlier + 1)
            td_errors = tf.tensor_scatter_nd_update(td_errors, [[k]], [errors])
            return k + 1, td_errors, tf.tensor_scatter_nd_update(losses, [[k]], [loss]), target

        zeros = tf.zeros_like(columns["rewards"])
        _, td_errors, losses, target = tf.while_loop(
            lambda k, *_: k < last, update, (first, zeros, zeros[:, 0], target)
        )
        if self.target_rests:
            target = self._follow(target, n_before + (last - first))
        parts = self.model.trainable_variables, self.model.non_trainable_variables
        learned = [[tf.identity(variable) for variable in part] for part in parts]
        optimizer = [tf.identity(variable) for variable in self.optimizer.variables]
        n = len(weights)
        return [*learned, target[:n], target[n:], optimizer], td_errors, losses

    def _descend(self, states: Any, batch: Batch, targets: Any) -> tuple[Any, Any]:
        """One step of gradient descent on the weighted loss; the loss and the TD errors before."""
        with tf.GradientTape() as tape:
            outputs = self.model(states, training=True)
            losses, td_errors = self.objective.losses(outputs, batch.actions, targets)
            loss = tf.reduce_mean(batch.weights * losses)
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, td_errors

    def _outputs(self, weights: Arrays, states: Any) -> Any:
        """Evaluate the network with other weights than those in its variables."""
        n, variables = len(self.model.trainable_variables), self.model.non_trainable_variables
        # There is one sequence of seeds: the target network draws from that of the online network.
        other = [
            value if value.dtype.is_floating else variable.value
            for value, variable in zip(weights[n:], variables, strict=True)
        ]
        training = _training(self.objective.is_random)
        outputs, other = self.model.stateless_call(weights[:n], other, states, **training)
        for value, variable in zip(other, variables, strict=True):
            if not value.dtype.is_floating:
                variable.assign(value)
        return outputs

    def _assign(self, values: Arrays) -> None:
        """Put the state into the variables, which are scratch memory of one call."""
        model = self.model.trainable_variables + self.model.non_trainable_variables
        for variable, value in zip([*model, *self.optimizer.variables], values, strict=True):
            variable.assign(value)

    def _follow(self, target: Arrays, n_updates: Any) -> Arrays:
        """Move the target network towards the online network, if that is due."""
        is_due = n_updates % self.objective.target_update_interval == 0
        share = tf.cast(is_due, tf.float32) * self.objective.tau
        online = self.model.trainable_variables + self.model.non_trainable_variables
        return [
            # theta' <- (1 - tau) theta' + tau theta
            (1 - share) * old + share * new if old.dtype.is_floating else tf.where(is_due, new, old)
            for old, new in zip(target, map(tf.convert_to_tensor, online), strict=True)
        ]

    def encode(self, states: Any, shift: Any, factor: Any) -> Any:
        """`StateEncoder` in TensorFlow, over any number of batch axes."""
        categories = self.encoder.n_categories
        if categories is None:
            return (tf.cast(states, tf.float32) - shift) * factor
        n_batch_axes = states.shape.rank - self.encoder.state_ndim
        components = tf.reshape(
            states, tf.concat([tf.shape(states)[:n_batch_axes], [len(categories)]], axis=0)
        )
        parts = [tf.one_hot(components[..., i], int(n)) for i, n in enumerate(categories)]
        return tf.concat(parts, axis=-1)


def _training(is_random: bool) -> dict[str, bool]:
    """Arguments of a call: a model whose `call` has no argument `training` must not be given it."""
    return {"training": True} if is_random else {}
