"""Categorical DQN: the distribution of the return over fixed values."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skrl.limits import check_count, check_number
from skrl.qfunctions.deep.dqn import DQN
from skrl.qfunctions.deep.learner import Batch
from skrl.qfunctions.deep.operations import duel, pick
from skrl.qfunctions.deep.tensorflow import tf


@dataclass(eq=False, repr=False)
class C51(DQN):
    """Categorical DQN: for every action, the probabilities of N possible returns.

    The returns, called atoms, are fixed: N numbers at equal distances from `v_min` to `v_max`.
    The network learns their probabilities by the cross-entropy to the target distribution
    (Bellemare, Dabney & Munos, 2017, "A distributional perspective on reinforcement learning").
    Returns beyond the ends count as the ends, so the range must hold those that occur. Where you
    do not know it, `QRDQN` needs none.

    Parameters
    ----------
    n_atoms : int, default=51
        N. Your own `network` has N times as many outputs as for a `DQN`.
    v_min, v_max : float, default=-10, 10
        The smallest and the largest atom, in units of the discounted return.
    hidden_layer_sizes : tuple of int or int, default=(128, 128)
        See `DQN`.
    activation : {"relu", "tanh"}, default="relu"
        See `DQN`.
    network : callable or None, default=None
        See `DQN`.
    learning_rate, learning_rate_decay : float
        See `DQN`.
    optimizer : str or callable, default="adam"
        See `DQN`.
    target_update_interval : int, default=1
        See `DQN`.
    tau : float in (0, 1], default=0.015
        See `DQN`.
    double, dueling, munchausen : bool, bool, float
        See `DQN`. Dueling networks have N logits of V(s) and of every A(s, a).
    scale_states : bool, default=True
        See `DQN`.
    layer_norm, noisy : bool, default=False
        See `DQN`.

    Notes
    -----
    Values are not linear in the outputs of the network, so TensorFlow evaluates it: a decision
    takes longer than that of a `DQN`. If the network is `noisy`, environments side by side share
    the noise of a decision; with NumPy, each has its own.

    Examples
    --------
    >>> import gymnasium, numpy as np
    >>> from skrl import C51
    >>> space = gymnasium.make("CartPole-v1").observation_space
    >>> qfunction = C51(v_min=0, v_max=100).build(space, n_actions=2, random_state=0)
    >>> qfunction.values(np.zeros((5, 4), np.float32)).shape
    (5, 2)
    """

    n_atoms: int = 51
    v_min: float = -10.0
    v_max: float = 10.0
    huber_delta: float = field(default=1.0, init=False)  # of the loss of DQN, which is not used
    hidden_layer_sizes: tuple[int, ...] | int = field(default=(128, 128), kw_only=True)
    activation: str = field(default="relu", kw_only=True)
    network: Callable[[tuple[int, ...], int], Any] | None = field(default=None, kw_only=True)

    def n_outputs(self, n_actions: int) -> int:
        """How many outputs the network has: N for every action, and N more if dueling."""
        return int(self.n_atoms) * super().n_outputs(n_actions)

    def atoms(self) -> Any:
        """The possible returns z_1 to z_N, of shape (N,)."""
        return tf.linspace(float(self.v_min), float(self.v_max), int(self.n_atoms))

    def logits_of(self, outputs: Any) -> Any:
        """The logits, of shape (B, n_actions, N), from outputs of shape (B, n_outputs)."""
        logits = tf.reshape(outputs, (-1, outputs.shape[-1] // self.n_atoms, self.n_atoms))
        return duel(logits, axis=1) if self.dueling else logits

    def values_of(self, outputs: Any) -> Any:
        """Q(s, .), the mean of the distribution; see `NetworkQFunction.values_of`."""
        # Q(s, a) = sum_i p_i(s, a) z_i
        return tf.reduce_sum(tf.nn.softmax(self.logits_of(outputs)) * self.atoms(), axis=2)

    def targets(self, batch: Batch, target_outputs: Any, next_outputs: Callable[[], Any]) -> Any:
        """N probabilities for each of B transitions, shape (B, N)."""
        p = self.next_probabilities(batch, target_outputs, next_outputs)
        # sum_a p(a|s') p_j(s', a)
        distributions = tf.nn.softmax(self.logits_of(target_outputs))
        probabilities = tf.reduce_sum(p[:, :, None] * distributions, axis=1)
        # r + discount * z_j, within the range
        returns = batch.rewards[:, None] + batch.discounts[:, None] * self.atoms()
        returns = tf.clip_by_value(returns, self.v_min, self.v_max)
        # Each is shared between the two atoms beside it: max(0, 1 - |return_j - z_i| / width).
        width = (self.v_max - self.v_min) / (self.n_atoms - 1)
        distances = tf.abs(returns[:, None, :] - self.atoms()[None, :, None])
        shares = tf.maximum(1 - distances / width, 0.0)
        return tf.reduce_sum(shares * probabilities[:, None, :], axis=2)

    def losses(self, outputs: Any, actions: Any, targets: Any) -> tuple[Any, Any]:
        """Cross-entropies, and TD errors of the means, each of shape (B,)."""
        logits = pick(self.logits_of(outputs), actions)
        # -sum_i m_i log p_i
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        difference = targets - tf.nn.softmax(logits)
        return losses, tf.reduce_sum(difference * self.atoms(), axis=1)

    def _validate(self) -> None:
        super()._validate()
        check_count("n_atoms", self.n_atoms, least=2)
        # Far from the largest float32.
        check_number("v_min", self.v_min, least=-1e30, most=1e30)
        check_number("v_max", self.v_max, least=-1e30, most=1e30)
        if not self.v_min < self.v_max:
            raise ValueError(
                f"v_min must be less than v_max, got v_min={self.v_min!r} and "
                f"v_max={self.v_max!r}. Give the range of the discounted returns."
            )
