"""Matrices for the tests of this folder."""

import numpy as np


class Blocks:
    """A matrix in memory that pretends to be on disk, and remembers the largest block read."""

    is_symmetric = True

    def __init__(self, values, side=7):
        self.values = np.asarray(values, np.float64)
        self.shape = self.values.shape
        self.row_ids = self.column_ids = tuple(map(str, range(len(values))))
        self.block_side = side
        self.largest = 0

    def block(self, rows, columns):
        assert rows.start <= columns.start, "only blocks on and above the diagonal are there"
        found = self.values[rows, columns]
        self.largest = max(self.largest, found.size)
        return found

    def part(self, rows, columns):
        raise AssertionError("nothing that is compared is loaded")


def symmetric(count, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, count)) + 3
    if ties:
        values = np.round(values)
    return np.triu(values) + np.triu(values, 1).T


def kernels(count=6, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count, 4)), rng.normal(size=(count, 3))
    y += x[:, :3]
    return x @ x.T, y @ y.T
