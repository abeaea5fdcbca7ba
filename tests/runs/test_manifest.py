"""Tiles of other images, another matcher or another version are never mixed in."""

from dataclasses import dataclass

import numpy as np
import pytest

from runs.run_helpers import everything
from semrsm.errors import InputError
from semrsm.matching.greedy import TopKGreedy
from semrsm.matching.optimal import Optimal
from semrsm.matching.windows import BatchOptimal
from semrsm.runs import compute_run, fill_share
from semrsm.tokens import measure


def changed(x, image=33):
    x = np.array(x)
    x[image, 2, 1] = np.nextafter(x[image, 2, 1], 9)
    return x


names = [f"image {i}" for i in range(70)]

OTHERS = {
    "one changed number": (lambda x: {"features": {"x": changed(x)}}, r"image 33 \('33'\) are not"),
    "reordered images": (lambda x: {"features": {"x": x[::-1]}}, r"of image 0 \('0'\) are not"),
    "fewer images": (
        lambda x: {"features": {"x": x[:69]}},
        "there were 70 images, and there are 69",
    ),
    "more images, one old one changed": (
        lambda x: {"features": {"x": np.concatenate([changed(x), x[:3]])}},
        r"image 33 \('33'\) are not",
    ),
    "ids": (lambda x: {"ids": names}, "image 0 is 'image 0', and was '0'"),
    "reordered ids": (
        lambda x: {"ids": [1, 0, *range(2, 70)]},
        "image 0 is '1', and was '0'",
    ),
    "dtype": (
        lambda x: {"features": {"x": x.astype(np.float64)}},
        "the dtype was float32, and is float64",
    ),
    "channels": (
        lambda x: {"features": {"x": x[:, :, :2]}},
        "the number of channels was 3, and is 2",
    ),
    "fewer vectors": (lambda x: {"features": {"x": x[:, :3]}}, "of image 0 "),
    "the same numbers in another shape": (
        lambda x: {"features": {"x": x.reshape(70, 3, 4)}},
        "the number of channels was 3, and is 4",
    ),
    "another set of columns": (
        lambda x: {"others": {"x": x}},
        "whether rows and columns are the same images was True, and is False",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_fingerprint_is_refused(what, run, x):
    arguments, reason = OTHERS[what]
    before = everything(run)
    with pytest.raises(InputError, match=rf"^out: expected a new folder, or a run of .*{reason}"):
        compute_run(**{"features": {"x": x}, "out": run} | arguments(x))
    assert everything(run) == before


def test_other_versions_are_refused(x, tmp_path, monkeypatch):
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, matchers=[TopKGreedy(k=2), BatchOptimal(window=2)], workers=1)
    before = everything(run)
    monkeypatch.setattr("semrsm.runs.manifest.__version__", "99.1")
    with pytest.raises(InputError, match=r"the version of semrsm was .*, and is 99\.1$"):
        compute_run({"x": x}, run, matchers=[TopKGreedy(k=2)])
    with pytest.raises(InputError, match=r"^run: "):
        fill_share(run)
    assert everything(run) == before


@dataclass(frozen=True)
class Placed(Optimal):
    """The optimal matching, by a matcher that looks at positions."""

    name = "placed"
    needs_positions = True


@pytest.mark.parametrize("matcher", [Optimal(), Placed()])
def test_another_grid_is_refused_where_positions_count(x, tmp_path, matcher):
    run = tmp_path / "run.zarr"
    square, row = measure(x, grid=(2, 2)), measure(x, grid=(1, 4))
    compute_run({"x": square}, run, matchers=[matcher], workers=1)
    before = everything(run)
    compute_run({"x": square}, run, matchers=[matcher], workers=1)
    if not matcher.needs_positions:
        compute_run({"x": row}, run, matchers=[matcher], workers=1)
    else:
        reason = r"the grids of rows and columns were \[\(2, 2\), \(2, 2\)\], and are \[\(1, 4\)"
        with pytest.raises(InputError, match=rf"^out: expected a new folder, .*{reason}"):
            compute_run({"x": row}, run, matchers=[matcher], workers=1)
    assert everything(run) == before
