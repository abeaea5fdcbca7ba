"""All layers against all: each row is the CKA of two RSMs that can be made by hand."""

import csv
import json
import math

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.kernels import RBF, Linear
from semrsm.matching.windows import BatchOptimal
from semrsm.plot.layers import plot_extents, plot_layers
from semrsm.studies.layer_comparison import layers

pyplot = pytest.importorskip("matplotlib.pyplot")

N = 9
IDS = [f"photo {i}" for i in range(N)]


def made(seed, model, **shapes):
    rng = np.random.default_rng(seed)
    scenes = rng.normal(size=N)  # what the layers share, so that they are neither equal nor strange
    return semrsm.Features(
        {
            name: rng.normal(size=(N, *shape)) + scenes.reshape(-1, *[1] * len(shape))
            for name, shape in shapes.items()
        },
        IDS,
        provenance={"model": model},
    )


@pytest.fixture
def features():
    return made(0, "one", early=(4, 3, 3), tokens=(6, 5), pooled=(7, 1, 1))


@pytest.fixture
def other():
    return made(1, "two", first=(3, 2, 4), last=(4, 4))


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def rsm_of(features, layer, matcher, kernel):
    return semrsm.rsm(features[layer], matcher=matcher, kernel=kernel, ids=features.ids)


def places(table, *columns):
    return [tuple(row[column] for column in columns) for row in table]


def test_rows_are_those_of_cka(features):
    study = layers(features, kernels=["cosine", RBF(sigma=3.0)], interval=0.9)
    assert len(study.table) == 2 * (3 * 2) ** 2
    keys = ("layer_a", "matcher_a", "layer_b", "matcher_b", "kernel")
    assert len(set(places(study.table, *keys))) == len(study.table)
    sizes = {"early": 9, "tokens": 6, "pooled": 1}
    for row in study.table:
        kernel = row["kernel"] if row["kernel"] == "cosine" else RBF(sigma=3.0)
        a, b = (rsm_of(features, row[f"layer_{s}"], row[f"matcher_{s}"], kernel) for s in "ab")
        for score, debiased in (("cka", False), ("debiased_cka", True)):
            expected = semrsm.cka(a, b, debiased=debiased, interval=0.9)
            found = (row[score], row[f"{score}_low"], row[f"{score}_high"])
            assert found == pytest.approx((expected.value, *expected.interval), rel=1e-10)
        assert row["vectors_a"] == sizes[row["layer_a"]]
        assert row["vectors_b"] == sizes[row["layer_b"]]
        assert row["model_a"] == row["model_b"] == "one"
        assert row["sigma_a"] == row["sigma_b"] == (None if kernel == "cosine" else 3.0)
        assert row["images"] == N
        assert row["largest_gap_a"] == study.grams[row["layer_a"], row["matcher_a"]].largest_gap
    assert study.protocol["undefined"] == {"cka": 0, "debiased_cka": 0}
    assert study.other_grams is None


def test_an_rsm_with_itself_and_turned_around(features):
    study = layers(features)
    found = {
        (row["layer_a"], row["matcher_a"], row["layer_b"], row["matcher_b"]): row
        for row in study.table
    }
    assert "cka_low" not in study.table[0]
    for (la, ma, lb, mb), row in found.items():
        if (la, ma) == (lb, mb):
            assert row["cka"] == row["debiased_cka"] == 1.0
        turned = found[lb, mb, la, ma]
        assert list(turned) == list(row)
        for name in ("cka", "debiased_cka"):
            assert turned[name] == row[name]
        for name in ("model", "layer", "vectors", "matcher", "sigma", "largest_gap"):
            assert (turned[f"{name}_a"], turned[f"{name}_b"]) == (
                row[f"{name}_b"],
                row[f"{name}_a"],
            )


