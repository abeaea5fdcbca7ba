"""Tiles are filled from a few images at a time, which are those of the run."""

import weakref

import pytest

from runs.run_helpers import images
from semrsm.errors import InputError
from semrsm.runs import compute_run
from semrsm.runs.filling import Work


def test_features_that_change_during_the_work_are_refused(store, x, tmp_path):
    import zarr

    features = store(x)
    writable = zarr.open_array(tmp_path / "features.zarr", mode="r+")
    done = []

    def progress(now, total):
        if not done:
            writable[60] += 1
        done.append(now)

    with pytest.raises(InputError, match=r"those of image 60 are others$"):
        compute_run({"x": features}, tmp_path / "run.zarr", workers=1, progress=progress)


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
