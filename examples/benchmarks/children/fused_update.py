"""DQN.update against a bare XLA loop of the same arithmetic, in one process.

Both sides do the same work per call: 128 updates of a 2x64 network with batches of 64, Double DQN,
Huber loss, Adam; the target network is evaluated once for all batches and updated after the call.
Arrays come from NumPy, and the temporal-difference errors are returned to NumPy. The bare loop
omits everything else: Keras, checks, and the copy of the weights that the agent acts with.
"""

import argparse
import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from skrl import DQN, Transitions
from skrl.qfunctions.deep.tensorflow import tf

K, B = 128, 64
STATE_SIZE, WIDTH, N_ACTIONS = 4, 64, 2
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7


def random_batches(rng: np.random.Generator) -> Transitions:
    """K batches of B transitions with the shapes of CartPole."""
    states, next_states = rng.standard_normal((2, K, B, STATE_SIZE), dtype=np.float32)
    terminated = rng.random((K, B)) < 0.05
    return Transitions(
        states=states,
        actions=rng.integers(N_ACTIONS, size=(K, B)),
        rewards=np.ones((K, B), np.float32),
        next_states=next_states,
        discounts=np.where(terminated, 0, 0.99).astype(np.float32),
        terminated=terminated,
        truncated=np.zeros((K, B), bool),
    )


def forward(weights: list[Any], states: Any) -> Any:
    """Q(s, .) of a network with two hidden layers."""
    kernel_1, bias_1, kernel_2, bias_2, kernel_3, bias_3 = weights
    hidden = tf.nn.relu(states @ kernel_1 + bias_1)
    hidden = tf.nn.relu(hidden @ kernel_2 + bias_2)
    return hidden @ kernel_3 + bias_3


def gradients(weights: list[Any], states: Any, actions: Any, targets: Any) -> tuple[Any, Any]:
    """TD errors, and the gradient of their mean Huber loss."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        values = tf.gather(forward(weights, states), actions, batch_dims=1)
        errors = targets - values
        size = tf.abs(errors)
        bounded = tf.minimum(size, 1.0)
        loss = tf.reduce_mean(bounded * (size - 0.5 * bounded))
    return errors, tape.gradient(loss, weights)


@tf.function(jit_compile=True)
def bare_updates(
    weights: list[Any],
    means: list[Any],
    squares: list[Any],
    n_updates: Any,
    states: Any,
    actions: Any,
    rewards: Any,
    next_states: Any,
    discounts: Any,
) -> Any:
    """K updates. The loop carries its state as plain tensors."""
    flat_next_states = tf.reshape(next_states, (K * B, STATE_SIZE))
    target_values = tf.reshape(forward(weights, flat_next_states), (K, B, N_ACTIONS))

    def update(
        k: Any, weights: Any, means: Any, squares: Any, n_updates: Any, all_errors: Any
    ) -> Any:
        best = tf.argmax(forward(weights, next_states[k]), axis=1)
        bootstrap = tf.gather(target_values[k], best, batch_dims=1)
        targets = rewards[k] + discounts[k] * bootstrap
        errors, slopes = gradients(weights, states[k], actions[k], targets)
        # Adam (Kingma & Ba, 2015), in the efficient form of section 2
        n_updates += 1
        step = LEARNING_RATE * tf.sqrt(1 - BETA_2**n_updates) / (1 - BETA_1**n_updates)
        means = [m + (g - m) * (1 - BETA_1) for m, g in zip(means, slopes, strict=True)]
        squares = [v + (g * g - v) * (1 - BETA_2) for v, g in zip(squares, slopes, strict=True)]
        weights = [
            w - step * m / (tf.sqrt(v) + EPSILON)
            for w, m, v in zip(weights, means, squares, strict=True)
        ]
        all_errors = tf.tensor_scatter_nd_update(all_errors, [[k]], [errors])
        return k + 1, weights, means, squares, n_updates, all_errors

    start = (0, weights, means, squares, n_updates, tf.zeros_like(rewards))
    return tf.while_loop(lambda k, *_: k < K, update, start)[1:]


class BareLoop:
    """The state between two calls of `bare_updates`."""

    def __init__(self, weights: list[np.ndarray]) -> None:
        zeros = [tf.zeros(w.shape) for w in weights]
        self.state = [tf.constant(w) for w in weights], zeros, zeros, tf.constant(0.0)

    def update(self, transitions: Transitions) -> np.ndarray:
        *self.state, errors = bare_updates(
            *self.state,
            transitions.states,
            transitions.actions.astype(np.int32),
            transitions.rewards,
            transitions.next_states,
            transitions.discounts,
        )
        return errors.numpy()


def time_updates(
    update: Callable[[Transitions], np.ndarray], batches: Transitions, n_calls: int
) -> float:
    """Microseconds per update."""
    begin = perf_counter()
    for _ in range(n_calls):
        update(batches)
    return (perf_counter() - begin) / (n_calls * K) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--calls", type=int, default=100)
    arguments = parser.parse_args()

    space = Box(-np.inf, np.inf, (STATE_SIZE,), np.float32)
    ours = DQN(
        (WIDTH, WIDTH),
        learning_rate=LEARNING_RATE,
        learning_rate_decay=0.0,
        target_update_interval=K,
        tau=1.0,
        scale_states=False,
    )
    ours.build(space, N_ACTIONS, random_state=0)
    bare = BareLoop(ours.weights_)
    batches = random_batches(np.random.default_rng(0))

    # Both start from the same weights, so the first call, which compiles, gives the same errors.
    first = ours.update(batches), bare.update(batches)
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(arguments.pairs):
        seconds["ours"].append(time_updates(ours.update, batches, arguments.calls))
        seconds["bare"].append(time_updates(bare.update, batches, arguments.calls))
    print(json.dumps({**seconds, "difference": float(np.abs(first[0] - first[1]).max())}))


if __name__ == "__main__":
    main()
