"""TensorFlow's part of the DQN: many updates in one compiled call.

Only this module loads TensorFlow, and it is only loaded when a network is built or trained.
"""

import os
import random
import sys
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

import numpy as np

from skrl.qfunctions.deep.learner_state import Borrower, LearnerState
from skrl.qfunctions.encoding import StateEncoder


@contextmanager
def quietly() -> Iterator[None]:
    """Drop what TensorFlow's libraries say while they start, and spare the global generator.

    They write to the process's standard error, past Python, before any log level applies; and the
    import draws from Python's global generator. Whoever sets TF_CPP_MIN_LOG_LEVEL=0 hears it all.
    """
    state = random.getstate()
    # (A child process finds the level that its parent has set here.)
    muted = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
    if muted:
        spoken, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 2)
    try:
        yield
    finally:
        if muted:
            os.dup2(spoken, 2)
            os.close(spoken)
            os.close(silence)
        random.setstate(state)


# Sums in one order on every machine.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# By this variable joblib tells its worker processes their share of the cores, but TensorFlow has
# variables of its own.
if "OMP_NUM_THREADS" in os.environ:
    for pool in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(pool, os.environ["OMP_NUM_THREADS"])
started = "tensorflow" in sys.modules
with quietly():
    import keras
    import tensorflow as tf

    if not started:
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # several processes may share it
    tf.config.list_logical_devices()  # looks for accelerators now, not at the first computation

if TYPE_CHECKING:
    from skrl.base import Transitions
    from skrl.qfunctions.deep.network_qfunction import NetworkQFunction

if keras.config.backend() != "tensorflow":
    raise ValueError(
        f"skrl needs Keras on TensorFlow, but its backend is {keras.config.backend()!r}. Set the "
        "environment variable KERAS_BACKEND=tensorflow before the first import of keras."
    )

__all__ = [
    "CompiledLearner",
    "keras",
    "make_optimizer",
    "seeded_layers",
    "shared_learner",
    "tf",
]


@contextmanager
def seeded_layers(seed: int) -> Iterator[None]:
    """Make Keras layers that are created in this context reproducible.

    A layer without a seed of its own takes one from Python's global generator, and there is no
    other way to tell a user's builder function which. So the generator is seeded for the moment,
    and then put back as it was.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def make_optimizer(optimizer: str | Callable[[float], Any], learning_rate: float) -> Any:
    """Turn an optimizer's name or factory into a Keras optimizer."""
    if callable(optimizer):
        made = optimizer(learning_rate)
        if not isinstance(made, keras.optimizers.Optimizer):
            raise TypeError(
                f"optimizer must make a keras.optimizers.Optimizer from a learning rate, got "
                f"{made!r} from {optimizer!r}."
            )
        return made
    config = {"class_name": optimizer, "config": {"learning_rate": learning_rate}}
    try:
        return keras.optimizers.get(config)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"optimizer={optimizer!r} is no Keras optimizer. Give a name such as 'adam' or "
            "'rmsprop', or a function (learning_rate) -> keras.optimizers.Optimizer."
        ) from error


# The learners in use, by what was compiled; and how many are kept.
_learners: dict[Hashable, "CompiledLearner"] = {}
N_LEARNERS = 32
# So many sizes of a batch are compiled for themselves.
N_SIZES = 8

Scale = tuple[np.ndarray, np.ndarray]


def shared_learner(key: Hashable, make: Callable[[], "CompiledLearner"]) -> "CompiledLearner":
    """Find the learner that was compiled for `key`, or make it."""
    if key not in _learners:
        if len(_learners) == N_LEARNERS:
            del _learners[next(iter(_learners))]  # the oldest; whoever uses it still has it
        _learners[key] = make()
    return _learners[key]


