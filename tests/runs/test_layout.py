"""The folders of a run: laid out by one process at a time, and joined by further Grams."""

import numpy as np
import pytest

import semrsm
from runs.run_helpers import (
    KEY,
    KILLED_WHILE_LAID_OUT,
    TILES,
    child,
    edit,
    everything,
    finish,
    images,
    leftovers,
    written,
)
from semrsm.errors import InputError
from semrsm.matching.optimal import Optimal
from semrsm.matching.windows import BatchOptimal
from semrsm.runs import compute_run, computing, layout, open_run


def test_matchers_with_other_options_stand_side_by_side(x, tmp_path):
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, matchers=[BatchOptimal(window=2)], workers=1)
    before = everything(run)
    both = ["batch-optimal:window=2", "batch-optimal:window=3"]
    found = compute_run({"x": x}, run, matchers=both, workers=1)
    assert list(found) == [("x", label) for label in both]
    for window, label in ((2, both[0]), (3, both[1])):
        expected = semrsm.gram(x, matcher=BatchOptimal(window=window))
        np.testing.assert_allclose(found["x", label].load().values, expected.values, rtol=1e-6)
        assert found["x", label].matcher == label == expected.matcher
    own = run / "zarr.json"  # the list of Grams
    assert before.items() <= {**everything(run), own: before[own]}.items()


def test_further_layers_and_matchers_join_a_run(run, x, undisturbed):
    compute_run({"x": x, "y": x[:20]}, run, matchers=["optimal", "none"], workers=1)
    assert set(open_run(run)) == {(a, b) for a in "xy" for b in ("optimal", "none")}
    assert {k: v for k, v in written(run).items() if k.startswith("x/optimal/")} == written(
        undisturbed
    )


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


def test_two_windows_in_one_run(tmp_path):
    """Of 300 places: both windows are smaller, and what each reaches is another value."""
    x = images(3, size=300)
    run = tmp_path / "run.zarr"
    labels = ["batch-optimal:window=64", "batch-optimal:window=256"]
    matchers = [BatchOptimal(window=64), BatchOptimal(window=256)]
    compute_run({"x": x}, run, matchers=matchers, fill=False)
    assert {path.name for path in (run / "x").iterdir()} == {
        "batch-optimal-window=64",
        "batch-optimal-window=256",
    }
    found = compute_run({"x": x}, run, matchers=labels, workers=1)
    small, large = (found["x", label].load().values for label in labels)
    for values, matcher in zip((small, large), matchers, strict=True):
        wanted = semrsm.gram(x, matcher=matcher).values
        np.testing.assert_allclose(values, wanted, rtol=1e-6)
    assert (small <= large).all()
    assert not np.array_equal(small, large)
    with pytest.raises(InputError, match="^matchers: expected each once"):
        compute_run({"x": x}, run, matchers=[labels[0], matchers[0]])


def test_names_that_look_alike_on_the_disk_get_folders_of_their_own(tmp_path):
    x = images(20)
    run = tmp_path / "run.zarr"
    compute_run({"a-b": x}, run, workers=1)
    more = {"a/b": x[:, :, :2], "a:b": x[:, :, :1]}
    found = compute_run(more, run, workers=1)
    assert [found.places[layer, "optimal"].parent.name for layer in ("a-b", *more)] == [
        "a-b",
        "a-b-2",
        "a-b-3",
    ]
    for layer, values in (("a-b", x), *more.items()):
        wanted = semrsm.gram(values).values
        np.testing.assert_allclose(found[layer, "optimal"].load().values, wanted, rtol=1e-6)


def as_earlier_versions_wrote_it(run, matcher):
    """Put a Gram under the bare name of its matcher, with a manifest that has no label."""
    gram = open_run(run).folder(("x", matcher.label))
    added = ("matcher_label", "is_matched", "needs_positions", "bounds", "grid", "column_grid")
    manifest = {key: value for key, value in gram.manifest.items() if key not in added}
    gram.record(manifest, gram.rows, gram.columns)
    gram.path.rename(gram.path.with_name(matcher.name))

    def rename(facts):
        facts["attributes"]["semrsm"].pop("digest")
        (entry,) = facts["attributes"]["semrsm"]["grams"]
        entry.update(matcher=matcher.name, path=f"x/{matcher.name}")

    edit(run / "zarr.json", rename)


def test_a_run_of_an_earlier_version_goes_on_under_the_label(x, tmp_path):
    matcher = BatchOptimal(window=2)
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, matchers=[matcher], workers=1)
    whole = {path.split("/", 2)[2]: content for path, content in written(run).items()}
    as_earlier_versions_wrote_it(run, matcher)
    old = open_run(run)
    assert list(old) == [("x", "batch-optimal")]
    stored = old.gram
    assert (stored.matcher, stored.bounds, stored.is_matched) == ("batch-optimal", "optimal", True)

    gram = old.folder(("x", "batch-optimal"))
    gram.discard((0, 1))
    markers = {path: path.stat().st_mtime_ns for path in (gram.path / "tiles").iterdir()}
    found = compute_run({"x": x}, run, matchers=[matcher], workers=1)
    assert list(found) == [("x", "batch-optimal:window=2")]
    assert found.places["x", matcher.label] == gram.path
    assert found.gram.matcher == matcher.label
    assert {path: path.stat().st_mtime_ns for path in markers} == markers
    assert {path.split("/", 2)[2]: content for path, content in written(run).items()} == whole
    # The bare name is free for the default window.
    both = compute_run({"x": x}, run, matchers=[BatchOptimal(), matcher], workers=1)
    assert set(both) == {("x", "batch-optimal"), ("x", matcher.label)}
    assert both.places["x", "batch-optimal"].name == "batch-optimal-2"


def test_a_run_of_an_earlier_version_with_other_options_is_refused(x, tmp_path):
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, matchers=[BatchOptimal(window=2)], workers=1)
    as_earlier_versions_wrote_it(run, BatchOptimal(window=2))
    before = everything(run)
    with pytest.raises(InputError, match=r"the matcher was BatchOptimal\(window=2\), and is Batch"):
        compute_run({"x": x}, run, matchers=[BatchOptimal()])
    assert everything(run) == before
    found = compute_run({"x": x}, run, matchers=[BatchOptimal(window=3)], workers=1)
    assert list(found) == [("x", "batch-optimal"), ("x", "batch-optimal:window=3")]


def test_a_run_of_an_earlier_version_with_default_options_stays_as_it_is(run, x):
    gram = open_run(run).folder(KEY)
    as_earlier_versions_wrote_it(run, Optimal())
    before = everything(run)
    assert compute_run({"x": x}, run, workers=1).places[KEY] == gram.path
    assert everything(run) == before
