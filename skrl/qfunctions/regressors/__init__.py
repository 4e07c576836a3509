"""Q functions made of scikit-learn regressors, and features for them."""

from skrl.qfunctions.regressors.regressor import RegressorQFunction
from skrl.qfunctions.regressors.tile_coding import TileCoding

__all__ = ["RegressorQFunction", "TileCoding"]
