"""Q functions: what an agent learns."""

from skrl.qfunctions.dqn import DQN
from skrl.qfunctions.memoization import MemoizationQFunction
from skrl.qfunctions.random_qfunction import RandomQFunction

__all__ = ["DQN", "MemoizationQFunction", "RandomQFunction"]
