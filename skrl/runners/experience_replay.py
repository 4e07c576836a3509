"""Learn from random batches of remembered transitions."""

from typing import Any

from sklearn.base import clone

from skrl.base import Run, Runner, State, Transitions
from skrl.limits import check_count
from skrl.runners.buffers import Buffer, ReplayBuffer


class ExperienceReplay(Runner):
    """Remember transitions, and learn from random batches of them.

    Successive transitions are much alike, and a network that learns from them in their order
    forgets the rest. Random batches from a large memory look independent (Lin, 1992; Mnih et al.,
    2015, "Human-level control through deep reinforcement learning").

    After every rollout of `train_freq` steps, `gradient_steps` updates are learned in a single
    call, in the background: meanwhile the next `train_freq` steps are taken with the Q function as
    it was, and the update takes effect after them. So learning costs no time where the environment
    is slow, and the result does not depend on which of the two is faster.

    Parameters
    ----------
    buffer : Buffer or None, default=None
        What is remembered, and how it is drawn. None stands for ``ReplayBuffer()``;
        `PrioritizedBuffer` prefers transitions of large TD errors.
    batch_size : int, default=128
        Transitions per update, B.
    train_freq : int, default=256
        Steps per rollout, counted over all environments.
    gradient_steps : int, default=128
        Updates per rollout, K: by default one for every second step.
    learning_starts : int, default=1000
        Steps before the first update.

    Attributes
    ----------
    buffer_ : Buffer
        The memory, after a run began. A further run continues with it; saving an agent leaves it
        out.
    n_seen_ : int
        Steps that have been remembered.

    Examples
    --------
    >>> from skrl import ExperienceReplay, MemoizationQFunction, QLearningAgent
    >>> agent = QLearningAgent(
    ...     MemoizationQFunction(), runner=ExperienceReplay(learning_starts=100),
    ...     n_steps=600, n_evaluations=0)
    >>> len(agent.fit("FrozenLake-v1").runner_.buffer_)
    600
    """

    buffer_: Buffer

    def __init__(
        self,
        buffer: Buffer | None = None,
        batch_size: int = 128,
        train_freq: int = 256,
        gradient_steps: int = 128,
        learning_starts: int = 1000,
    ) -> None:
        self.buffer = buffer
        self.batch_size = batch_size
        self.train_freq = train_freq
        self.gradient_steps = gradient_steps
        self.learning_starts = learning_starts

    @property
    def rollout_length(self) -> int:
        """Steps between two calls of `on_rollout_end`: `train_freq`, but at least 64."""
        return max(self.train_freq, 64)

    def begin(self, run: Run) -> None:
        """Check the parameters, and prepare the memory unless an earlier run did."""
        for name in ("batch_size", "train_freq", "gradient_steps"):
            check_count(name, getattr(self, name), least=1)
        check_count("learning_starts", self.learning_starts, least=0)
        if self._is_new_buffer(run):
            self.buffer_ = ReplayBuffer() if self.buffer is None else clone(self.buffer)
            self.buffer_.begin(run.discount_factor)
            self._discount_factor = run.discount_factor
            self.n_seen_ = self._n_learned = 0
        else:
            self.buffer_.end_episode()
        n_steps = max(run.budget.n_steps, run.schedule.n_steps)
        if self.n_seen_ + n_steps < self._first_learning:
            raise ValueError(
                f"A budget of n_steps={n_steps} ends before learning begins, after "
                f"{self._first_learning} steps (learning_starts={self.learning_starts}, "
                f"train_freq={self.train_freq}). Raise n_steps or lower learning_starts."
            )

    def _is_new_buffer(self, run: Run) -> bool:
        """Whether there is no memory yet, or one with other parameters."""
        if not hasattr(self, "buffer_"):
            return True
        wanted = ReplayBuffer() if self.buffer is None else self.buffer
        return (
            type(wanted) is not type(self.buffer_)
            or wanted.get_params() != self.buffer_.get_params()
            or self._discount_factor != run.discount_factor
        )

    @property
    def _first_learning(self) -> int:
        """The first multiple of train_freq that is at least learning_starts."""
        return -(-max(self.learning_starts, 1) // self.train_freq) * self.train_freq

    def learn(self, run: Run, transitions: Transitions) -> None:
        """Remember the transitions; after every rollout, learn batches."""
        self.buffer_.add(transitions)
        self.n_seen_ += len(transitions.actions)
        # Many environments side by side may complete more than one rollout in a step.
        while self._n_learned + self.train_freq <= self.n_seen_:
            if self._n_learned + self.train_freq >= self.learning_starts:
                if not len(self.buffer_):
                    return  # the first returns over several steps are not complete yet
                if self.buffer_.needs_td_errors:
                    self._finish_update(run)
                run.start_update(self._sample(run))
            self._n_learned += self.train_freq

    def _sample(self, run: Run) -> Transitions:
        return self.buffer_.sample(run.rng, self.gradient_steps, self.batch_size, run.progress)

    def _finish_update(self, run: Run) -> None:
        td_errors = run.finish_update()
        if td_errors is not None:
            self.buffer_.update_priorities(td_errors)

    def end(self, run: Run) -> None:
        """Finish learning; refuse to call a run a success that learned nothing."""
        self._finish_update(run)
        self.buffer_.end_episode()
        has_seen_all = run.history.n_steps == self.n_seen_
        if run.progress >= 1 and has_seen_all and self.n_seen_ < self._first_learning:
            raise ValueError(
                f"The run ended after {self.n_seen_} steps, before learning began "
                f"(learning_starts={self.learning_starts}, train_freq={self.train_freq}). "
                "Raise the budget (n_episodes, n_steps) or lower learning_starts."
            )

    def forget(self) -> None:
        """Forget the memory."""
        self.__dict__.pop("buffer_", None)

    def state(self) -> State:
        """Copy the memory and the counters; see `QFunction.state`."""
        return {"buffer": self.buffer_.state(), **self._counters()}

    def live_state(self) -> State:
        """Give the same without copying the memory; see `Runner.live_state`."""
        return {"buffer": self.buffer_.live_state(), **self._counters()}

    def _counters(self) -> State:
        return {"n_seen": self.n_seen_, "n_learned": self._n_learned}

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""
        self.buffer_.set_state(state["buffer"])
        self.n_seen_, self._n_learned = state["n_seen"], state["n_learned"]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__().copy()
        state.pop("buffer_", None)  # a thousand times as large as all the rest
        return state
