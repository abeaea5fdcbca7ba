"""The pairs that rise most, against going over all of them."""

import numpy as np
import pytest

from semrsm.matrices.changes import most_raised


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("most", [0, 1, 7, 1000])
def test_all_pairs(ties, most):
    before, after = np.random.default_rng(0).normal(size=(2, 9, 9))
    if ties:
        before, after = before.round(), after.round()
    pairs = [(i, j) for i in range(9) for j in range(i + 1, 9)]
    expected = sorted(pairs, key=lambda pair: before[pair] - after[pair])  # ties in order
    assert most_raised(before, after, most) == expected[:most]


def test_some_pairs_of_a_rectangle():
    before, after = np.zeros((2, 5)), np.array([[9.0, 1, 2, 2, 3], [0, 0, 7, 0, 0]])
    among = (np.array([0, 0, 0, 0]), np.array([3, 1, 2, 4]))
    assert most_raised(before, after, 3, among=among) == [(0, 4), (0, 3), (0, 2)]
    nobody = np.array([], dtype=int)
    assert most_raised(before, after, 3, among=(nobody, nobody)) == []