def test_one_location_leaves_nothing_to_match(features):
    study = layers(features)
    by_layer = {row["layer_a"]: row for row in study.diagonal}
    assert list(by_layer) == ["early", "tokens", "pooled"]
    assert by_layer["pooled"]["cka"] == by_layer["pooled"]["debiased_cka"] == 1.0
    assert by_layer["early"]["cka"] < 0.999
    assert all(row in study.table for row in study.diagonal)
    assert set(places(study.diagonal, "matcher_a", "matcher_b")) == {("none", "optimal")}


def test_two_networks(features, other):
    study = layers(features, other, kernels=Linear(), layers=["early", "pooled"], interval=0.5)
    assert len(study.table) == (2 * 2) ** 2
    assert set(places(study.table, "model_a", "model_b")) == {("one", "two")}
    for row in study.table:
        a = rsm_of(features, row["layer_a"], row["matcher_a"], "linear")
        b = rsm_of(other, row["layer_b"], row["matcher_b"], "linear")
        assert row["cka"] == pytest.approx(semrsm.cka(a, b).value)
        assert row["debiased_cka"] == pytest.approx(semrsm.cka(a, b, debiased=True).value)
    # The diagonal is that of either network, which their comparison does not hold.
    assert places(study.diagonal, "model_a", "layer_a", "model_b", "layer_b") == [
        ("one", "early", "one", "early"),
        ("one", "pooled", "one", "pooled"),
        ("two", "first", "two", "first"),
        ("two", "last", "two", "last"),
    ]
    for row in study.diagonal:
        network = features if row["model_a"] == "one" else other
        a, b = (rsm_of(network, row["layer_a"], m, "linear") for m in ("none", "optimal"))
        assert row["cka"] == pytest.approx(semrsm.cka(a, b).value)
    assert len(study.protocol["diagonal"]) == 4
    assert set(study.other_grams) == {
        (x, m) for x in ("first", "last") for m in ("none", "optimal")
    }
    chosen = layers(features, other, layers="pooled", other_layers="la*")
    assert set(places(chosen.table, "layer_a", "layer_b")) == {("pooled", "last")}


def test_a_network_with_itself_given_twice(features):
    alone, twice = layers(features), layers(features, features)
    keys = ("layer_a", "matcher_a", "layer_b", "matcher_b")
    assert places(alone.table, *keys) == places(twice.table, *keys)
    assert [row["cka"] for row in alone.table] == pytest.approx([r["cka"] for r in twice.table])


def test_what_is_undefined_is_nan_and_counted():
    rng = np.random.default_rng(2)
    same = np.repeat(rng.normal(size=(1, 4, 2, 2)), N, axis=0)
    features = semrsm.Features({"same": same, "free": rng.normal(size=(N, 4, 2, 2))}, IDS)
    study = layers(features, features.select("free"), interval=0.9)
    for row in study.table:
        values = [row[f"{s}cka{e}"] for s in ("", "debiased_") for e in ("", "_low", "_high")]
        assert all(math.isnan(v) for v in values) == (row["layer_a"] == "same")
    assert study.protocol["undefined"] == {"cka": 4, "debiased_cka": 4}
    assert study.protocol["diagonal"][0]["cka"] is None
    json.dumps(study.protocol["diagonal"], allow_nan=False)
    for draw in study.figures.values():
        draw().canvas.draw()  # what is undefined can be drawn all the same


def test_progress_counts_the_pairs_of_both(features, other):
    seen = []
    layers(features, other, progress=lambda *at: seen.append(at))
    total = N * (N - 1) // 2 * 2 * (3 + 2)
    assert seen[-1] == (total, total)
    assert {at[1] for at in seen} == {total}
    assert [at[0] for at in seen] == sorted(at[0] for at in seen)


def test_other_matchers(features):
    study = layers(features, matchers=["none", BatchOptimal(window=4), "optimal"], layers="early")
    assert places(study.diagonal, "matcher_b") == [("batch-optimal:window=4",), ("optimal",)]
    assert len(study.table) == 9
    figure = study.figures["heatmaps"]()
    assert sum(bool(ax.images) and ax.get_visible() for ax in figure.axes) == 6
    alone = layers(features, matchers=["optimal"])
    assert alone.diagonal == ()
    assert set(alone.figures) == {"heatmaps"}


