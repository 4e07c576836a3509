"""Q functions that are tables."""

from skrl.qfunctions.tables.double_memoization import DoubleMemoizationQFunction
from skrl.qfunctions.tables.memoization import MemoizationQFunction

__all__ = ["DoubleMemoizationQFunction", "MemoizationQFunction"]
