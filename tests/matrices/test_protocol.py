"""Every form is a matrix, an array made into one too; and how a matrix is cut into blocks."""

import numpy as np
import pytest

import semrsm
from semrsm.matrices.protocol import ArrayMatrix, Matrix, in_one_block, upper_blocks


def test_upper_blocks_cover_every_pair_once():
    seen = np.zeros((11, 11), dtype=int)
    for rows, columns in upper_blocks(11, 4):
        seen[rows, columns] += 1
    np.testing.assert_array_equal(seen[np.triu_indices(11)], 1)


def made(name, folder):
    """A matrix of 18 images with themselves, and the values that it must have."""
    x = np.random.default_rng(0).normal(size=(18, 3, 4))
    gram = semrsm.gram(x)
    if name == "array":
        return ArrayMatrix(gram.values, is_symmetric=True, row_ids=gram.row_ids), gram.values
    if name == "gram":
        return gram, gram.values
    if name == "rsm":
        return gram.rsm("cosine"), gram.rsm("cosine").values
    pytest.importorskip("zarr", reason="runs on disk need zarr")
    stored = semrsm.gram(x, out=folder / "run.zarr")
    if name == "stored gram":
        return stored, stored.load().values
    return stored.rsm("rbf"), stored.load().rsm("rbf").values


@pytest.mark.parametrize("name", ["array", "gram", "rsm", "stored gram", "stored rsm"])
def test_every_form_is_a_matrix(name, tmp_path):
    matrix, values = made(name, tmp_path)
    assert isinstance(matrix, Matrix)
    assert matrix.shape == (18, 18)
    assert matrix.is_symmetric
    assert matrix.row_ids == matrix.column_ids == tuple(map(str, range(18)))
    assert in_one_block(matrix) == (not name.startswith("stored"))
    for rows, columns in ((slice(2, 9), slice(5, 18)), (slice(4, 8), slice(4, 8))):
        block = matrix.block(rows, columns)
        assert block.dtype == np.float64
        np.testing.assert_array_equal(block, values[rows, columns])
        part = matrix.part(rows, columns)
        assert isinstance(part, Matrix)
        assert in_one_block(part)
        assert part.shape == block.shape
        assert part.row_ids == matrix.row_ids[rows]
        assert part.column_ids == matrix.column_ids[columns]
        assert part.is_symmetric == (rows == columns)
        np.testing.assert_array_equal(part.block(slice(None), slice(None)), block)


def test_an_array_has_numbers_for_ids():
    matrix = ArrayMatrix(np.zeros((2, 3)), is_symmetric=False)
    assert matrix.row_ids == ("0", "1")
    assert matrix.column_ids == ("0", "1", "2")
    assert matrix.block_side == 3
