"""The folder of results: everything by label, in files whose names are safe and distinct."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.matchers import BatchOptimal
from semrsm.matrices.results import Results, file_names

KERNELS = ("cosine", "rbf", "polynomial", "polynomial:degree=2", "rbf:sigma=5.0")
MATCHERS = ("none", "batch-optimal:window=4", "batch-optimal:window=8")


@pytest.fixture(scope="module")
def results():
    x = np.random.default_rng(0).normal(size=(7, 16, 5))
    kinds = {"none": "none"} | {f"batch-optimal:window={n}": BatchOptimal(window=n) for n in (4, 8)}
    grams = {
        (layer, label): semrsm.gram(x * scale, matcher=matcher)
        for scale, layer in ((1, "a/b"), (2, "a-b"))
        for label, matcher in kinds.items()
    }
    grams["a-b", MATCHERS[1]] = replace(grams["a-b", MATCHERS[1]], bounds="own")
    return Results(grams, KERNELS, 2.0, {"a/b": (4, 4)}, {"source": "made up"})


def test_matchers_and_kernels_of_one_kind_live_side_by_side(results, tmp_path):
    folder = results.write(tmp_path / "results")
    again = Results.read(folder)
    assert (again.kernels, again.sigma, again.facts) == (KERNELS, 2.0, {"source": "made up"})
    assert again.grids == {"a/b": (4, 4)}
    assert list(again.grams) == list(results.grams)
    for key, gram in results.grams.items():
        assert again.grams[key].matcher == gram.matcher == key[1]
        np.testing.assert_array_equal(again.grams[key].values, gram.values)
    assert again.table() == results.table()


def test_one_sigma_goes_to_the_kernels_that_take_it_and_name_none(results):
    found = {kernel: results.rsms(kernel)["a/b", "none"].sigma for kernel in KERNELS}
    assert found == {
        "cosine": None,
        "rbf": 2.0,
        "polynomial": 2.0,
        "polynomial:degree=2": 2.0,
        "rbf:sigma=5.0": 5.0,
    }


def test_the_table_has_a_row_for_each_label_and_says_what_its_bounds_bound(results, tmp_path):
    with open(results.write(tmp_path / "results") / "table.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["kernel"], row["matcher"]) for row in rows] == [
        (layer, kernel, matcher)
        for layer in ("a/b", "a-b")
        for kernel in KERNELS
        for matcher in MATCHERS
    ]
    own = {(row["layer"], row["matcher"]) for row in rows if row["bounds"] == "own"}
    assert own == {("a-b", MATCHERS[1])}
    assert {row["bounds"] for row in rows} == {"own", "optimal"}


def test_names_of_files_are_those_of_bare_labels_and_else_safe_and_distinct(results, tmp_path):
    folder = results.write(tmp_path / "results") / "rsms"
    assert sorted(path.name for path in folder.iterdir()) == ["a-b", "a-b-2"]
    names = {path.name for path in (folder / "a-b").iterdir()}
    assert {"none.gram.npz", "none.cosine.npz", "none.rbf.npz"} <= names
    assert "batch-optimal-window=4.polynomial-degree=2.npz" in names
    assert len(names) == len(MATCHERS) * (1 + len(KERNELS))
    # Labels that differ only by a character that is not safe in a name.
    assert file_names(["own:a=1", "own-a=1"]) == {"own:a=1": "own-a=1", "own-a=1": "own-a=1-2"}


def test_labels_that_make_one_name_are_kept_apart(tmp_path):
    x = np.random.default_rng(1).normal(size=(2, 4, 6, 5))
    grams = {("layer", label): semrsm.gram(y) for label, y in zip(("m:n", "m-n"), x, strict=True)}
    again = Results.read(Results(grams, ("linear",), 1.0, {}, {}).write(tmp_path / "results"))
    for key, gram in grams.items():
        np.testing.assert_array_equal(again.grams[key].values, gram.values)


def test_folders_written_before_labels_are_read(results, tmp_path):
    """Bare names, and Grams that say neither that they are matched nor what bounds them."""
    grams = {("a/b", "none"): results.grams["a/b", "none"]}
    folder = Results(grams, ("cosine",), "median", {}, {}).write(tmp_path / "results")
    path = folder / "rsms" / "a-b" / "none.gram.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays["header"]))
    for name in ("is_matched", "bounds"):
        del header[name]
    np.savez_compressed(path, **(arrays | {"header": np.array(json.dumps(header))}))
    found = Results.read(folder).grams["a/b", "none"]
    assert (found.is_matched, found.bounds) == (False, "optimal")
    np.testing.assert_array_equal(found.values, grams["a/b", "none"].values)
    path.unlink()
    with pytest.raises(InputError, match="^path: expected a file; "):
        Results.read(folder)
