"""The matchers between location and none go through every door."""

import json

import numpy as np
import pytest

import semrsm
from semrsm import matchers
from semrsm.cli import main
from semrsm.errors import InputError
from semrsm.report import write_explorer

LABELS = [
    "displacement:penalty=2x",
    "window:share=0.2",
    "shift:flips=True",
    "align:scales=1.0+0.5",
    "partial:share=0.25",
    "maxsim:unit=True",
]


@pytest.fixture(scope="module")
def maps():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(20, 5, 4, 4)) + rng.normal(size=(1, 5, 1, 1))
    return maps.astype(np.float32)


@pytest.mark.parametrize("label", LABELS)
def test_in_memory(maps, label, tmp_path):
    gram = semrsm.gram(maps, matcher=label)
    assert (gram.matcher, gram.bounds, gram.is_matched) == (label, "own", True)
    assert (gram.upper_bound >= gram.values).all()
    back = semrsm.Gram.load(gram.save(tmp_path / "gram.npz"))
    assert (back.matcher, back.resolved, back.bounds) == (label, gram.resolved, "own")
    np.testing.assert_array_equal(back.row_squared_norms, gram.row_squared_norms)
    for kernel in ("linear", "cosine", "rbf"):
        assert np.isfinite(gram.rsm(kernel)).all()
    np.testing.assert_array_equal(gram.rsm("cosine").values.diagonal(), 1)
    assert np.isfinite(semrsm.cka(gram.rsm("linear"), semrsm.rsm(maps, kernel="linear")).value)
    tight = {"memory": "64MB", "workers": 2}
    small = semrsm.gram(maps, matcher=label, **tight)
    np.testing.assert_allclose(small.values, gram.values, rtol=1e-5, atol=1e-4)
    found = semrsm.forecast(maps, matcher=label)
    assert found.pairs == 190
    assert found.assignments == (190 if matchers.resolve_matcher(label).solves else 0)


@pytest.mark.parametrize("label", LABELS)
def test_one_pair(maps, label):
    a, b = (maps[n].reshape(5, 16).T for n in (0, 1))
    chosen = matchers.resolve_matcher(label)
    if chosen.needs_positions:
        with pytest.raises(InputError, match=r"^grid: expected \(height, width\)"):
            semrsm.match(a, b, matcher=label)
    found = semrsm.match(a, b, matcher=label, grid=(4, 4))
    pair = semrsm.gram(maps[:1], maps[1:2], matcher=label)
    assert found.value == pytest.approx(pair.values[0, 0], rel=1e-5)
    assert found.squared_norms == pytest.approx(
        (pair.row_squared_norms[0], pair.column_squared_norms[0])
    )
    assert found.gap == pytest.approx(pair.largest_gap, abs=1e-5)
    assert found.displacement >= 0


