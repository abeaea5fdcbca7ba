"""The same bytes, wherever the tiles are computed; and workers that die lose nothing."""

import os
import pickle
import shutil
import signal
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import semrsm
from runs.run_helpers import KEY, TILES, Impatient, child, finish, leftovers, written
from semrsm.errors import InputError, SemrsmError
from semrsm.matching.optimal import Optimal
from semrsm.runs import compute_run, executors, fill_share, open_run


def processes(count=2):
    return ProcessPoolExecutor(count, mp_context=get_context("forkserver"))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_threads(x, undisturbed, tmp_path, workers):
    compute_run({"x": x}, tmp_path / "run.zarr", workers=workers)
    assert written(tmp_path / "run.zarr") == written(undisturbed)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_thread_pool(x, undisturbed, tmp_path, workers):
    run = tmp_path / "run.zarr"
    done = []
    with ThreadPoolExecutor(workers) as pool:
        compute_run({"x": x}, run, executor=pool, progress=lambda *now: done.append(now))
    assert written(run) == written(undisturbed)
    assert done == sorted(done)
    assert done[-1] == (70 * 69 // 2,) * 2


def test_threads_leave_the_umask_alone(x, tmp_path, monkeypatch):
    """It can be read only by changing it, which two threads cannot do at a time."""
    monkeypatch.delattr(os, "umask")
    with ThreadPoolExecutor(2) as pool:
        compute_run({"x": x}, tmp_path / "run.zarr", executor=pool)


def test_forked_workers_do_not_keep_the_run_locked(store, x, tmp_path):
    store(x)
    code = """
        import multiprocessing, warnings
        from concurrent.futures import ProcessPoolExecutor
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads in a process that forks
        data = features(sys.argv[1])["x"]
        zarr.save(sys.argv[1] + ".part", data[:40])
        part = zarr.open_array(sys.argv[1] + ".part", mode="r")
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            compute_run({"x": part}, sys.argv[2], executor=pool)
            compute_run({"x": data}, sys.argv[2], executor=pool)
    """
    finish(child(code, tmp_path / "features.zarr", tmp_path / "run.zarr"))
    done = open_run(tmp_path / "run.zarr").progress()
    assert done.tiles == done.all_tiles == TILES


def test_a_pool_of_processes_one_of_which_dies(store, x, undisturbed, tmp_path):
    features = store(x)
    run = tmp_path / "run.zarr"
    flag = tmp_path / "die"
    flag.touch()
    with (
        processes() as pool,
        pytest.raises(SemrsmError, match=r"^executor: a worker process died .* goes on from it"),
    ):
        compute_run({"x": features}, run, executor=pool, matchers=[Impatient(str(flag))])
    assert open_run(run).progress().tiles < TILES
    with processes() as pool:
        compute_run({"x": features}, run, executor=pool)
    assert written(run) == written(undisturbed)
    assert leftovers(run) == []


def test_a_run_made_anew_at_the_same_place_is_not_taken_for_the_old_one(store, x, tmp_path):
    """Workers keep runs and features open: they must not write tiles of those that were there."""

    run = tmp_path / "run.zarr"
    arguments = []
    for shift in (0, 1):
        features = store(x + np.float32(shift))
        made = compute_run({"x": features}, run, fill=False)
        folder = made.folder(KEY)
        sources = '[{"path": "%s", "array": ""}]' % (tmp_path / "features.zarr")
        arguments.append((str(folder.path), folder.manifest["checksum"], Optimal(), sources))
        executors.fill_tile(*arguments[-1], (0, 0))
        if shift == 0:
            shutil.rmtree(run)
            shutil.rmtree(tmp_path / "features.zarr")
    wanted = semrsm.gram(x[:16] + np.float32(1)).values
    np.testing.assert_allclose(folder.read_tile((0, 0))[0], wanted, rtol=1e-6)
    executors.opened.cache_clear()
    with pytest.raises(InputError, match=r"^run: .* is not what it was when its tiles were given"):
        executors.fill_tile(*arguments[0], (0, 1))
    executors.opened.cache_clear()


def test_features_in_memory_stay_in_this_process(x, tmp_path):
    run = tmp_path / "run.zarr"
    with (
        processes() as pool,
        pytest.raises(InputError, match=r"^executor: expected features on disk, which every"),
    ):
        compute_run({"x": x}, run, executor=pool)
    assert not run.exists()
    compute_run({"x": x}, run, fill=False)
    with pytest.raises(InputError, match=r"^run: .* was made from features in memory"):
        fill_share(run)


def test_executors_are_refused_before_anything_is_written(x, tmp_path):
    run = tmp_path / "run.zarr"
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(InputError, match=r"^workers: expected 1 with an executor"):
            compute_run({"x": x}, run, executor=pool, workers=2)
        with pytest.raises(InputError, match=r"^executor: expected a concurrent"):
            compute_run({"x": x}, run, executor=object())
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_the_tiles_of_a_thread_pool(x, tmp_path, monkeypatch):
    """A tile takes a while: it is left in the middle, and not written."""
    run = tmp_path / "run.zarr"
    plain = Optimal.pairs
    called, calls = threading.Event(), []

    def slow(*arguments, **options):
        called.set()
        calls.append(threading.get_ident())
        time.sleep(0.1)
        return plain(*arguments, **options)

    def interrupt():
        called.wait()
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Optimal, "pairs", slow)
    monkeypatch.setattr(Optimal, "tile_side", lambda *_: 1)  # 256 times slow for every tile
    killer = threading.Thread(target=interrupt)
    killer.start()
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(KeyboardInterrupt):
            compute_run({"x": x}, run, executor=pool)
        begun = len(calls)
    assert len(calls) == begun < 2 * 256  # no thread goes on after the call has ended
    killer.join()
    assert open_run(run).progress().tiles == 0
    assert leftovers(run) == []


