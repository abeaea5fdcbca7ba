"""Tiles on disk: what is damaged or belongs elsewhere is named, and computed again."""

import shutil

import numpy as np
import pytest

import semrsm
from runs.run_helpers import (
    KEY,
    edit,
    flip,
    written,
)
from semrsm.errors import InputError, SemrsmError
from semrsm.matching.optimal import Optimal
from semrsm.runs import compute_run, open_run
from semrsm.runs.filling import Work
from semrsm.runs.gram_folder import GramFolder
from semrsm.tokens import measure


def swap(one, other):
    a, b = one.read_bytes(), other.read_bytes()
    one.write_bytes(b)
    other.write_bytes(a)


#: What is done to the folder of a Gram, and the tiles that this damages.
DAMAGES = {
    "a flipped bit of V": (lambda g: flip(g.chunk((0, 1)), 5), "0-1"),
    "a flipped bit of the bounds": (lambda g: flip(g.chunk((0, 1)), 16 * 16 * 8 + 5), "0-1"),
    "a truncated chunk": (lambda g: g.chunk((1, 2)).write_bytes(bytes(100)), "1-2"),
    "an empty chunk": (lambda g: g.chunk((1, 2)).write_bytes(b""), "1-2"),
    "a chunk that is too long": (
        lambda g: g.chunk((1, 2)).write_bytes(g.chunk((1, 2)).read_bytes() + b"1"),
        "1-2",
    ),
    "no chunk": (lambda g: g.chunk((3, 4)).unlink(), "3-4"),
    "two chunks swapped": (lambda g: swap(g.chunk((0, 1)), g.chunk((0, 2))), "0-1, 0-2"),
    "two tiles swapped": (
        lambda g: (
            swap(g.chunk((0, 1)), g.chunk((0, 2))),
            swap(g.marker((0, 1)), g.marker((0, 2))),
        ),
        "0-1, 0-2",
    ),
    "a torn marker": (lambda g: g.marker((2, 2)).write_text('{"shape": [16,'), "2-2"),
    "an empty marker": (lambda g: g.marker((2, 2)).write_text(""), "2-2"),
    "a marker that is no text": (lambda g: g.marker((2, 2)).write_bytes(b"\xff\xfe"), "2-2"),
    "a marker of something else": (lambda g: g.marker((2, 2)).write_text("[1, 2]"), "2-2"),
    "a marker of another shape": (
        lambda g: edit(g.marker((2, 2)), lambda f: f.update(shape=[16, 15])),
        "2-2",
    ),
    "a marker of an impossible shape": (
        lambda g: edit(g.marker((2, 2)), lambda f: f.update(shape=[10**9, -1])),
        "2-2",
    ),
    "a marker with another gap": (
        lambda g: edit(g.marker((2, 2)), lambda f: f.update(largest_gap=0.5)),
        "2-2",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tiles_are_named_and_computed_again(damage, run, x, undisturbed):
    do, names = DAMAGES[damage]
    do(open_run(run).folder(KEY))
    with pytest.raises(
        (SemrsmError, InputError), match=r"tile \d-\d in .*optimal' is damaged|14 of 15"
    ):
        open_run(run)[KEY].load()
    with pytest.warns(UserWarning, match=rf"damaged tiles are computed again: {names}$"):
        compute_run({"x": x}, run, workers=1)
    assert written(run) == written(undisturbed)
    np.testing.assert_allclose(open_run(run)[KEY].load().values, semrsm.gram(x).values, rtol=1e-6)


def test_a_tile_of_another_run_is_none_of_this_one(run, x, undisturbed, tmp_path):
    other = tmp_path / "other.zarr"
    compute_run({"x": x + 1}, other, workers=1)
    here, there = open_run(run).folder(KEY), open_run(other).folder(KEY)
    shutil.copy(there.chunk((1, 1)), here.chunk((1, 1)))
    shutil.copy(there.marker((1, 1)), here.marker((1, 1)))
    with pytest.warns(UserWarning, match=r"computed again: 1-1$"):
        compute_run({"x": x}, run, workers=1)
    assert written(run) == written(undisturbed)


def test_files_are_few(tmp_path, x):
    """A chunk and a marker for each tile, and what describes the run."""
    compute_run({"x": x}, tmp_path / "run.zarr", workers=1)
    assert len(written(tmp_path / "run.zarr")) <= 2 * 15 + 3


def test_a_marker_is_never_left_without_its_chunk(x, tmp_path, monkeypatch):
    """Somebody else finishes a tile just when it is found to be missing, and this one is killed."""
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, workers=1)
    gram = open_run(run).folder(("x", "optimal"))
    content, gap = gram.read_tile((0, 1)), gram.complete((0, 1)).largest_gap
    gram.discard((0, 1))
    read, write = GramFolder.read_tile, GramFolder.write_tile

    class Killed(BaseException):
        pass

    def read_tile(self, tile):
        try:
            return read(self, tile)
        finally:
            write(self, tile, content, gap)

    def write_tile(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(GramFolder, "read_tile", read_tile)
        patch.setattr(GramFolder, "write_tile", write_tile)
        tokens = measure(x)
        work = Work(gram, tokens, tokens, Optimal(), workers=1, check=False)
        with pytest.raises(Killed):
            work.fill([(0, 1)], lambda _: None)
    np.testing.assert_array_equal(gram.read_tile((0, 1)), content)


@pytest.fixture(scope="module")
def stored(undisturbed):
    return open_run(undisturbed).gram


def test_zarr_reads_the_array_too(undisturbed, stored):
    """What is on disk is a Zarr array like any other, NaN below the diagonal of tiles."""
    import zarr

    array = zarr.open_array(undisturbed / "x" / "optimal" / "gram", mode="r")
    assert (array.shape, array.chunks, array.dtype) == ((2, 70, 70), (2, 16, 16), np.float64)
    everything = array[:]
    assert np.isnan(everything[0, 16:, :16]).all()
    upper = np.triu_indices(70)
    np.testing.assert_array_equal(everything[0][upper], stored.load().values[upper])
