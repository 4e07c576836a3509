"""Q functions: what an agent learns."""

from skrl.qfunctions.double_memoization import DoubleMemoizationQFunction
from skrl.qfunctions.dqn import DQN
from skrl.qfunctions.memoization import MemoizationQFunction
from skrl.qfunctions.qr_dqn import QRDQN
from skrl.qfunctions.random_qfunction import RandomQFunction
from skrl.qfunctions.regressor import RegressorQFunction
from skrl.qfunctions.tile_coding import TileCoding

__all__ = [
    "DQN",
    "QRDQN",
    "DoubleMemoizationQFunction",
    "MemoizationQFunction",
    "RandomQFunction",
    "RegressorQFunction",
    "TileCoding",
]
