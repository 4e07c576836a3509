"""Q functions that are neural networks."""

from skrl.qfunctions.deep.c51 import C51
from skrl.qfunctions.deep.dqn import DQN
from skrl.qfunctions.deep.iqn import IQN
from skrl.qfunctions.deep.qr_dqn import QRDQN

__all__ = ["C51", "DQN", "IQN", "QRDQN"]
