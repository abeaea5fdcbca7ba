"""Parity with the outputs of the authors' released code, on fixed features (N, C, S)."""

from pathlib import Path

import numpy as np
import pytest

import semrsm

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.npz"))
MATCHERS = {"semantic": "optimal", "spatiosemantic": "none", "batchoptimal": "batch-optimal"}
CASES = [
    pytest.param(path, name, id=f"{path.stem}-{name}")
    for path in GOLDEN
    for name in np.load(path).files
    if name != "features"
]


def test_the_golden_files_are_all_here():
    assert len(GOLDEN) == 4
    assert len(CASES) == 24


@pytest.mark.parametrize(("path", "name"), CASES)
def test_parity(path, name):
    golden = np.load(path)
    setting, kernel = name.split("_")
    found = semrsm.rsm(
        golden["features"].transpose(0, 2, 1),
        kernel=kernel,
        matcher=MATCHERS[setting],
        sigma="released" if kernel == "rbf" else None,
    )
    expected = golden[name].astype(np.float64)
    # The released solver truncates the affinities of windows; its baseline is in float32, whose
    # rounding shows where inner products cancel.
    rel = 1e-4 if setting == "batchoptimal" else 1e-5
    size = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    assert (np.abs(found.values - expected) <= rel * np.maximum(np.abs(expected), size)).all()
