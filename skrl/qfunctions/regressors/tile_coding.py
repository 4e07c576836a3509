"""Tile coding: the textbook's binary features for linear methods."""

from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skrl.limits import check_count


class TileCoding(TransformerMixin, BaseEstimator):
    """Binary features: which tile of each of several shifted grids a point lies in.

    A tiling is a grid that cuts the box of all data into equal tiles, `n_tiles` along each axis.
    A point has one feature of value 1 for each tiling: the tile it lies in. All other features
    are 0. What is learned at a point generalizes to those that share tiles with it. The tilings
    are shifted against each other, so n of them distinguish points that are one n-th of a tile
    apart (Sutton & Barto, 2018, section 9.5.4).

    The shift of tiling i along axis j is the fractional part of ``i (2 j + 1) / n_tilings``
    tiles. Displacements by odd numbers generalize more evenly than those along the diagonal
    (Parks & Militzer, 1991; Miller & Glanz, 1996).

    Parameters
    ----------
    n_tilings : int, default=8
        Number of tilings, at least 1. A power of 2 that is at least 4 times the number of axes is
        good.
    n_tiles : int, default=8
        Number of tiles along each axis, at least 1.

    Attributes
    ----------
    low_, high_ : ndarray of shape (n_features_in_,), dtype float64
        The bounds of the data. Points beyond them count as lying on the bounds.
    n_features_in_ : int
        Number of axes.

    Notes
    -----
    There are ``n_tilings * (n_tiles + 1) ** n_features_in_`` features (the shifted grids extend
    one tile further), so the output is sparse. A linear method that learns from it with a step
    size of ``1 / n_tilings`` reaches its target in one step; a tenth to a half of that is usual.
    The features of each tiling sum to 1, so an intercept is not needed: ``fit_intercept=False``.

    References
    ----------
    J. Albus (1975), "A new approach to manipulator control: the cerebellar model articulation
    controller (CMAC)", Journal of Dynamic Systems, Measurement, and Control 97, 220-227.
    P. Parks & J. Militzer (1991), "Improved allocation of weights for associative memory storage
    in learning control systems", IFAC Design Methods of Control Systems, 507-512.
    W. T. Miller & F. Glanz (1996), "UNH_CMAC version 2.1", University of New Hampshire.
    R. Sutton & A. Barto (2018), "Reinforcement learning", section 9.5.4.

    Examples
    --------
    Two tilings of the interval from 0 to 4, the second one shifted by half a tile. 1.2 and 1.6 lie
    in the same tile of the first one only:

    >>> from skrl.qfunctions import TileCoding
    >>> tiles = TileCoding(n_tilings=2, n_tiles=4).fit([[0.0], [4.0]])
    >>> tiles.transform([[1.2], [1.6]]).toarray()
    array([[0., 1., 0., 0., 0., 0., 1., 0., 0., 0.],
           [0., 1., 0., 0., 0., 0., 0., 1., 0., 0.]])
    """

    def __init__(self, n_tilings: int = 8, n_tiles: int = 8) -> None:
        self.n_tilings = n_tilings
        self.n_tiles = n_tiles

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the bounds of the data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Points; the lowest and the highest along each axis count.
        y : object
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is not an integer or is less than 1, X is not a matrix of finite
            numbers, or there would be more than 2 ** 31 features.
        """
        for name in ("n_tilings", "n_tiles"):
            check_count(name, getattr(self, name), least=1)
        X = validate_data(self, X, dtype=np.float64)
        n_features = int(self.n_tilings) * (int(self.n_tiles) + 1) ** X.shape[1]
        if n_features > np.iinfo(np.int32).max:
            raise ValueError(
                f"n_tilings * (n_tiles + 1) ** n_axes = {n_features} features are too many: lower "
                f"n_tiles={self.n_tiles}, or use fewer of the {X.shape[1]} axes."
            )
        self.low_, self.high_ = X.min(axis=0), X.max(axis=0)
        return self

    def transform(self, X: Any) -> csr_array:
        """Find the tiles.

        Parameters
        ----------
        X : array-like of shape (m, n_features_in)
            Points.

        Returns
        -------
        scipy.sparse.csr_array of shape (m, n_features), dtype float64
            `n_tilings` ones in each row.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        n_axes, n_tilings = X.shape[1], int(self.n_tilings)
        # Where all data are equal along an axis, any width will do.
        widths = np.where(self.high_ > self.low_, self.high_ - self.low_, 1.0) / self.n_tiles
        places = (np.clip(X, self.low_, self.high_) - self.low_) / widths
        # shift_ij = i (2 j + 1) / n_tilings, modulo 1
        shifts = np.outer(np.arange(n_tilings), 2 * np.arange(n_axes) + 1) % n_tilings / n_tilings
        coordinates = np.floor(places[:, np.newaxis] + shifts).astype(np.int32)
        tiles_per_axis = int(self.n_tiles) + 1
        tiles_per_tiling = tiles_per_axis**n_axes
        strides = tiles_per_axis ** np.arange(n_axes, dtype=np.int32)
        # column = first column of the tiling + number of the tile in it; 32 bits, because
        # linear models take no larger indices
        columns = np.arange(n_tilings, dtype=np.int32) * tiles_per_tiling + coordinates @ strides
        ends = np.arange(len(X) + 1, dtype=np.int32) * n_tilings
        shape = len(X), n_tilings * tiles_per_tiling
        return csr_array((np.ones(columns.size), columns.ravel(), ends), shape=shape)
