"""Quantile regression: learn how the return is distributed, not only its mean."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skrl.limits import check_count
from skrl.qfunctions.deep.dqn import DQN
from skrl.qfunctions.deep.learner import Batch
from skrl.qfunctions.deep.operations import duel, pick, quantile_huber
from skrl.qfunctions.deep.tensorflow import tf


@dataclass(eq=False, repr=False)
class QRDQN(DQN):
    """Quantile-regression DQN: N quantiles of the return for every action.

    The value of an action is the mean of its quantiles. Each quantile learns from all N targets,
    by a loss that punishes errors above and below it unequally: the i-th settles where a fraction
    ``tau_i = (i + 1/2) / N`` of the returns lies below (Dabney, Rowland, Bellemare & Munos, 2018,
    "Distributional reinforcement learning with quantile regression").

    Parameters
    ----------
    n_quantiles : int, default=50
        N. Your own `network` has N times as many outputs as for a `DQN`.
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
        See `DQN`. Dueling networks have N quantiles of V(s) and of every A(s, a).
    huber_delta : float, default=1.0
        kappa: size of an error from which on the loss grows linearly, > 0.
    scale_states : bool, default=True
        See `DQN`.
    layer_norm, noisy : bool, default=False
        See `DQN`.

    Examples
    --------
    >>> import gymnasium, numpy as np
    >>> from skrl import QRDQN
    >>> space = gymnasium.make("CartPole-v1").observation_space
    >>> qfunction = QRDQN(n_quantiles=8).build(space, n_actions=2, random_state=0)
    >>> qfunction.values(np.zeros((5, 4), np.float32)).shape
    (5, 2)
    """

    n_quantiles: int = 50
    hidden_layer_sizes: tuple[int, ...] | int = field(default=(128, 128), kw_only=True)
    activation: str = field(default="relu", kw_only=True)
    network: Callable[[tuple[int, ...], int], Any] | None = field(default=None, kw_only=True)

    def n_outputs(self, n_actions: int) -> int:
        """How many outputs the network has: N for every action, and N more if dueling."""
        return int(self.n_quantiles) * super().n_outputs(n_actions)

    def quantiles_of(self, outputs: Any) -> Any:
        """The quantiles, of shape (B, n_actions, N), from outputs of shape (B, n_outputs)."""
        quantiles = tf.reshape(
            outputs, (-1, outputs.shape[-1] // self.n_quantiles, self.n_quantiles)
        )
        return duel(quantiles, axis=1) if self.dueling else quantiles

    def values_of(self, outputs: Any) -> Any:
        """Q(s, .), the mean of the quantiles; see `NetworkQFunction.values_of`."""
        # Q(s, a) = 1/N sum_i theta_i(s, a)
        return tf.reduce_mean(self.quantiles_of(outputs), axis=2)

    def targets(self, batch: Batch, target_outputs: Any, next_outputs: Callable[[], Any]) -> Any:
        """N targets for each of B transitions, shape (B, N); see `NetworkQFunction.targets`."""
        p = self.next_probabilities(batch, target_outputs, next_outputs)
        # y_j = r + discount * sum_a p(a|s') theta_j(s', a)
        quantiles = tf.reduce_sum(p[:, :, None] * self.quantiles_of(target_outputs), axis=1)
        return batch.rewards[:, None] + batch.discounts[:, None] * quantiles

    def losses(self, outputs: Any, actions: Any, targets: Any) -> tuple[Any, Any]:
        """Quantile Huber losses and TD errors of the means, each of shape (B,)."""
        quantiles = pick(self.quantiles_of(outputs), actions)
        levels = (tf.range(self.n_quantiles, dtype=tf.float32) + 0.5) / self.n_quantiles
        losses = quantile_huber(quantiles, levels, targets, self.huber_delta)
        return losses, tf.reduce_mean(targets, axis=1) - tf.reduce_mean(quantiles, axis=1)

    def _validate(self) -> None:
        super()._validate()
        check_count("n_quantiles", self.n_quantiles, least=1)
