"""Features on disk are opened by every process, and no other array is taken for them."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from runs.run_helpers import written
from semrsm.errors import InputError
from semrsm.runs import compute_run, fill_share
from semrsm.runs.sources import open_source, source_of


@pytest.fixture
def npy(tmp_path, x):
    np.save(tmp_path / "features.npy", x)
    return np.load(tmp_path / "features.npy", mmap_mode="r")


@pytest.fixture
def hdf5(tmp_path, x):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["some/layer"] = x
    with h5py.File(tmp_path / "features.h5", "r") as file:
        yield file["some/layer"]


@pytest.fixture
def grouped(tmp_path, x):
    import zarr

    group = zarr.create_group(tmp_path / "group.zarr")
    group.create_array("some/layer", data=np.array(x))
    return zarr.open_group(tmp_path / "group.zarr", mode="r")["some/layer"]


@pytest.mark.parametrize("kind", ["store", "grouped", "npy", "hdf5"])
def test_what_lies_on_disk_is_found_again(kind, request, x):
    features = request.getfixturevalue(kind)
    if kind == "store":
        features = features(x)
    np.testing.assert_array_equal(np.asarray(open_source(source_of(features))[:]), x)


@pytest.mark.parametrize("kind", ["grouped", "npy", "hdf5"])
def test_other_processes_open_them(kind, request, undisturbed, tmp_path):
    features = request.getfixturevalue(kind)
    run, shares = tmp_path / "run.zarr", tmp_path / "shares.zarr"
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
        compute_run({"x": features}, run, executor=pool)
    assert written(run) == written(undisturbed)
    compute_run({"x": features}, shares, fill=False)
    fill_share(shares, workers=1)
    assert written(shares) == written(undisturbed)


def test_what_is_not_the_whole_file_is_in_memory(npy, x, tmp_path):
    assert source_of(npy) is not None
    private = np.load(tmp_path / "features.npy", mmap_mode="c")
    private[0] += 1
    raw = np.memmap(tmp_path / "features.raw", np.float32, "w+", shape=x.shape)
    for array in (
        npy[3:],
        npy[:69],
        npy[::-1],
        npy[:, :, ::-1],
        npy.transpose(0, 2, 1),
        npy.view(np.int32),
        np.asarray(npy),
        npy * 2,
        npy.copy(),
        private,
        raw,
        np.array(x),
        [x[0], x[1]],
    ):
        assert source_of(array) is None
    zarr = pytest.importorskip("zarr")
    assert source_of(zarr.array(np.array(x))) is None  # a store in memory
    torch = pytest.importorskip("torch")
    assert source_of(torch.zeros(3, 2, 2)) is None


def test_a_file_that_changed_its_shape_is_no_source(npy, tmp_path, x):
    np.save(tmp_path / "next.npy", np.concatenate([x, x]))
    (tmp_path / "next.npy").rename(tmp_path / "features.npy")
    assert source_of(npy) is None


def test_what_is_not_there_any_more(tmp_path, npy):
    source = source_of(npy)
    (tmp_path / "features.npy").unlink()  # not overwritten: it is mapped
    (tmp_path / "features.npy").write_bytes(b"something")
    assert source_of(npy) is None
    with pytest.raises(
        InputError, match=r"^features: expected 'an array' in '.*features\.npy', wh"
    ):
        open_source(source)
    (tmp_path / "features.npy").unlink()
    assert source_of(npy) is None
    with pytest.raises(InputError, match=r"^features: expected '.*features\.npy', which the run"):
        open_source(source)
    for name in ("file.h5", "other"):
        (tmp_path / name).write_bytes(b"something")
        with pytest.raises(InputError, match=r"^features: expected 'x' in .* cannot be read: "):
            open_source({"path": str(tmp_path / name), "array": "x"})
    zarr = pytest.importorskip("zarr")
    zarr.create_group(tmp_path / "group.zarr")
    with pytest.raises(InputError, match=r"^features: expected 'x' in .* cannot be read: "):
        open_source({"path": str(tmp_path / "group.zarr"), "array": "x"})
