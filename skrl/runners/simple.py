"""Learn from every step at once: online learning, as in the textbook."""

from skrl.base import Run, Runner, Transitions


class SimpleRunner(Runner):
    """Learn from the newest transition after every step, and forget it.

    The loop of Q-learning in Sutton & Barto (2018), section 6.5. Right for tables; a deep network
    needs `ExperienceReplay`, because successive transitions are much alike.

    Examples
    --------
    >>> from skrl import QLearningAgent, SimpleRunner
    >>> agent = QLearningAgent(runner=SimpleRunner(), n_steps=500, n_evaluations=0)
    >>> agent.fit("FrozenLake-v1").n_steps_
    500
    """

    def learn(self, run: Run, transitions: Transitions) -> None:
        """Update the Q function with the transitions of the step just taken."""
        discounts = transitions.discounts
        if discounts.size == 1:  # the same as below, faster
            discounts[0] = run.discount_factor * discounts.item()
        else:
            discounts *= run.discount_factor
        run.update(transitions)