class Losing(Executor):
    """Runs tasks at once, and fails with the one that it is told to."""

    def __init__(self, at):
        self.at, self.seen = at, 0

    def submit(self, task, /, *arguments):
        future = Future()
        self.seen += 1
        if self.seen == self.at:
            future.set_exception(OSError(28, "No space left on device", "somewhere"))
        else:
            # What reaches another process has been pickled.
            task, arguments = pickle.loads(pickle.dumps((task, arguments)))
            future.set_result(task(*arguments))
        return future


def test_any_executor_will_do_and_its_errors_arrive(store, x, undisturbed, tmp_path):
    features = store(x)
    run = tmp_path / "run.zarr"
    with pytest.raises(OSError, match="No space left on device: 'somewhere'"):
        compute_run({"x": features}, run, executor=Losing(8))
    assert 7 <= open_run(run).progress().tiles < TILES
    compute_run({"x": features}, run, executor=Losing(0))
    assert written(run) == written(undisturbed)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_dask_loses_a_worker(store, x, undisturbed, tmp_path):
    distributed = pytest.importorskip("distributed")
    import dask

    features = store(x)
    run = tmp_path / "run.zarr"
    flag = tmp_path / "die"
    quiet = {
        "distributed.logging.distributed": "critical",
        "distributed.worker.use-file-locking": False,
        "temporary-directory": str(tmp_path / "scratch"),
    }
    with (
        dask.config.set(quiet),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        flag.touch()
        done = []
        compute_run(
            {"x": features},
            run,
            executor=client,
            matchers=[Impatient(str(flag))],
            progress=lambda *now: done.append(now),
        )
        assert not flag.exists()  # a worker has died
        assert done[-1] == (70 * 69 // 2,) * 2
        with pytest.raises(InputError, match=r"^executor: expected features on disk"):
            compute_run({"x": x}, tmp_path / "other.zarr", executor=client)
    assert written(run) == written(undisturbed)
    assert leftovers(run) == []
