"""The native search with column prices, which nothing in the package passes to it yet."""

import numpy as np

from semrsm import _native


def native_search(matrix, threshold, prices=None, kernels=""):
    """Search one matrix; return its value, bound and stage."""
    matrix = np.ascontiguousarray(matrix)
    rows, columns = matrix.shape
    value, bound, stage = np.zeros(1), np.zeros(1), np.zeros(1, np.uint8)
    status, _ = _native.search(
        matrix.reshape(-1),
        np.zeros(1, np.int64),
        np.array([rows], np.int32),
        np.array([columns], np.int32),
        columns,
        1e-6,
        np.zeros(1, np.uint8),
        np.array([threshold]),
        prices,
        None if prices is None else np.zeros(1, np.int64),
        value,
        bound,
        stage,
        kernels,
    )
    assert status == 0
    return value[0], bound[0], stage[0]
