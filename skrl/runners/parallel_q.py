"""Learn from what many environments did together, and forget it: no memory, no target network."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from skrl.base import QFunction, Run, Runner, State, Transitions
from skrl.limits import check_count, check_number


class ParallelQ(Runner):
    """Parallelised Q-network (PQN): learn lambda-returns of many environments, and forget them.

    A replay memory makes batches of transitions look independent, and a target network keeps the
    targets steady. PQN needs neither. Its batches mix many environments that run side by side,
    its targets are returns over many steps, and layer normalization keeps the network stable
    (Gallici et al., 2025, "Simplifying deep temporal difference learning").

    After every rollout of `train_freq` steps, the return of each of its transitions is computed
    from the end of the rollout to its beginning. The transitions are then learned from
    `n_epochs` times in random batches, in a single call. After that they are forgotten.

    Parameters
    ----------
    train_freq : int, default=1024
        Steps per rollout, counted over all environments.
    n_epochs : int, default=4
        How often each transition is learned from. A rollout has
        ``n_epochs * train_freq // batch_size`` updates.
    batch_size : int, default=32
        Transitions per update, B, at most `train_freq`.
    trace_decay : float in [0, 1], default=0.9
        lambda. 0 learns from one reward and the value of the next state; 1 learns from all
        rewards up to the end of the episode or of the rollout.

    Attributes
    ----------
    n_collected_ : int
        Steps that wait for the end of their rollout. A further run continues with them; saving an
        agent leaves them out.

    Notes
    -----
    The returns are those of Peng's Q(lambda) (Peng & Williams, 1994, "Incremental multi-step
    Q-learning"): they go on after an exploratory action, whose rewards they contain. So the values
    lie between those of the greedy policy and those of the exploring one. They approach the
    greedy policy's as exploration decreases. Watkins's Q(lambda) cuts each return at the next
    exploratory action instead.

    The network should be a `DQN` with ``layer_norm=True``. Its parameters `double`, `tau` and
    `target_update_interval` have no effect: a return contains the values of the next states
    already, so it is passed on with a discount of 0. With 16 or more environments, each batch
    mixes different parts of the state space.

    Examples
    --------
    >>> from skrl import DQN, EpsilonGreedy, GymEnvironment, ParallelQ, QLearningAgent
    >>> agent = QLearningAgent(
    ...     DQN((32,), layer_norm=True), EpsilonGreedy(), ParallelQ(), n_steps=2048,
    ...     n_evaluations=0)
    >>> agent.fit(GymEnvironment("CartPole-v1", n_envs=16)).qfunction_.n_updates_
    256
    """

    n_collected_: int
    _rollout: list[Transitions]

    def __init__(
        self,
        train_freq: int = 1024,
        n_epochs: int = 4,
        batch_size: int = 32,
        trace_decay: float = 0.9,
    ) -> None:
        self.train_freq = train_freq
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.trace_decay = trace_decay

    @property
    def rollout_length(self) -> int:
        """Steps between two calls of `on_rollout_end`: `train_freq`, but at least 64."""
        return max(self.train_freq, 64)

    def begin(self, run: Run) -> None:
        """Check the parameters; keep what an earlier run has collected, but cut it there."""
        for name in ("train_freq", "n_epochs", "batch_size"):
            check_count(name, getattr(self, name), least=1)
        if self.batch_size > self.train_freq:
            raise ValueError(
                f"batch_size must be at most train_freq={self.train_freq}, the steps of a "
                f"rollout, got {self.batch_size}."
            )
        check_number("trace_decay", self.trace_decay, least=0, most=1)
        if not hasattr(self, "n_collected_"):
            self.forget()
        if self._rollout:
            last = self._rollout[-1]
            self._rollout[-1] = replace(last, truncated=np.ones_like(last.truncated))
        n_steps = max(run.budget.n_steps, run.schedule.n_steps)
        if self.n_collected_ + n_steps < self.train_freq:
            raise ValueError(
                f"A budget of n_steps={n_steps} ends before the first rollout of "
                f"train_freq={self.train_freq} steps. Raise n_steps or lower train_freq."
            )

    def learn(self, run: Run, transitions: Transitions) -> None:
        """Collect the transitions; after every rollout, learn from all of them."""
        self._rollout.append(transitions)
        self.n_collected_ += len(transitions)
        while (n_excess := self.n_collected_ - self.train_freq) >= 0:
            # The rows of this step that exceed the rollout belong to the next one.
            step = Transitions.concatenate([self._rollout.pop()])  # with their env_ids
            n_missing = len(step) - n_excess
            run.update(self._batches(run, [*self._rollout, step[:n_missing]]))
            self._rollout = [step[n_missing:]] if n_excess else []
            self.n_collected_ = n_excess

    def _batches(self, run: Run, rollout: list[Transitions]) -> Transitions:
        """Draw K batches of B transitions with their lambda-returns."""
        returns = lambda_returns(rollout, run.qfunction, run.discount_factor, self.trace_decay)
        # A lambda-return is a reward after which nothing more is to be added.
        learned = replace(
            Transitions.concatenate(rollout),
            rewards=returns,
            discounts=np.zeros_like(returns),
            next_action_masks=None,
        )
        # Every epoch visits all transitions in another order.
        order = [run.rng.permutation(self.train_freq) for _ in range(self.n_epochs)]
        K, B = self.n_epochs * self.train_freq // self.batch_size, self.batch_size
        return learned[np.concatenate(order)[: K * B].reshape(K, B)]

    def forget(self) -> None:
        """Forget the steps of the current rollout."""
        self._rollout = []
        self.n_collected_ = 0

    def state(self) -> State:
        """Copy the steps of the current rollout; see `QFunction.state`."""
        steps = [
            {name: column.copy() for name, column in step.to_dict().items()}
            for step in self._rollout
        ]
        return {"rollout": steps}

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""
        self._rollout = [Transitions(**step) for step in state["rollout"]]
        self.n_collected_ = sum(map(len, self._rollout))

    def __getstate__(self) -> dict[str, Any]:
        left_out = {"_rollout", "n_collected_"}
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name not in left_out}


def lambda_returns(
    rollout: Sequence[Transitions],
    qfunction: QFunction,
    discount_factor: float,
    trace_decay: float,
) -> Float[np.ndarray, " m"]:
    """Compute the lambda-return of every transition, by one pass from the last to the first.

    Parameters
    ----------
    rollout : sequence of Transitions
        Successive steps of n environments, with the discounts as the environment gave them.
    qfunction : QFunction
        Its values of the next states are mixed into the returns.
    discount_factor : float in [0, 1]
        gamma.
    trace_decay : float in [0, 1]
        lambda.

    Returns
    -------
    ndarray of shape (m,)
        In the order of ``Transitions.concatenate(rollout)``.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl import GymEnvironment, MemoizationQFunction
    >>> from skrl.runners.parallel_q import lambda_returns
    >>> world = GymEnvironment("skrl/Corridor-v0")
    >>> qfunction = MemoizationQFunction(initial_value=0.0).build(
    ...     world.state_space, world.n_actions, random_state=0)
    >>> start = world.reset(seed=0)
    >>> lambda_returns([world.step(np.array([1]))], qfunction, 0.9, 0.5).shape
    (1,)
    """
    steps = Transitions.concatenate(rollout)
    env_ids = np.asarray(steps.env_ids)
    # max_a Q(s', a) over the allowed actions; a terminal state has no value.
    values = qfunction.values(steps.next_states)
    if steps.next_action_masks is not None:
        values = np.where(steps.next_action_masks, values, -np.inf)
    next_values = np.where(steps.discounts > 0, values.max(axis=1), 0.0)

    returns = np.empty(len(steps))
    n_envs = int(env_ids.max()) + 1
    next_returns = np.zeros(n_envs)  # G_{t+1} of each environment
    is_last = np.ones(n_envs, dtype=bool)  # whether the rollout ends after step t
    end = len(steps)
    for step in reversed(rollout):
        rows = slice(end - len(step), end)
        ids = env_ids[rows]
        # G_{t+1} belongs to another episode, or is not known: bootstrap with the true s_{t+1}.
        is_cut = is_last[ids] | step.terminated | step.truncated
        trace_decays = np.where(is_cut, 0.0, trace_decay)
        # G_t = r_t + gamma ((1 - lambda) max_a Q(s_{t+1}, a) + lambda G_{t+1})
        mixed = (1 - trace_decays) * next_values[rows] + trace_decays * next_returns[ids]
        returns[rows] = step.rewards + discount_factor * step.discounts * mixed
        next_returns[ids], is_last[ids] = returns[rows], False
        end -= len(step)
    return returns
