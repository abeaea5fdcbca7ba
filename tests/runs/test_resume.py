"""Killed at any moment, a run goes on where it stopped and ends with the same bytes."""

import errno
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from runs.run_helpers import (
    KILLED_WHILE_LAID_OUT,
    PAIRS,
    TILES,
    Counting,
    child,
    finish,
    leftovers,
    written,
)
from semrsm.errors import InputError
from semrsm.matching.optimal import Optimal
from semrsm.runs import compute_run, computing, layout, open_run
from semrsm.runs.filling import Work
from semrsm.runs.gram_folder import GramFolder
from semrsm.tokens import measure

#: Kills itself before, in the middle of, and after the file that it writes as its second, third or
#: fourth one, again and again, until a child lives to the end.
KILLED_AT_WRITES = """
    from semrsm.runs import tiles
    plain = tiles.replacing
    class Dying:
        def __init__(self, path): self.path = path
        def write_bytes(self, data):
            global left
            left -= 1
            if left == 0 and moment == 0: os.kill(os.getpid(), signal.SIGKILL)
            with open(self.path, "wb") as file:
                data = memoryview(data).cast("B")
                file.write(data[:len(data) // 2])
                file.flush()
                if left == 0 and moment == 1: os.kill(os.getpid(), signal.SIGKILL)
                file.write(data[len(data) // 2:])
    import contextlib
    @contextlib.contextmanager
    def replacing(path):
        with plain(path) as aside:
            yield Dying(aside)
        if left == 0 and moment == 2: os.kill(os.getpid(), signal.SIGKILL)
    tiles.replacing = replacing
    kills = 0
    for attempt in range(1000):
        pid = os.fork()
        if pid == 0:
            left, moment = 2 + attempt % 3, attempt // 3 % 3
            compute_run(features(sys.argv[1]), sys.argv[2], workers=1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            print(kills, os.WEXITSTATUS(status))
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        kills += 1
"""


def test_killed_at_every_kind_of_write(store, x, undisturbed, tmp_path):
    store(x)
    kills, status = finish(
        child(KILLED_AT_WRITES, tmp_path / "features.zarr", tmp_path / "run.zarr")
    ).split()
    assert int(status) == 0
    assert int(kills) >= TILES // 2
    assert written(tmp_path / "run.zarr") == written(undisturbed)
    assert leftovers(tmp_path / "run.zarr") == []


def test_killed_while_it_is_laid_out(store, x, undisturbed, tmp_path):
    features = store(x)
    run = tmp_path / "run.zarr"
    kills, status = finish(child(KILLED_WHILE_LAID_OUT, tmp_path / "features.zarr", run)).split()
    assert (int(kills) > 2, status) == (True, "0")
    compute_run({"x": features}, run, workers=1)
    assert written(run) == written(undisturbed)
    assert [name for name in leftovers(run) if not name.startswith(".run.zarr-")] == []
    # The folder of a further layer appears in a run that is there.
    kills, status = finish(
        child(KILLED_WHILE_LAID_OUT, tmp_path / "features.zarr", run, "y")
    ).split()
    assert (int(kills) > 2, status) == (True, "0")
    assert set(open_run(run)) == {("x", "optimal"), ("y", "optimal")}


SLOW = """
    slow(0.05)
    print("begun", flush=True)
    compute_run(features(sys.argv[1]), sys.argv[2], workers=2)
"""


def markers(run):
    return sorted((Path(run) / "x" / "optimal" / "tiles").glob("[0-9]*.json"))