class CompiledLearner:
    """Runs stretches of DQN updates on a Keras model, each stretch in one compiled call.

    Calling TensorFlow costs about as much as ten small updates. Here the loop over the updates is
    itself compiled, by XLA, so that a call is paid once per stretch.

    Compiling takes seconds, and TensorFlow never frees what it has compiled. So all networks of
    the same shape share one learner (see `shared_learner`): it is lent to one at a time, which
    brings its state along.

    Parameters
    ----------
    model, target_model : keras.Model
        Online and target network, of the same architecture.
    optimizer : keras.optimizers.Optimizer
        Not used before.
    encoder : StateEncoder
        How states become inputs of the networks.
    variant : NetworkQFunction
        Says what the outputs of the networks mean, what they are to become, and how far they are
        from that: see its `values_of`, `targets` and `losses`.
    has_own_rate : bool
        Whether every borrower brings a learning rate of its own; otherwise the optimizer's holds.
    """

    def __init__(
        self,
        model: Any,
        target_model: Any,
        optimizer: Any,
        encoder: StateEncoder,
        variant: "NetworkQFunction",
        has_own_rate: bool,
    ) -> None:
        self.model = model
        self.target_model = target_model
        self.optimizer = optimizer
        self.encoder = encoder
        self.variant = variant
        self.has_own_rate = has_own_rate
        self.lock = RLock()
        optimizer.build(model.trainable_variables)
        self._fresh_optimizer = [variable.numpy() for variable in optimizer.variables]
        # A number, unless the optimizer follows a Keras schedule.
        rate = optimizer.get_config()["learning_rate"]
        self.rate: float | None = rate if isinstance(rate, float) else None
        self._borrower: ReferenceType[Borrower] | None = None
        self._n_compiled = 0
        self._compile(jit_compile=True)

    def is_lent_to(self, borrower: Borrower) -> bool:
        """Whether the variables hold the borrower's state."""
        return self._borrower is not None and self._borrower() is borrower

    def lend(self, borrower: Borrower) -> None:
        """Give the last borrower its state back, and take over the next one's."""
        if self.is_lent_to(borrower):
            return
        last = None if self._borrower is None else self._borrower()
        if last is not None:
            last.learner_state = self.state()
        state = borrower.learner_state
        self.model.set_weights(state.weights)
        self.target_model.set_weights(state.target_weights)
        values = self._fresh_optimizer if state.optimizer is None else state.optimizer
        for variable, value in zip(self.optimizer.variables, values, strict=True):
            variable.assign(value)
        self._borrower = ref(borrower)
        self._n_compiled = 0

    def forget(self, borrower: Borrower) -> None:
        """Take nothing back from a borrower that starts anew."""
        with self.lock:
            if self.is_lent_to(borrower):
                self._borrower = None

    def state(self) -> LearnerState:
        """Copy the present borrower's state."""
        optimizer = [variable.numpy() for variable in self.optimizer.variables]
        return LearnerState(self.model.get_weights(), self.target_model.get_weights(), optimizer)

    def _compile(self, jit_compile: bool) -> None:
        self._jit_compile = jit_compile
        # Our loop is written in TensorFlow; translating Python to it (autograph) costs a second.
        self._learn = tf.function(self._learn_stretch, jit_compile=jit_compile, autograph=False)
        self._renew_target = tf.function(self._move_target, autograph=False)
        self._forward = tf.function(self._evaluate, autograph=False)
        self._forward_any = tf.function(self._evaluate, reduce_retracing=True, autograph=False)
        self._sizes: set[int] = set()

    def values(self, states: np.ndarray, scale: Scale) -> np.ndarray:
        """Evaluate the online network on states of shape (m, *state_shape)."""
        # Compiled for its own size a batch takes less time. An agent meets only a few sizes; for
        # whoever has more there is a function for any size.
        if len(self._sizes) < N_SIZES:
            self._sizes.add(len(states))
        forward = self._forward if len(states) in self._sizes else self._forward_any
        values: np.ndarray = forward(states, *scale).numpy()
        return values

    def _evaluate(self, states: Any, shift: Any, factor: Any) -> Any:
        return self.variant.values_of(self.model(self._encode(states, shift, factor)))

    def renew_target(self) -> None:
        """Move the weights of the target network towards those of the online network."""
        self._renew_target(tf.constant(1.0))

    def _move_target(self, due: Any) -> None:
        """Do so if it is `due` (1), and not otherwise (0)."""
        for old, new in zip(self.target_model.weights, self.model.weights, strict=True):
            # theta' <- (1 - tau) theta' + tau theta
            share = due * self.variant.tau
            old.assign((1 - share) * old + share * new)

    def learn(
        self,
        transitions: "Transitions",
        first: int,
        last: int,
        scale: Scale,
        n_before: int,
        learning_rate: float,
        decay: float,
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Make the updates `first` to `last` (exclusive) of transitions of batch shape (K, B).

        `scale` is the encoder's ``(shift, factor)`` of this moment, `n_before` says how many
        updates the borrower has made so far. Its first step has the size `learning_rate`, if it
        brings one of its own, and `decay` says how fast its steps become smaller.

        Returns
        -------
        td_errors : ndarray of shape (last - first, B), dtype float32
            TD errors before each update.
        weights : list of ndarray
            The network's weights after the last update, as Keras orders them.
        """
        n_updates = len(transitions.actions)
        weights = transitions.weights
        # A stretch shorter than an earlier one is filled up, so that nothing is compiled again.
        self._n_compiled = max(self._n_compiled, n_updates)
        batches = [
            _fill_up(array, self._n_compiled)
            for array in (
                transitions.states,
                transitions.actions.astype(np.int32),
                transitions.rewards.astype(np.float32, copy=False),
                transitions.next_states,
                transitions.discounts.astype(np.float32, copy=False),
                _ones(transitions) if weights is None else weights.astype(np.float32, copy=False),
            )
        ]
        try:
            # (Arrays, not numbers: TensorFlow would compile anew for every other number.)
            counts = [np.array(count, np.int32) for count in (first, last, n_before)]
            first_rate = learning_rate if self.has_own_rate else self.rate or 0.0
            rates = [np.array(number, np.float32) for number in (first_rate, decay)]
            errors, learned = self._learn(*counts, *rates, *batches, *scale)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            if not self._jit_compile:
                raise
            warnings.warn(
                f"XLA cannot compile this network, so training is slower: {error.message[:300]}",
                stacklevel=2,
            )
            self._compile(jit_compile=False)
            return self.learn(transitions, first, last, scale, n_before, learning_rate, decay)
        return errors.numpy()[first:last], [weight.numpy() for weight in learned]

    def _learn_stretch(
        self,
        first: Any,
        last: Any,
        n_before: Any,
        rate: Any,
        decay: Any,
        states: Any,
        actions: Any,
        rewards: Any,
        next_states: Any,
        discounts: Any,
        weights: Any,
        shift: Any,
        factor: Any,
    ) -> Any:
        """The compiled loop. All arrays are of batch shape (K, B)."""
        states = self._encode(states, shift, factor)
        next_states = self._encode(next_states, shift, factor)
        rests = self.variant.target_rests
        if rests:
            # The target network does not change meanwhile: evaluate it once, for all K x B states.
            K, B = actions.shape
            flat_states = tf.reshape(next_states, (K * B, *next_states.shape[2:]))
            all_outputs = tf.reshape(self.target_model(flat_states), (K, B, -1))

        def update(k: Any, errors: Any) -> Any:
            target_outputs = all_outputs[k] if rests else self.target_model(next_states[k])
            targets = self.variant.targets(
                rewards[k], discounts[k], target_outputs, lambda: self.model(next_states[k])
            )
            if self.rate is not None:
                # alpha_n = learning_rate / (1 + decay * (n - 1))
                n_earlier = tf.cast(n_before + (k - first), tf.float32)
                self.optimizer.learning_rate = rate / (1.0 + decay * n_earlier)
            error = self._descend(states[k], actions[k], tf.stop_gradient(targets), weights[k])
            if not rests:
                n_updates = n_before + (k - first) + 1
                is_due = n_updates % self.variant.target_update_freq == 0
                self._move_target(tf.cast(is_due, tf.float32))
            return k + 1, tf.tensor_scatter_nd_update(errors, [[k]], [error])

        errors = tf.while_loop(lambda k, _: k < last, update, (first, tf.zeros_like(rewards)))[1]
        return errors, [tf.identity(weight) for weight in self.model.weights]

    def _descend(self, states: Any, actions: Any, targets: Any, weights: Any) -> Any:
        """One step of gradient descent on the weighted loss; the TD errors before it."""
        with tf.GradientTape() as tape:
            outputs = self.model(states, training=True)
            losses, errors = self.variant.losses(outputs, actions, targets)
            loss = tf.reduce_mean(weights * losses)
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return errors

    def _encode(self, states: Any, shift: Any, factor: Any) -> Any:
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


def _ones(transitions: "Transitions") -> np.ndarray:
    return np.ones(transitions.actions.shape, np.float32)


def _fill_up(array: np.ndarray, n_updates: int) -> np.ndarray:
    """Lengthen the first axis to `n_updates` by repeating the array."""
    if len(array) == n_updates:
        return array
    return np.resize(array, (n_updates, *array.shape[1:]))