def test_what_is_written(features, tmp_path):
    study = layers(features, interval=0.9)
    folder = study.write(tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {
        "table.csv",
        "protocol.json",
        "heatmaps.png",
        "diagonal.png",
    }
    with open(folder / "table.csv", newline="", encoding="utf-8") as file:
        assert [float(r["cka"]) for r in csv.DictReader(file)] == [r["cka"] for r in study.table]
    protocol = json.loads((folder / "protocol.json").read_text(encoding="utf-8"))
    assert protocol["images"] == IDS
    assert protocol["layers"] == ["early", "tokens", "pooled"]
    assert protocol["intervals"]["confidence"] == 0.9
    assert protocol["other"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": "earl"}, r"^layers: 'earl' fits no layer\. Did you mean 'early'\?"),
        ({"other_layers": "early"}, "^other_layers: expected none, since there are no other"),
        ({"kernels": "cosin"}, r"^kernel: .*Did you mean 'cosine'\?"),
        ({"kernels": []}, "^kernels: expected at least one; got none"),
        ({"matchers": ["optimal", "optimal"]}, "^matchers: expected each once"),
        ({"interval": 95}, "^interval: expected a confidence between 0 and 1; got 95"),
        ({"other": {"early": np.zeros((N, 2, 2, 2))}}, "^other: expected what semrsm.extract"),
        ({"other": semrsm.Features({"x": np.ones((3, 2, 2))})}, "^other: .* got 3"),
        (
            {"other": semrsm.Features({"x": np.ones((N, 2, 2))}, IDS[:3] + IDS[:2:-1])},
            "^other: .* same order; image 3 is 'photo 8' and not 'photo 3'",
        ),
    ],
)
def test_refuses_before_any_matching(features, change, message):
    def never(*_):
        raise AssertionError("matching began")

    with pytest.raises(InputError, match=message):
        layers(features, **change, progress=never)


def test_refuses_too_few_images():
    x = np.random.default_rng(3).normal(size=(5, 3, 4))
    with pytest.raises(InputError, match="^features: expected at least 4 images; got 3"):
        layers(semrsm.Features({"x": x[:3]}))
    with pytest.raises(InputError, match="^features: expected at least 6 images; got 5"):
        layers(semrsm.Features({"x": x}), interval=0.9)
    assert len(layers(semrsm.Features({"x": x[:4]})).table) == 4


def test_heat_maps(features, other):
    study = layers(features)
    figure = study.figures["heatmaps"]()
    panels = [ax for ax in figure.axes if ax.images]
    words = ("spatio-semantic", "semantic (optimal)")
    assert [(ax.get_ylabel(), ax.get_xlabel()) for ax in panels] == [
        (words[0], words[0]),
        (words[1], words[1]),
        (words[0], words[1]),
    ]
    assert len({ax.images[0].get_clim() for ax in panels}) == 1
    names = ["early", "tokens", "pooled"]
    assert [t.get_text() for t in panels[0].get_yticklabels()] == names
    assert [t.get_text() for t in panels[2].get_xticklabels()] == names
    mixed = {
        (row["layer_a"], row["layer_b"]): row["cka"]
        for row in study.table
        if (row["matcher_a"], row["matcher_b"]) == ("none", "optimal")
    }
    shown = panels[2].images[0].get_array()
    for (a, b), value in mixed.items():
        assert shown[names.index(a), names.index(b)] == value
    assert len(panels[2].texts) == 9
    assert {text.get_text().count(".") for text in panels[2].texts} == {1}
    figure.canvas.draw()

    pair = plot_layers(layers(features, other).table, score="debiased_cka")
    panels = [ax for ax in pair.axes if ax.images]
    assert [ax.images[0].get_array().shape for ax in panels] == [(3, 2)] * 4
    assert [ax.get_ylabel() for ax in panels] == ["one\n" + words[0], "", "one\n" + words[1], ""]
    assert [ax.get_xlabel() for ax in panels] == ["", "", "two\n" + words[0], "two\n" + words[1]]
    assert pair.axes[-1].get_ylabel() == "debiased CKA of RSMs (cosine)"


