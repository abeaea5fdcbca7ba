"""How the pairs are run: each once, within the budget, stopped at once, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import semrsm
from oracles import gram as slow_gram
from semrsm import matchers
from semrsm.engine.plan import Plan
from semrsm.engine.threads import THREADS
from semrsm.errors import InputError
from semrsm.matching.base import Matched, Matcher
from semrsm.tokens import measure


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


class Spy(Matcher):
    """Writes down every pair, told by the numbers that the images hold."""

    name = "spy"

    def __init__(self, solves_self):
        self.solves_self = solves_self
        self.seen = []

    def pairs(self, tile):
        first = tile.rows.vectors[tile.rows.starts[tile.left], 0].astype(int)
        second = tile.columns.vectors[tile.columns.starts[tile.right], 0].astype(int)
        self.seen += zip(first.tolist(), second.tolist(), strict=True)
        values = (1000.0 * first + second).astype(np.float64)
        return Matched(values, values + 1)


def numbered(count):
    return measure([np.full((1 + n % 3, 2), n, np.float32) for n in range(count)])


@pytest.mark.parametrize(
    ("panel", "rows", "columns"), [(1, 1, 1), (3, 2, 3), (4, 3, 1), (50, 8, 5)]
)
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", ["triangle", "triangle and diagonal", "two sets"])
def test_every_pair_is_run_once_and_lands_in_its_place(kind, workers, panel, rows, columns):
    n, m = 11, 7
    spy = Spy(kind == "triangle and diagonal")
    y = numbered(m) if kind == "two sets" else None
    wanted = {
        "triangle": {(i, j) for i in range(n) for j in range(i + 1, n)},
        "triangle and diagonal": {(i, j) for i in range(n) for j in range(i, n)},
        "two sets": {(i, j) for i in range(n) for j in range(m)},
    }[kind]
    values = np.full((n, m if y else n), -1.0)
    bounds = values.copy()
    seen = []
    plan = Plan(panel, min(rows, panel), min(columns, panel), workers, len(wanted), 0)
    THREADS.run(numbered(n), y, spy, plan, values, bounds, lambda *p: seen.append(p))
    assert len(spy.seen) == len(wanted)
    assert set(spy.seen) == wanted
    for (i, j), found in np.ndenumerate(values):
        assert found == (1000 * i + j if (i, j) in wanted else -1)
        assert bounds[i, j] == (found + 1 if (i, j) in wanted else -1)
    assert seen[-1] == (len(wanted), len(wanted))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def semrsm_threads():
    return [t for t in threading.enumerate() if t.name.startswith("semrsm")]


def blas_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="an optional dependency")
    return [p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]


@pytest.fixture
def two_blas_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="an optional dependency")
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        yield blas_threads()


def test_progress_comes_from_the_calling_thread():
    seen = set()
    semrsm.gram(normal(9, 5, 4), progress=lambda *_: seen.add(threading.get_ident()), workers=2)
    assert seen == {threading.get_ident()}


def test_one_image_ends_at_the_total_too():
    seen = []
    semrsm.gram(normal(1, 5, 4), progress=lambda *p: seen.append(p))
    assert seen[-1] == (0, 0)
    semrsm.gram(normal(1, 5, 4), matcher="greedy", progress=lambda *p: seen.append(p))
    assert seen[-1] == (1, 1)


def test_an_error_in_progress_stops_the_work(two_blas_threads):
    """The whole would take about a minute; it ends at the first call."""
    solved = []

    class Counting(matchers.Optimal):
        def pairs(self, tile):
            solved.append(len(tile))
            return super().pairs(tile)

    def stop(done, total):
        raise RuntimeError(f"{done} of {total}")

    x = normal(150, 900, 8).astype(np.float32)
    with pytest.raises(RuntimeError, match=r"of 11175$"):
        semrsm.gram(x, matcher=Counting(), progress=stop, workers=2)
    assert sum(solved) < 11175 / 4
    assert semrsm_threads() == []
    assert blas_threads() == two_blas_threads


def test_an_error_in_a_thread_stops_the_work(two_blas_threads):
    class Failing(Spy):
        def pairs(self, tile):
            self.seen.append(0)
            time.sleep(0.002)
            if len(self.seen) == 3:
                raise ZeroDivisionError("here")
            return Matched(np.zeros(len(tile)), np.zeros(len(tile)))

    spy = Failing(False)
    with pytest.raises(ZeroDivisionError, match=r"^here$"):
        semrsm.gram(normal(200, 576, 1), matcher=spy, workers=2)
    assert len(spy.seen) < 200  # of 19900 pairs, one a tile
    assert semrsm_threads() == []
    assert blas_threads() == two_blas_threads


def test_works_outside_the_main_thread():
    x, found = normal(5, 6, 4), []
    thread = threading.Thread(target=lambda: found.append(semrsm.gram(x).values))
    thread.start()
    thread.join()
    np.testing.assert_allclose(found[0], slow_gram(x, x), rtol=1e-12)


OVERLAP = """
import threading, numpy as np, semrsm
from threadpoolctl import threadpool_info
x = np.random.default_rng(0).normal(size=(6, 9, 4))
first_runs, second_runs, first_ended = (threading.Event() for _ in range(3))
results = {}
def first():
    results[1] = semrsm.gram(x, progress=lambda *_: first_runs.set() or second_runs.wait(20))
    first_ended.set()
