"""Small features in Zarr stores, and the run that nothing has disturbed."""

import shutil

import numpy as np
import pytest

from runs.run_helpers import images
from semrsm.runs import compute_run

zarr = pytest.importorskip("zarr")


@pytest.fixture
def store(tmp_path):
    """Return a function that writes images to a Zarr array, and opens it."""

    def write(x, name="features.zarr", chunk=8):
        array = zarr.create_array(
            tmp_path / name,
            shape=x.shape,
            chunks=(chunk, *x.shape[1:]),
            dtype=x.dtype,
            compressors=None,
        )
        array[:] = x
        return zarr.open_array(tmp_path / name, mode="r")

    return write


@pytest.fixture(scope="session")
def x():
    """Seventy images."""
    found = images()
    found.flags.writeable = False
    return found


@pytest.fixture(scope="session")
def undisturbed(x, tmp_path_factory):
    """Return a finished run of the seventy images."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run.zarr"
    compute_run({"x": np.array(x)}, folder, workers=1)
    return folder


@pytest.fixture
def run(undisturbed, tmp_path):
    """Return a copy of the finished run."""
    return shutil.copytree(undisturbed, tmp_path / "run.zarr")
