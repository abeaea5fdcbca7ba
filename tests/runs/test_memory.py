"""A run stays within its budget, which is smaller than its features and its result together."""

import os

import pytest

from runs.run_helpers import KEY, child, finish, images
from semrsm._internal.units import memory_budget
from semrsm.errors import InputError
from semrsm.runs import compute_run, open_run

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
