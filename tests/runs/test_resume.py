"""Killed at any moment, a run goes on where it stopped and ends with the same bytes."""

import errno
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from runs.run_helpers import PAIRS, TILES, Counting, child, finish, leftovers, written
from semrsm.runs import compute_run, open_run

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


SLOW = """
    slow(0.2)
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
        before = len(markers(run))
        process.send_signal(how)
        _, error = process.communicate(timeout=30)
        # At most the tile that was written just then: all others would have been matched by now.
        assert len(markers(run)) <= before + 1 < TILES
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
