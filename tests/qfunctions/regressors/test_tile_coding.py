"""Tile coding: which points share which tiles."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skrl.qfunctions.regressors.tile_coding import TileCoding


def checks_types(estimator):
    return {"check_do_not_raise_errors_in_init_or_set_params": "tests check types at run time"}


@parametrize_with_checks([TileCoding(n_tilings=3, n_tiles=2)], expected_failed_checks=checks_types)
def test_it_is_a_transformer_by_the_book(estimator, check):
    check(estimator)


def tiles_of(coding, X):
    """The columns of the ones, one row for each point."""
    features = coding.transform(X)
    assert set(features.data) == {1.0}
    return features.indices.reshape(len(X), -1)


def test_tiles_of_one_axis_worked_out_by_hand():
    # Widths 1, shifts 0, 1/4, 2/4, 3/4: the tiling i has its first tile at column 5 i.
    coding = TileCoding(n_tilings=4, n_tiles=4).fit([[0.0], [4.0]])
    tiles = tiles_of(coding, [[0.0], [0.3], [4.0]])
    assert tiles.tolist() == [[0, 5, 10, 15], [0, 5, 10, 16], [4, 9, 14, 19]]


def test_tilings_are_shifted_by_odd_numbers():
    """Along the second axis the shifts are 0, 3/4, 6/4 and 9/4 tiles, less the whole ones."""
    coding = TileCoding(n_tilings=4, n_tiles=1).fit([[0.0, 0.0], [1.0, 1.0]])
    # Tile coordinates (first axis, second axis) are column 4 i + first + 2 second.
    tiles = tiles_of(coding, [[0.0, 0.3]]) - 4 * np.arange(4)
    assert tiles.tolist() == [[0, 2, 0, 0]]
    tiles = tiles_of(coding, [[0.3, 0.5]]) - 4 * np.arange(4)
    assert tiles.tolist() == [[0, 2, 2, 1]]


@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_every_point_has_one_tile_in_each_tiling(n_axes):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 5, (1000, n_axes))
    coding = TileCoding(n_tilings=4, n_tiles=3).fit(X)
    features = coding.transform(X)
    n_columns = 4 * 4**n_axes
    assert features.shape == (1000, n_columns)
    per_tiling = features.toarray().reshape(1000, 4, -1).sum(axis=2)
    assert (per_tiling == 1).all()


def test_near_points_share_tiles_and_far_ones_none():
    coding = TileCoding(n_tilings=8, n_tiles=4).fit([[0.0], [1.0]])
    x = np.linspace(0, 1, 400)
    features = coding.transform(x[:, np.newaxis])
    shared = (features @ features.T).toarray()
    # Of 8 tilings with tiles of width 1/4, a distance d is cut by 8 d / (1/4) borders, give or
    # take one.
    distances = np.abs(x[:, np.newaxis] - x)
    assert np.abs(shared - np.maximum(8 - 32 * distances, 0)).max() <= 1
    assert not shared[distances > 0.25].any()


def test_points_beyond_the_data_lie_on_the_bounds():
    coding = TileCoding().fit([[0.0, -1.0], [2.0, 1.0]])
    beyond, bounds = [[-7.0, 0.0], [9.0, 3.0]], [[0.0, 0.0], [2.0, 1.0]]
    np.testing.assert_array_equal(tiles_of(coding, beyond), tiles_of(coding, bounds))


def test_an_axis_along_which_nothing_differs_is_one_tile():
    coding = TileCoding().fit([[0.0, 5.0], [2.0, 5.0]])
    tiles = tiles_of(coding, [[1.0, 5.0], [1.0, 8.0]])
    np.testing.assert_array_equal(tiles[0], tiles[1])


@pytest.mark.parametrize("parameters", [{"n_tilings": 0}, {"n_tiles": -1}])
def test_bad_parameters(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"{name} must be "):
        TileCoding(**parameters).fit([[0.0], [1.0]])


def test_too_many_tiles():
    with pytest.raises(ValueError, match=r"= 80000000000 features are too many"):
        TileCoding(n_tilings=8, n_tiles=9).fit(np.eye(10))
