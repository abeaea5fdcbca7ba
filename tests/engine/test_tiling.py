"""How the pairs of a run are cut into tiles."""

import numpy as np
import pytest

from semrsm.engine.tiling import Tiling, tile_side


def test_the_tile_depends_on_nothing_but_the_sizes():
    assert tile_side(5000, 49, 64, solves=True) == tile_side(5000, 49, 64, solves=True)
    for count in (1, 15, 70, 1000, 50_000, 10**6):
        for vectors in (1, 49, 1024):
            for solves in (True, False):
                side = tile_side(count, vectors, 512, solves=solves)
                assert side == 1 << (side.bit_length() - 1)
                assert -(-count // side) <= 128 or side == 16
    assert tile_side(50_000, 1024, 64, solves=True) < tile_side(50_000, 49, 64, solves=True) * 8


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("rows", "columns", "side"), [(7, 7, 3), (1, 1, 16), (32, 32, 16)])
def test_tiles_hold_every_pair_once(rows, columns, side, symmetric):
    tiling = Tiling(rows, columns, side, symmetric)
    seen = np.zeros((rows, columns), int)
    for tile in tiling:
        seen[tiling.place(tile)] += 1
    assert len(list(tiling)) == len(tiling)
    assert (seen[np.triu_indices(rows)] if symmetric else seen).all()
    pairs = rows * (rows - 1) // 2 if symmetric else rows * columns
    assert sum(tiling.pairs(tile) for tile in tiling) == pairs