def second():
    first_runs.wait(20)
    results[2] = semrsm.gram(x, progress=lambda *_: second_runs.set() or first_ended.wait(20))
def blas_threads():
    return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]
before = blas_threads()
threads = [threading.Thread(target=run) for run in (first, second)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
np.testing.assert_array_equal(results[1].values, results[2].values)
print(before, blas_threads())
"""


def test_calls_that_overlap_give_blas_its_threads_back():
    """Two runs in two threads: the first to begin is the first to end."""
    pytest.importorskip("threadpoolctl", reason="an optional dependency")
    found = subprocess.run(
        [sys.executable, "-c", OVERLAP],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "2"},
    )
    assert found.returncode == 0, found.stderr
    before, _, after = found.stdout.strip().partition(" ")
    assert after == before


# ---------------------------------------------------------------- Ctrl-C


LONG = {
    "assign, many": "semrsm.assign(np.stack([n[:1500, None] * n[:1500]] * 20))",
    "assign, turned": "semrsm.assign((n[:, None] * n)[:, :-1])",
    "gram, one pair": "semrsm.gram(n[None, :, None], n[None, ::-1, None])",
    "gram, topk": (
        "semrsm.gram([n[:, None], n[::-1, None]], matcher=semrsm.matchers.TopKGreedy(k=5000))"
    ),
    "match": "semrsm.match(n[:, None], n[::-1, None])",
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.parametrize("call", LONG)
def test_ctrl_c_leaves_within_two_seconds(call):
    program = f"""
        import time, numpy as np, semrsm
        n = np.arange(1.0, 5001)
        print("go", flush=True)
        {LONG[call]}
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "go\n"
            time.sleep(1.2)
            assert process.poll() is None, "the work was too short to be interrupted"
            process.send_signal(signal.SIGINT)
            start = time.monotonic()
            _, errors = process.communicate(timeout=4)
            assert time.monotonic() - start < 2
        except subprocess.TimeoutExpired:
            pytest.fail("still at work four seconds after Ctrl-C")
        finally:
            process.kill()
    assert process.returncode in (130, -signal.SIGINT)
    assert errors.rstrip().endswith("KeyboardInterrupt")


# ---------------------------------------------------------------- memory


FORMS = {
    # name: (how x and the options are made, budget in MB)
    "tokens on disk": ("x = on_disk(np.float32, 1200, 49, 640)", 100),
    "half maps on disk": ("x = on_disk(np.float16, 100, 320, 14, 14); matcher = 'topk-greedy'", 60),
    "maps on disk, sorted": ("x = on_disk(np.float32, 300, 320, 7, 7); matcher = BATCH", 60),
    "a list": (
        "x = [r.standard_normal((49, 320), dtype=np.float32) for _ in range(700)]",
        70,
    ),
    "float32 and float64": (
        "x = r.standard_normal((1000, 49, 320), dtype=np.float32); y = np.ones((1, 49, 320))",
        60,
    ),
    "scaled": ("x = r.standard_normal((1000, 49, 320), dtype=np.float32) * np.float32(1e20)", 80),
    "unequal sizes in windows": (
        "x = [r.standard_normal((128, 8), dtype=np.float32) for _ in range(8)]\n"
        "y = [r.standard_normal((20000, 8), dtype=np.float32) for _ in range(8)]\n"
        "matcher = 'batch-optimal'",
        400,
    ),
}

MEASURE = """
import sys, threading, time, numpy as np, semrsm
from semrsm.matchers import BatchOptimal
def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(l for l in lines if l.startswith("RssAnon")).split()[1]) * 1024
r = np.random.default_rng(0)
def on_disk(dtype, *shape):
    x = np.lib.format.open_memmap(sys.argv[1], "w+", dtype, shape)
    for i in range(len(x)):
        x[i] = r.standard_normal(shape[1:], dtype=np.float32)
    x.flush()
    del x
    return np.load(sys.argv[1], mmap_mode="r")
y, matcher, BATCH = None, "none", BatchOptimal(window=16)
{form}
np.ones((600, 600)) @ np.ones((600, 600))  # BLAS takes its own memory once
semrsm.gram(np.ones((3, 4, 5), np.float32), workers=2)
most, running = [0], True
def watch():
    while running:
        most[0] = max(most[0], anonymous())
        time.sleep(0.0005)
watcher = threading.Thread(target=watch, daemon=True)
before = anonymous()
watcher.start()
semrsm.gram(x, y, matcher=matcher, memory={budget} << 20, workers=2)
running = False
watcher.join()
print((most[0] - before) / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="anonymous memory is read from /proc")
@pytest.mark.parametrize("form", FORMS)
def test_peak_memory_stays_within_the_budget(form, tmp_path):
    code, budget = FORMS[form]
    found = subprocess.run(
        [sys.executable, "-c", MEASURE.format(form=code, budget=budget), tmp_path / "x.npy"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) <= budget


@pytest.mark.parametrize("matcher", ["none", "optimal", "greedy", "topk-greedy", "batch-optimal"])
@pytest.mark.parametrize("shape", [(40, 7, 11), (23, 64, 80), (12, 5, 14, 14)])
def test_the_smallest_budget_named_can_be_given(matcher, shape):
    """What the message says is taken at its word."""
    x = normal(*shape).astype(np.float16)
    with pytest.raises(InputError, match=r"^memory: expected at least") as caught:
        semrsm.gram(x, matcher=matcher, memory=1000)
    named = re.search(r"at least ([\d.]+ \w+) for", str(caught.value))[1]
    tight = semrsm.gram(x, matcher=matcher, memory=named)
    np.testing.assert_allclose(
        tight.values, semrsm.gram(x, matcher=matcher).values, rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize(
    "matcher", ["none", "optimal", matchers.TopKGreedy(k=30), matchers.BatchOptimal(window=30)]
)
def test_several_panels_give_what_one_gives(matcher, two):
    """Budgets that hold a few images at a time, through the public door."""
    x = normal(24, 100, 300).astype(np.float16)  # with its copy 0.24 MB an image once widened
    y = normal(9, 100, 300, seed=1).astype(np.float16) if two else None
    with pytest.raises(InputError, match="^memory") as caught:
        semrsm.gram(x, y, matcher=matcher, memory=1000, workers=1)
    smallest = float(re.search(r"at least ([\d.]+) MB", str(caught.value))[1])
    whole = semrsm.gram(x, y, matcher=matcher, workers=1)
    for extra in (0.1, 3):
        seen = []
        found = semrsm.gram(
            x,
            y,
            matcher=matcher,
            workers=1,
            memory=f"{smallest + extra}MB",
            progress=lambda *p, seen=seen: seen.append(p),
        )
        np.testing.assert_allclose(found.values, whole.values, rtol=1e-6, atol=1e-3)
        np.testing.assert_allclose(found.upper_bound, whole.upper_bound, rtol=1e-6, atol=1e-3)
        assert seen[-1][0] == seen[-1][1]
        assert len(seen) > 3  # at least one call for each pair of panels


# Whole matrices


def tile_plan(n, m):
    return Plan(max(n, m), 3, 2, 1, n * m, 0)


@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
@pytest.mark.parametrize("name", ["optimal", "greedy", "none"])
def test_matched_is_whole_and_in_the_units_of_the_images(name, scale):
    matcher = matchers.resolve_matcher(name)
    x = normal(7, 4, 3).astype(np.float32)
    x[::2] *= np.float32(scale)
    y = normal(5, 4, 3, seed=1).astype(np.float32)
    rows, columns = measure(x), measure(y)
    for other in (columns, None):
        found = THREADS.matched(rows, other, matcher, tile_plan(7, 7), None)
        wanted = semrsm.gram(x, None if other is None else y, matcher=matcher, workers=1)
        for one, two in zip(found, (wanted.values, wanted.upper_bound), strict=True):
            assert one.dtype == np.float64
            np.testing.assert_allclose(one, two, rtol=1e-5)
        # In float64, by the definition; greedy may break near ties otherwise.
        if name != "greedy":
            exact = slow_gram(x.astype(float), (x if other is None else y).astype(float), name)
            np.testing.assert_allclose(found[0], exact, rtol=1e-4, atol=1e-4 * np.abs(exact).min())


def test_matched_of_one_set_is_mirrored_and_knows_its_diagonal():
    x = measure(normal(7, 4, 3))
    values, bounds = THREADS.matched(x, None, matchers.Optimal(), tile_plan(7, 7), None)
    for matrix in (values, bounds):
        np.testing.assert_array_equal(matrix, matrix.T)
        np.testing.assert_array_equal(matrix.diagonal(), x.squared_norms)
    single = x.part(2, 3)
    values, bounds = THREADS.matched(single, None, matchers.Optimal(), tile_plan(1, 1), None)
    assert values.tolist() == bounds.tolist() == [[x.squared_norms[2]]]
