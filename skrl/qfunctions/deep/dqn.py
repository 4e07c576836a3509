"""The deep Q-network: action values from a neural network."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from math import inf
from typing import Any

import numpy as np

from skrl.limits import check_flag, check_number
from skrl.qfunctions.deep.learner import Batch
from skrl.qfunctions.deep.network_qfunction import NetworkQFunction
from skrl.qfunctions.deep.operations import duel, huber, pick, scaled_log_softmax
from skrl.qfunctions.deep.tensorflow import tf

# Of Munchausen DQN: tau, the temperature of its policy, and l_0, the least log-probability that
# is added to a reward (Vieillard et al., 2020, appendix B.1).
TEMPERATURE, LEAST_LOG_PROBABILITY = 0.03, -1.0


@dataclass(eq=False, repr=False)
class DQN(NetworkQFunction):
    """Deep Q-network: a neural network that gives one value per action.

    The network learns by gradient descent on the Huber loss of the temporal-difference error
    ``rewards + discounts * bootstrap - Q(states, actions)``. The bootstrap value of the next state
    comes from a target network, a copy of the weights that stays behind
    (Mnih et al., 2015, "Human-level control through deep reinforcement learning").

    Parameters
    ----------
    hidden_layer_sizes : tuple of int or int, default=(128, 128)
        Width of every hidden layer; a single number stands for one layer.
    activation : {"relu", "tanh"}, default="relu"
        Of the hidden layers.
    network : callable or None, default=None
        Builds the network, ``(state_shape, n_outputs) -> keras.Model``, instead of the two
        parameters above; `n_outputs` is the number of actions, and one more if `dueling`. A
        function that can be imported, not a lambda, if the agent is to be saved. By default,
        images (uint8 states with two or three axes, and all states with three axes) get
        `skrl.qfunctions.deep.networks.convolutional_network`.
    learning_rate : float, default=1e-3
        Step size of the optimizer at the beginning, > 0.
    learning_rate_decay : float >= 0, default=1e-4
        How fast the steps become smaller: the n-th update has the step size
        ``learning_rate / (1 + learning_rate_decay * (n - 1))``, as in a table. Large steps at first
        learn fast; small ones at the end keep what is good. 0 keeps them constant. (An optimizer
        with a Keras learning-rate schedule follows that instead.)
    optimizer : str or callable, default="adam"
        A Keras optimizer's name, "radam" (`skrl.qfunctions.deep.radam.RAdam`), or a function
        ``learning_rate -> keras.optimizers.Optimizer``, such as the class itself or one that sets
        further arguments.
    target_update_interval : int, default=1
        Updates between two changes of the target network.
    tau : float in (0, 1], default=0.015
        How far a change takes the target network towards the online network. A small number with
        ``target_update_interval=1`` lets the target network follow slowly all the time (soft
        updates; Lillicrap et al., 2016, "Continuous control with deep reinforcement learning").
        1 copies the weights, which should then rest: Mnih et al. have
        ``target_update_interval=10_000, tau=1.0``.
    double : bool, default=True
        Double DQN: the online network chooses the action in the next state, the target network
        says what it is worth, which overestimates less (van Hasselt et al., 2016, "Deep
        reinforcement learning with double Q-learning").
    dueling : bool, default=False
        Dueling network: the value of a state and the advantages of its actions are learned apart,
        ``Q(s, a) = V(s) + A(s, a) - mean_b A(s, b)`` (Wang et al., 2016, "Dueling network
        architectures for deep reinforcement learning"). Both streams share all hidden layers.
    munchausen : float in [0, 1], default=0.0
        alpha of Munchausen DQN: how much of the log-probability of the chosen action is added to
        the reward, which widens the gap between good and bad actions. 0 turns it off, the paper
        has 0.9 (Vieillard, Pietquin & Geist, 2020, "Munchausen reinforcement learning"). See
        `prepare`.
    huber_delta : float, default=1.0
        Size of an error from which on the loss grows linearly, > 0.
    scale_states : bool, default=True
        Standardize states of arbitrary units by the first million that are learned from; uint8
        images are divided by 255. The very first batch only sets the scale. See
        `skrl.qfunctions.encoding.StateEncoder`.
    layer_norm : bool, default=False
        Normalize the units of every hidden layer, before the activation, to mean 0 and variance 1
        over the layer (Ba et al., 2016, "Layer normalization"). This keeps the network stable
        without a target network, as in `ParallelQ`. Your own `network` ignores it.
    noisy : bool, default=False
        Explore by noise on the weights of all dense layers but the first (for images: of all dense
        layers). The size of the noise is learned (Fortunato et al., 2018, "Noisy networks for
        exploration"). The policy then needs no randomness: use ``policy=Greedy()``. Your own
        `network` must have layers that draw noise in training, such as
        `skrl.qfunctions.deep.layers.NoisyDense`.

    Attributes
    ----------
    weights_ : list of ndarray
        The network's weights, as Keras orders them.
    n_updates_ : int
        Updates made so far.

    Notes
    -----
    States other than images are one-hot encoded (Discrete, MultiDiscrete) or standardized (Box).
    `skrl.qfunctions.deep.network_qfunction.NetworkQFunction` evaluates the network without
    TensorFlow, and `skrl.qfunctions.deep.learner.Learner` makes many updates in a compiled call.

    Noisy layers draw new noise for every decision of the policy, from the generator of the run; and
    in every update, for the online and the target network separately, from seeds in the `state`.
    `values` uses the means of the weights, and so do `predict` and evaluations.

    Examples
    --------
    >>> import gymnasium, numpy as np
    >>> from skrl import DQN
    >>> space = gymnasium.make("CartPole-v1").observation_space
    >>> qfunction = DQN(hidden_layer_sizes=(32,)).build(space, n_actions=2, random_state=0)
    >>> qfunction.values(np.zeros((5, 4), np.float32)).shape
    (5, 2)
    """

    hidden_layer_sizes: tuple[int, ...] | int = (128, 128)
    activation: str = "relu"
    network: Callable[[tuple[int, ...], int], Any] | None = None
    _: KW_ONLY
    learning_rate: float = 1e-3
    learning_rate_decay: float = 1e-4
    optimizer: str | Callable[[float], Any] = "adam"
    target_update_interval: int = 1
    tau: float = 0.015
    double: bool = True
    dueling: bool = False
    munchausen: float = 0.0
    huber_delta: float = 1.0
    scale_states: bool = True
    layer_norm: bool = False
    noisy: bool = False

    def n_outputs(self, n_actions: int) -> int:
        """How many outputs the network has: one per action, and V(s) if dueling."""
        return n_actions + self.dueling

    def values_of(self, outputs: Any) -> Any:
        """Q(s, .) from the network's outputs; see `NetworkQFunction.values_of`."""
        return duel(outputs, axis=1) if self.dueling else outputs

    def prepare(self, batch: Batch, target_outputs: Any, state_outputs: Callable[[], Any]) -> Batch:
        """Add what Munchausen DQN adds to the rewards; see `NetworkQFunction.prepare`.

        Its policy pi is the softmax of the target network's values. Transitions that say which
        `next_probabilities` are to be learned are not changed.
        """
        if self.munchausen == 0 or batch.next_probabilities is not None:
            return batch
        # tau log pi(.|s) with pi = softmax(Q_target / tau)
        log_pi = scaled_log_softmax(self.values_of(state_outputs()), TEMPERATURE)
        next_values, masks = self.values_of(target_outputs), batch.next_action_masks
        if masks is not None:
            next_values = tf.where(masks, next_values, next_values.dtype.min / 2)
        next_log_pi = scaled_log_softmax(next_values, TEMPERATURE)
        p = tf.exp(next_log_pi / TEMPERATURE)
        # r + alpha max(tau log pi(a|s), l_0) - discount * sum_b pi(b|s') tau log pi(b|s')
        chosen = tf.maximum(pick(log_pi, batch.actions), LEAST_LOG_PROBABILITY)
        entropy = -tf.reduce_sum(tf.where(p > 0, p * next_log_pi, 0.0), axis=1)
        rewards = batch.rewards + self.munchausen * chosen + batch.discounts * entropy
        return batch._replace(rewards=rewards, next_probabilities=p)

    def targets(self, batch: Batch, target_outputs: Any, next_outputs: Callable[[], Any]) -> Any:
        """Targets of B transitions, shape (B,); see `NetworkQFunction.targets`."""
        p = self.next_probabilities(batch, target_outputs, next_outputs)
        # y = r + discount * sum_a p(a|s') Q_target(s', a)
        bootstrap = tf.reduce_sum(p * self.values_of(target_outputs), axis=1)
        return batch.rewards + batch.discounts * bootstrap

    def next_probabilities(
        self, batch: Batch, target_outputs: Any, next_outputs: Callable[[], Any]
    ) -> Any:
        """The probabilities p(a|s') whose value is learned.

        Parameters
        ----------
        batch : Batch
            As for `targets`.
        target_outputs : tensor of shape (B, n_outputs)
            As for `targets`.
        next_outputs : callable
            As for `targets`.

        Returns
        -------
        tensor of shape (B, n_actions)
            Those that the transitions give; by default, 1 for the best of the allowed actions.
        """
        if batch.next_probabilities is not None:
            return batch.next_probabilities
        # argmax_a Q_online(s', a) if double, else argmax_a Q_target(s', a)
        values = self.values_of(next_outputs() if self.double else target_outputs)
        if batch.next_action_masks is not None:
            values = tf.where(batch.next_action_masks, values, -np.inf)
        return tf.one_hot(tf.argmax(values, axis=1), values.shape[1])

    def losses(self, outputs: Any, actions: Any, targets: Any) -> tuple[Any, Any]:
        """Huber losses and TD errors, shape (B,) each; see `NetworkQFunction.losses`."""
        # delta = y - Q(s, a)
        td_errors = targets - pick(self.values_of(outputs), actions)
        return huber(td_errors, self.huber_delta), td_errors

    def _validate(self) -> None:
        super()._validate()
        check_number("munchausen", self.munchausen, least=0, most=1)
        if not isinstance(self.huber_delta, float) or self.huber_delta != inf:
            check_number("huber_delta", self.huber_delta, is_positive=True)
        for name in ("double", "dueling"):
            check_flag(name, getattr(self, name))