def wait_for(condition, process):
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_mid_tile(store, x, undisturbed, tmp_path, how):
    features = store(x)
    run = tmp_path / "run.zarr"
    for already in (2, 5):
        process = child(SLOW, tmp_path / "features.zarr", run)
        wait_for(lambda many=already: len(markers(run)) >= many, process)
        process.send_signal(how)
        begun = time.monotonic()
        _, error = process.communicate(timeout=30)
        assert time.monotonic() - begun < 3
        assert process.returncode in (-how, 128 + how, 1)
        if how == signal.SIGINT:
            assert error.rstrip().endswith("KeyboardInterrupt")
    there = {path: path.stat().st_mtime_ns for path in markers(run)}
    assert 5 <= len(there) < TILES
    done = []
    compute_run({"x": features}, run, workers=1, progress=lambda *now: done.append(now))
    assert done[-1] == (70 * 69 // 2,) * 2
    assert done == sorted(done)
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert written(run) == written(undisturbed)
    assert leftovers(run) == []


def test_only_what_is_missing_is_computed(x, tmp_path):
    run = tmp_path / "run.zarr"
    PAIRS.clear()
    compute_run({"x": x}, run, matchers=[Counting()], workers=1)
    assert sum(PAIRS) == 70 * 69 // 2
    before = written(run)
    gram = open_run(run).folder(("x", "optimal"))
    gram.marker((0, 3)).unlink()  # a chunk without a marker
    gram.chunk((1, 4)).unlink()
    gram.marker((1, 4)).unlink()
    PAIRS.clear()
    compute_run({"x": x}, run, matchers=[Counting()], workers=1)
    assert sum(PAIRS) == 16 * 16 + 16 * 6
    assert written(run) == before
    PAIRS.clear()
    compute_run({"x": x}, run, matchers=[Counting()], workers=1)
    assert PAIRS == []


# Full disks


def test_a_full_disk_is_named_and_the_run_goes_on(x, undisturbed, tmp_path, monkeypatch):
    run = tmp_path / "run.zarr"
    left = 7

    def write_bytes(path, data):
        nonlocal left
        left -= 1
        if left < 0:
            path.open("wb").close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write does: no name
        with open(path, "wb") as file:
            file.write(data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(OSError, match=r"No space left on device: '.*run\.zarr/x/optimal/.*'"):
            compute_run({"x": x}, run, workers=1)
    assert open_run(run).progress().tiles == 3
    assert leftovers(run) == []
    compute_run({"x": x}, run, workers=1)
    assert written(run) == written(undisturbed)


def test_files_may_not_grow(store, x, undisturbed, tmp_path):
    features = store(x)
    run = tmp_path / "run.zarr"
    process = child(
        """
        import resource
        run = compute_run(features(sys.argv[1]), sys.argv[2], fill=False)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))  # less than a chunk
        compute_run(features(sys.argv[1]), sys.argv[2], workers=1)
        """,
        tmp_path / "features.zarr",
        run,
    )
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "OSError: [Errno 27] File too large: " in error.splitlines()[-1]
    assert str(run) in error.splitlines()[-1]
    compute_run({"x": features}, run, workers=1)
    assert written(run) == written(undisturbed)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(x, tmp_path, monkeypatch):
    run = tmp_path / "run.zarr"
    needed = TILES * 2 * 16 * 16 * 8
    monkeypatch.setattr(layout, "free_bytes", lambda path: needed - 1)
    with pytest.raises(InputError, match=r"^out: expected at least 60\.0 kB free for the tiles; "):
        compute_run({"x": x}, run)
    assert not run.exists()
    monkeypatch.setattr(layout, "free_bytes", lambda path: needed)
    compute_run({"x": x}, run, workers=1)
    monkeypatch.setattr(layout, "free_bytes", lambda path: 0)
    compute_run({"x": x}, run, workers=1)  # all of it is there


def test_a_small_file_system(store, x, undisturbed, tmp_path):
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("mounting a small file system needs root on Linux")
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"mount: {mounted.stderr.decode().strip()}")
    try:
        compute_run({"x": x}, disk / "run.zarr", fill=False)
        free = os.statvfs(disk)
        with open(disk / "full", "wb") as file:
            file.write(bytes(free.f_bavail * free.f_frsize - (5 << 13)))  # room for some tiles
        process = child(
            """
            from semrsm.runs import layout
            layout.free_bytes = lambda path: 1 << 40  # as if another process fills the disk
            compute_run(features(sys.argv[1]), sys.argv[2], workers=1)
            """,
            store(x).store.root,
            disk / "run.zarr",
        )
        _, error = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "No space left on device: " in error.splitlines()[-1]
        (disk / "full").unlink()
        compute_run({"x": x}, disk / "run.zarr", workers=1)
        assert written(disk / "run.zarr") == written(undisturbed)
    finally:
        subprocess.run(["umount", disk], check=True)


# Several writers


def test_two_writers_do_no_harm(store, x, undisturbed, tmp_path):
    store(x)
    run = tmp_path / "run.zarr"
    code = """
        slow(0.01)
        print("ready", flush=True)
        sys.stdin.readline()
        found = compute_run(features(sys.argv[1]), sys.argv[2], workers=1)
        print(found.progress().tiles, np.isfinite(found["x", "optimal"].load().values).all())
    """
    both = [child(code, tmp_path / "features.zarr", run, stdin=-1) for _ in range(2)]
    for process in both:
        process.stdout.readline()
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        assert finish(process).split() == [str(TILES), "True"]
    assert written(run) == written(undisturbed)
    assert leftovers(run) == []


def test_a_writer_does_not_sweep_away_what_another_is_writing(x, tmp_path):
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, fill=False)
    gram = open_run(run).folder(("x", "optimal"))
    aside = gram.path / "tiles" / ".0-0-abc.json"
    with gram.writing():
        aside.touch()
        compute_run({"x": x}, run, workers=1)
        assert aside.exists()
    compute_run({"x": x}, run, workers=1)
    assert not aside.exists()


def test_a_file_system_without_locks(x, tmp_path, monkeypatch):
    """No file is deleted where other writers cannot be ruled out."""
    run = tmp_path / "run.zarr"

    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    compute_run({"x": x[:40]}, run, workers=1)
    aside = open_run(run).folder(("x", "optimal")).path / "tiles" / ".0-0-abc.json"
    aside.touch()
    compute_run({"x": x}, run, workers=1)
    assert aside.exists()
    assert open_run(run).progress().tiles == TILES


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


def test_other_features_at_the_same_time_are_refused(x, tmp_path, monkeypatch):
    """The folder appears after this call has looked: it is looked at again."""
    plain = computing.check_disk
    run = tmp_path / "run.zarr"

    def meanwhile(target, jobs):
        monkeypatch.setattr(computing, "check_disk", plain)
        compute_run({"x": x + 1}, run, fill=False)

    monkeypatch.setattr(computing, "check_disk", meanwhile)
    with pytest.raises(InputError, match=r"the features of image 0 \('0'\) are not what they were"):
        compute_run({"x": x}, run)
    assert open_run(run).progress().tiles == 0
