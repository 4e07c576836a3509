import numpy as np
import pytest

from skrl.runners.buffers.sum_tree import SumTree


@pytest.mark.parametrize("capacity", [1, 2, 3, 8, 37, 300])
@pytest.mark.parametrize("n_changes", [0, 1, 5, 200])
def test_it_does_what_a_list_of_priorities_would(capacity, n_changes):
    """With whole numbers as priorities, so that all sums are exact."""
    rng = np.random.default_rng(capacity)
    tree, naive = SumTree(capacity), np.zeros(capacity)
    for _ in range(5):
        places = rng.integers(capacity, size=n_changes)  # often the same one twice
        priorities = rng.integers(4, size=n_changes).astype(float)
        tree.set(places, priorities)
        for place, priority in zip(places, priorities, strict=True):
            naive[place] = priority

        assert tree.total == naive.sum()
        np.testing.assert_array_equal(tree.get(np.arange(capacity)), naive)
        if tree.total:
            masses = rng.random((3, 50)) * tree.total
            expected = np.searchsorted(naive.cumsum(), masses, side="right")
            np.testing.assert_array_equal(tree.find(masses), expected)


def test_intervals_contain_their_lower_end():
    tree = SumTree(4)
    tree.set(np.array([0, 1, 3]), np.array([1.0, 2.0, 4.0]))
    assert tree.find(np.array([0.0, 1.0, 2.5, 3.0, 6.9])).tolist() == [0, 1, 1, 3, 3]


def test_a_priority_of_0_is_never_found_whatever_the_rounding():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(1, 40))
        priorities = rng.choice([0.0, 0.1, 1 / 3, 1e-6, 1e16], size=n)
        priorities[rng.integers(n)] = 0.7
        tree = SumTree(n)
        tree.set(np.arange(n), priorities)
        ends = priorities.cumsum()  # the points where the intervals meet are the delicate ones
        near = np.concatenate([ends, np.nextafter(ends, 0), [0.0, tree.total]])
        assert (tree.get(tree.find(near.clip(0, tree.total))) > 0).all()


def test_sums_stay_exact_however_often_they_change():
    rng = np.random.default_rng(0)
    tree = SumTree(50)
    for _ in range(500):
        tree.set(rng.integers(50, size=9), rng.random(9) * 10.0 ** rng.integers(-9, 9, size=9))
    tree.set(np.arange(50), np.zeros(50))
    assert tree.total == 0


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        SumTree(0)
    tree = SumTree(3)
    with pytest.raises(ValueError, match="All priorities are 0"):
        tree.find(np.array([0.0]))
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"at least 0, got {bad}"):
            tree.set(np.array([0, 1]), np.array([1.0, bad]))
    assert tree.total == 0