def test_a_run_that_grows_and_resumes(maps, tmp_path):
    pytest.importorskip("zarr", reason="runs need zarr")
    few = semrsm.compute_run({"x": maps[:12]}, tmp_path / "run.zarr", matchers=LABELS)
    numbers = {label: few["x", label].resolved for label in LABELS}
    assert set(numbers[LABELS[0]]) == {"penalty"}
    run = semrsm.compute_run({"x": maps}, tmp_path / "run.zarr", matchers=LABELS)
    for label in LABELS:
        stored = run["x", label]
        assert stored.resolved == numbers[label]  # those that it began with
        working = label
        if stored.resolved:
            working = matchers.Displacement(**stored.resolved)
        gram = semrsm.gram(maps, matcher=working)
        loaded = stored.load()
        np.testing.assert_allclose(loaded.values, gram.values, rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(loaded.row_squared_norms, gram.row_squared_norms)
        assert (loaded.matcher, loaded.bounds, loaded.resolved) == (label, "own", numbers[label])
        assert stored.largest_gap == pytest.approx(loaded.largest_gap)
        np.testing.assert_allclose(
            stored.rsm("rbf").load().values, loaded.rsm("rbf").values, rtol=1e-12
        )
        folder = run.folder(("x", label))
        folder.discard((0, 0))
    with pytest.raises(InputError, match="expected a complete one"):
        run["x", LABELS[0]]
    again = semrsm.compute_run({"x": maps}, tmp_path / "run.zarr", matchers=LABELS)
    for label in LABELS:
        np.testing.assert_array_equal(
            again["x", label].load().values, semrsm.open_run(run.path)["x", label].load().values
        )


def test_workers_find_the_number_in_the_manifest(maps, tmp_path):
    pytest.importorskip("zarr", reason="runs need zarr")
    from semrsm.runs import fill_share

    np.save(tmp_path / "maps.npy", maps)
    features = semrsm.load_features(tmp_path / "maps.npy")
    label = "displacement:penalty=2x"
    laid = semrsm.compute_run(features, tmp_path / "r.zarr", matchers=[label], fill=False)
    fill_share(laid.path, rank=0, world=1)
    [(key, stored)] = semrsm.open_run(laid.path).items()
    assert key[1] == label
    expected = semrsm.gram(maps, matcher=label)
    assert stored.resolved == expected.resolved
    np.testing.assert_allclose(stored.load().values, expected.values, rtol=1e-5, atol=1e-5)


def test_the_command_and_the_explorer(maps, tmp_path, capsys):
    np.save(tmp_path / "maps.npy", maps)
    out = tmp_path / "results"
    given = ["--matcher", "none", *LABELS, "--no-figures", "--out", str(out), "--json"]
    assert main(["rsm", str(tmp_path / "maps.npy"), *given]) == 0
    rows = json.loads(capsys.readouterr().out)["table"]
    assert [row["matcher"] for row in rows] == ["none", *LABELS]
    assert {row["bounds"] for row in rows[1:]} == {"own"}
    assert main(["compare", str(out), "--json"]) == 0
    grams = {("x", label): semrsm.gram(maps, matcher=label) for label in ("none", *LABELS)}
    page = write_explorer(grams, tmp_path / "page.html", features=semrsm.Features({"x": maps}))
    assert "displacement:penalty=2x" in page.read_text(encoding="utf-8")


def test_the_command_that_retrieves(maps, tmp_path, capsys):
    np.save(tmp_path / "maps.npy", maps)
    words = ["retrieve", str(tmp_path / "maps.npy"), "--k", "3", "--json", "--no-figures"]
    for label in ("displacement:penalty=2x", "maxsim"):
        out = tmp_path / label.partition(":")[0]
        assert main([*words, "--matcher", label, "--out", str(out)]) == 0
        assert json.loads(capsys.readouterr().out)["matcher"] == label
        found = json.loads((out / "neighbours.json").read_text(encoding="utf-8"))
        assert found["matcher"] == label
    assert main([*words, "--matcher", "align", "--out", str(tmp_path / "no")]) != 0
    assert "topk can search by (optimal, displacement, maxsim)" in capsys.readouterr().err


@pytest.mark.parametrize("kernel", ["cosine", "linear", semrsm.kernels.RBF(sigma=3.0)])
@pytest.mark.parametrize("name", ["displacement:penalty=3", "displacement:penalty=2x", "maxsim"])
def test_search(maps, name, kernel):
    rng = np.random.default_rng(1)
    gallery = maps.copy()
    gallery[7] = 0
    queries = gallery[:6] + 0.3 * rng.normal(size=(6, 5, 4, 4)).astype(np.float32)
    found = semrsm.topk(queries, gallery, 4, matcher=name, kernel=kernel)
    assert found.matcher == name
    assert found.exact
    working = matchers.Displacement(**found.resolved) if found.resolved else name
    if found.resolved:
        assert found.resolved == semrsm.gram(gallery, matcher=name).resolved
    wide = queries.astype(np.float64), gallery.astype(np.float64)
    every = semrsm.gram(*wide, matcher=working).rsm(kernel).values
    order = np.argsort(-every, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_allclose(found.values, np.take_along_axis(every, order, 1), atol=1e-9)
    if name == "maxsim":
        assert found.solved == 0
        with pytest.raises(InputError, match=r"^budget: expected None for the matcher 'maxsim'"):
            semrsm.topk(queries, gallery, 4, matcher=name, budget=5)
        return
    some = semrsm.topk(queries, gallery, 2, matcher=name, kernel=kernel, budget=3)
    for query in range(6):
        rest = np.delete(every[query], some.indices[query])
        assert some.missed_at_most[query] >= rest.max() - 1e-9


def test_other_matchers_are_not_searched(maps):
    for name in ("window", "shift", "align", "partial", "none", "greedy"):
        with pytest.raises(InputError, match=r"^matcher: expected one that topk.*semrsm\.gram"):
            semrsm.topk(maps, maps, 2, matcher=name)


def test_spectrum(maps):
    calls = []
    penalties = [0, "1x", "2x"]
    found = semrsm.spectrum(
        maps,
        matchers.Displacement,
        penalty=penalties,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert list(found) == penalties
    for penalty, gram in found.items():
        alone = semrsm.gram(maps, matcher=matchers.Displacement(penalty))
        np.testing.assert_array_equal(gram.values, alone.values)
        assert gram.matcher == alone.matcher
    assert found["2x"].resolved["penalty"] == 2 * found["1x"].resolved["penalty"]
    assert calls[-1] == (570, 570)
    shares = semrsm.spectrum(maps, "partial", y=maps[:3], share=[0.5, 1.0], exact=True)
    assert shares[0.5].shape == (20, 3)
    for options, message in (
        ({}, "options: expected one of penalty as a list"),
        ({"penalty": 2}, "options: expected one of penalty as a list"),
        ({"penalty": []}, "options: expected one of penalty as a list"),
        ({"penalty": [1, 1]}, "penalty: expected distinct"),
        ({"penalt": [1]}, "penalt: expected an option of 'displacement'"),
    ):
        with pytest.raises(InputError) as caught:
            semrsm.spectrum(maps, "displacement", **options)
        assert str(caught.value).startswith(message)
    with pytest.raises(InputError, match=r"^matcher: expected one of none.*Did you mean"):
        semrsm.spectrum(maps, "windows", radius=[1])
