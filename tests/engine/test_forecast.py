"""The forecast of a job, against its actual cost."""

import importlib
import itertools

import numpy as np
import pytest

import semrsm
from semrsm._internal.units import format_seconds
from semrsm.engine.threads import ThreadEngine
from semrsm.errors import InputError

module = importlib.import_module("semrsm.engine.forecast")


def features(images, seed=0):
    return np.random.default_rng(seed).normal(size=(images, 9, 8)).astype(np.float32)


class Clock:
    """A clock on which only matching takes time: a millisecond a pair."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        self.calls = []
        matched = ThreadEngine.matched

        def slow(engine, x, y, matcher, plan, progress):
            self.calls.append((x.count, y.count))
            self.now += 1e-3 * x.count * y.count
            return matched(engine, x, y, matcher, plan, progress)

        monkeypatch.setattr(ThreadEngine, "matched", slow)
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)


def test_the_time_is_that_of_the_pairs(monkeypatch):
    clock = Clock(monkeypatch)
    found = semrsm.forecast(features(200), workers=1)
    assert found.pairs == 200 * 199 // 2
    assert found.seconds == pytest.approx(found.pairs * 1e-3)
    # Enough images that the clock had time to tell, and no more than that needs.
    left, right = clock.calls[-1]
    assert 0.7e3 <= left * right <= 64 * 64
    assert semrsm.forecast(features(200), features(50, 1)).seconds == pytest.approx(200 * 50 * 1e-3)


def test_few_images_are_all_matched(monkeypatch):
    clock = Clock(monkeypatch)
    semrsm.forecast(features(5))
    assert clock.calls[-1] == (5, 5)


def test_images_are_taken_from_everywhere(monkeypatch):
    taken = []
    take = module.Tokens.take

    def recorded(self, images):
        taken.append(images)
        return take(self, images)

    monkeypatch.setattr(module.Tokens, "take", recorded)
    Clock(monkeypatch)
    semrsm.forecast(features(1000), workers=1)
    left, right = taken[-2:]
    assert len(left) == len(set(left.tolist())) < 1000
    assert left[0] == 0
    assert left[-1] > 900
    assert right[0] > 0  # not the same images: V(X, X) needs no solving


@pytest.mark.parametrize("matcher", ["none", "optimal", "greedy", "batch-optimal"])
def test_pairs_and_assignments_are_those_of_the_job(matcher):
    found = semrsm.forecast(features(20), matcher=matcher)
    seen = []
    semrsm.gram(features(20), matcher=matcher, progress=lambda done, total: seen.append(total))
    assert found.pairs == seen[-1]
    assert found.assignments == (0 if matcher == "none" else found.pairs)
    assert (found.disk, found.tiles) == (0, 0)


@pytest.mark.parametrize(("rows", "columns"), [(300, None), (70, 40)])
def test_disk_and_tiles_are_those_of_the_run(rows, columns, tmp_path):
    pytest.importorskip("zarr", reason="runs on disk need zarr")
    x, y = features(rows), None if columns is None else features(columns, 1)
    found = semrsm.forecast(x, y, on_disk=True)
    semrsm.gram(x, y, out=tmp_path / "run.zarr")
    progress = semrsm.open_run(tmp_path / "run.zarr").progress()
    assert (found.tiles, found.pairs) == (progress.all_tiles, progress.all_pairs)
    chunks = [p for p in tmp_path.rglob("gram/c/**/*") if p.is_file()]
    assert len(chunks) == found.tiles
    # Chunks at the edge are stored whole.
    assert found.disk <= sum(chunk.stat().st_size for chunk in chunks)


def test_memory_is_that_of_the_plan_and_is_refused_alike():
    x = features(400)
    found = semrsm.forecast(x, workers=1)
    assert found.memory > 2 * 400 * 400 * 8
    on_disk = semrsm.forecast(x, workers=1, on_disk=True)
    assert on_disk.memory < found.memory * 10
    for call in (semrsm.forecast, semrsm.gram):
        with pytest.raises(InputError, match=r"^memory: expected at least .* for 400 x 400 images"):
            call(x, memory=1000)
    with pytest.raises(InputError, match=r"^memory: expected at least .* tiles of single images"):
        semrsm.forecast(x, memory=1000, on_disk=True)
    with pytest.raises(InputError, match=r"^matcher: expected one of"):
        semrsm.forecast(x, matcher="best")


def test_the_text_says_all_of_it():
    found = semrsm.forecast(features(30), workers=2, on_disk=True)
    text = str(found)
    for part in ("435 pairs (435 assignments)", "on 2 threads", "of memory", "on disk in", "tiles"):
        assert part in text


def test_seconds_as_people_read_them():
    seconds = [0.04, 9.96, 12.4, 59.4, 60, 3599, 3600, 360000]
    expected = ["0.0 s", "10.0 s", "12 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min"]
    for given, text in itertools.zip_longest(seconds, [*expected, "100 h 0 min"]):
        assert format_seconds(given) == text
