"""Order statistics by counting are those of sorting, and nothing much is kept."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm._internal.selection import FEW, select

floats = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(floats, min_size=1, max_size=60), st.data())
def test_selection_is_sorting(values, data):
    rank = data.draw(st.integers(0, len(values) - 1))
    cut = data.draw(st.integers(0, len(values)))
    pieces = [np.array(values[:cut]), np.array(values[cut:])]
    found = select(lambda: pieces, lambda count: [rank, count - 1 - rank])
    expected = sorted(values)
    assert found.tolist() == [expected[rank], expected[len(values) - 1 - rank]]


@pytest.mark.parametrize("few", [1, 3, FEW])
def test_selection_goes_down_to_the_last_bit(few, monkeypatch):
    monkeypatch.setattr("semrsm._internal.selection.FEW", few)
    near = 1.0 + np.arange(50) * np.finfo(float).eps
    values = np.random.default_rng(0).permutation(np.concatenate([near, near[:20], -near, [0.0]]))
    expected = np.sort(values)
    for rank in range(0, len(values), 7):
        pieces = np.array_split(values, 5)
        assert select(lambda p=pieces: p, lambda _, r=rank: [r])[0] == expected[rank]


def test_nothing_to_select_from():
    assert select(lambda: [np.empty(0)], lambda count: [count]).size == 0


def test_many_equal_values_are_counted_and_not_kept():
    """One more value than is sorted at once, thirty times over."""
    piece = np.full(FEW // 8, 0.5)
    tracemalloc.start()
    found = select(lambda: (piece.copy() for _ in range(30)), lambda count: [0, count - 1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tolist() == [0.5, 0.5]
    assert peak < 30 * piece.nbytes / 2


def test_ranks_beside_one_another_share_their_passes():
    rng = np.random.default_rng(0)
    data = [rng.normal(3, 0.3, size=FEW // 2) ** 2 for _ in range(5)]
    passes = []

    def again():
        passes.append(1)
        return data

    count = sum(piece.size for piece in data)
    found = select(again, lambda count: [(count - 1) // 2, count // 2])
    middle = np.sort(np.concatenate(data))[[(count - 1) // 2, count // 2]]
    np.testing.assert_array_equal(found, middle)
    assert len(passes) == 2  # one that counts, one that collects