def test_many_layers_have_no_numbers():
    rng = np.random.default_rng(4)
    many = {f"block {i}": rng.normal(size=(6, 3, 2)) for i in range(26)}
    figure = plot_layers(layers(semrsm.Features(many)).table)
    panels = [ax for ax in figure.axes if ax.images]
    assert [len(ax.texts) for ax in panels] == [0, 0, 0]
    assert list(panels[0].get_yticks()) == []


def test_against_extent(features, other):
    study = layers(features, interval=0.9)
    ax = study.figures["diagonal"]().axes[0]
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "concept vectors S of the layer"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["CKA", "debiased CKA"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "6", "9"]
    points = [line for line in ax.get_lines() if line.get_marker() == "o" and len(line.get_xdata())]
    by_size = sorted((row["vectors_a"], row["cka"]) for row in study.diagonal)
    np.testing.assert_array_equal(points[0].get_xydata(), by_size)
    assert len(ax.collections) == 2  # the intervals of both estimates
    np.testing.assert_array_equal(
        plot_extents(study.table).get_lines()[0].get_xydata(), ax.get_lines()[0].get_xydata()
    )
    both = plot_extents(layers(features, other).diagonal)
    assert [t.get_text() for t in both.get_legend().get_texts()] == [
        "CKA, one",
        "debiased CKA, one",
        "CKA, two",
        "debiased CKA, two",
    ]


def test_lines_join_means_of_one_size():
    features = made(5, "", a=(3, 2, 2), b=(4, 5), c=(3, 1, 1))
    study = layers(features)
    ax = plot_extents(study.diagonal)
    found = {row["layer_a"]: row["cka"] for row in study.diagonal}
    line = ax.get_lines()[0]
    np.testing.assert_allclose(
        line.get_xydata(), [(1, found["c"]), (4, (found["a"] + found["b"]) / 2)]
    )


def test_figures_refuse(features):
    table = layers(features, layers="early").table
    with pytest.raises(InputError, match="^rows: expected the table of a study; got no rows"):
        plot_layers([])
    with pytest.raises(InputError, match="^rows: expected the column 'model_a'"):
        plot_extents([{"layer": "a"}])
    with pytest.raises(InputError, match=r"^score: .*Did you mean 'debiased_cka'\?"):
        plot_layers(table, score="debiased")
    with pytest.raises(InputError, match=r"^kernel: expected one of cosine; got 'rbf'"):
        plot_layers(table, kernel="rbf")
    with pytest.raises(InputError, match="^rows: expected some of the RSMs of one layer without"):
        plot_extents([row for row in table if row["matcher_a"] == row["matcher_b"]])


def test_real_photographs(shared_data):
    """The fewer locations, the less the two kinds of RSM differ, in the biased estimate."""
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite_pytorch")
    photos = sorted((shared_data / "imagenet").iterdir())[::8][:24]
    names = ["_blocks.4", "_blocks.10", "_blocks.15"]
    features = semrsm.extract("efficientnet-lite0", photos, layers=names)
    study = layers(features)
    assert places(study.diagonal, "layer_a", "vectors_a") == list(
        zip(names, (784, 196, 49), strict=True)
    )
    early, middle, late = (row["cka"] for row in study.diagonal)
    assert early < middle < late < 1
    debiased = [row["debiased_cka"] for row in study.diagonal]
    assert debiased[2] == max(debiased)
    assert max(row["largest_gap_b"] for row in study.diagonal) < 1e-5
