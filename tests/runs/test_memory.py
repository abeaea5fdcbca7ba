"""A run stays within its budget, which is smaller than its features and its result together."""

import os
import weakref

import numpy as np
import pytest

from runs.run_helpers import child, finish, images, written
from semrsm._internal.units import memory_budget
from semrsm.engine.plan import choose_side
from semrsm.engine.tiling import Tiling, tile_side
from semrsm.errors import InputError
from semrsm.matching.optimal import Optimal
from semrsm.runs import compute_run, open_run
from semrsm.runs.filling import Work
from semrsm.tokens import measure

KEY = ("x", "optimal")

PEAK = """
    import pathlib, re
    from concurrent.futures import ThreadPoolExecutor
    def peak():
        # Not that of getrusage, which begins with what the parent process had.
        status = pathlib.Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024
    def forget_peak():
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    data = features(sys.argv[1])["x"]
    small = np.asarray(data[:20])
    matcher, budget, threads = sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    compute_run({"x": small}, sys.argv[2] + ".small", matchers=[matcher], workers=1)
    forget_peak()
    before = peak()
    pool = ThreadPoolExecutor(threads) if sys.argv[6:] else None
    compute_run({"x": data}, sys.argv[2], matchers=[matcher], memory=budget, executor=pool,
                workers=None if pool else threads)
    print(peak() - before)
"""


@pytest.mark.parametrize(
    ("matcher", "size", "channels", "threads", "pool"),
    [("optimal", 3, 64, 1, []), ("none", 4, 64, 2, ["pool"])],
)
def test_the_peak_stays_in_the_budget(tmp_path, store, matcher, size, channels, threads, pool):
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the peak of a process is read from /proc")
    count = 5000
    store(images(count, size, channels), chunk=256)
    run = tmp_path / "run.zarr"
    budget = memory_budget("32MB")
    result, features = 16 * count * count // 2, 4 * count * size * channels
    assert budget < result + features
    process = child(PEAK, tmp_path / "features.zarr", run, matcher, budget, threads, *pool)
    used = int(finish(process, timeout=120))
    print(f"{used / 2**20:.1f} MB")
    assert used > 5 << 20  # otherwise nothing has been measured
    # A little is not of the run: arenas of the allocator, threads, modules loaded late.
    assert used < budget + (4 << 20)
    assert open_run(run).progress().tiles == len(open_run(run).folder(("x", matcher)).tiling)


def test_no_more_than_two_panels_are_held(tmp_path, monkeypatch):
    held, most = weakref.WeakSet(), []
    plain = Work._read

    def read(self, *arguments):
        found = plain(self, *arguments)
        held.add(found)
        most.append(len(held))
        return found

    monkeypatch.setattr(Work, "_read", read)
    compute_run({"x": images()}, tmp_path / "run.zarr", workers=1)
    assert max(most) == 2
    assert len(most) == 15  # those of a row are read once


def test_tiles_shrink_with_the_budget_down_to_what_it_cannot_do():
    tokens = measure(images(1000, 9, 64))
    sides, peaks = [], []
    for memory in ("1GB", "60MB", "27MB", "26MB"):
        side, peak = choose_side(tokens, tokens, Optimal(), workers=1, memory=memory_budget(memory))
        assert peak <= memory_budget(memory)
        sides.append(side)
        peaks.append(peak)
    assert sides == sorted(sides, reverse=True)
    assert sides[0] > sides[-1]
    with pytest.raises(
        InputError, match=r"^memory: expected at least (.*) MB for .* single images"
    ) as error:
        choose_side(tokens, tokens, Optimal(), workers=1, memory=1 << 20)
    smallest = str(error.value).split("at least ")[1].split(" for")[0]
    enough = memory_budget(smallest)
    assert choose_side(tokens, tokens, Optimal(), workers=1, memory=enough)[0] < sides[-1]
    budget = memory_budget("60MB")
    several, _ = choose_side(tokens, tokens, Optimal(), workers=1, memory=budget, at_once=100)
    assert several < choose_side(tokens, tokens, Optimal(), workers=1, memory=budget)[0]
    with pytest.raises(InputError, match=r"^memory: .* on 100 threads"):
        choose_side(tokens, tokens, Optimal(), workers=1, memory=enough, at_once=100)


def test_a_smaller_budget_must_do_for_the_tiles_that_are_there(tmp_path):
    x = images(700, 4, 64)
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, fill=False)
    assert open_run(run).folder(KEY).tiling.side == 64
    with pytest.raises(
        InputError, match=r"^memory: .* tiles of 64 x 64 images, which this run has"
    ):
        compute_run({"x": x}, run, memory="25MB")
    other = tmp_path / "other.zarr"
    compute_run({"x": x}, other, memory="25MB", fill=False)
    assert open_run(other).folder(KEY).tiling.side < 64


def test_too_little_memory_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match=r"^memory: expected at least "):
        compute_run({"x": images()}, tmp_path / "run.zarr", memory="1MB")
    assert list(tmp_path.iterdir()) == []


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


def test_files_are_few(tmp_path, x):
    """A chunk and a marker for each tile, and the files that describe the run."""
    compute_run({"x": x}, tmp_path / "run.zarr", workers=1)
    assert len(written(tmp_path / "run.zarr")) <= 2 * 15 + 3
