"""Q functions that are neural networks."""

from skrl.qfunctions.deep.dqn import DQN
from skrl.qfunctions.deep.qr_dqn import QRDQN

__all__ = ["DQN", "QRDQN"]
