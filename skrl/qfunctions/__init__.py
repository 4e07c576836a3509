"""Q functions: what an agent learns."""

from skrl.qfunctions.deep.c51 import C51
from skrl.qfunctions.deep.dqn import DQN
from skrl.qfunctions.deep.iqn import IQN
from skrl.qfunctions.deep.qr_dqn import QRDQN
from skrl.qfunctions.random_qfunction import RandomQFunction
from skrl.qfunctions.regressors.regressor import RegressorQFunction
from skrl.qfunctions.regressors.tile_coding import TileCoding
from skrl.qfunctions.tables.double_memoization import DoubleMemoizationQFunction
from skrl.qfunctions.tables.memoization import MemoizationQFunction

__all__ = [
    "C51",
    "DQN",
    "IQN",
    "QRDQN",
    "DoubleMemoizationQFunction",
    "MemoizationQFunction",
    "RandomQFunction",
    "RegressorQFunction",
    "TileCoding",
]
