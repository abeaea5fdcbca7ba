"""Class agreement against SciPy and loops."""

import csv
import json

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

import semrsm
from semrsm._internal.statistics import pair_correlations, percentile_interval, resampled_counts
from semrsm.errors import InputError
from semrsm.matching.windows import BatchOptimal
from semrsm.studies import class_agreement
from semrsm.studies.agreement import class_divergences

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return semrsm.Features(
        {"early": rng.normal(size=(14, 6, 3, 3)), "late": rng.normal(size=(14, 4, 8))},
        [f"photo {i}" for i in range(14)],
        rng.normal(scale=2, size=(14, 5)).astype(np.float32),
        {"model": "made up", "state_sha256": "abc"},
    )


# ------------------------------------------------------------------------------------ divergence


def test_divergence_against_scipy():
    logits = np.random.default_rng(1).normal(scale=4, size=(9, 30))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = [[jensenshannon(a, b, base=2) ** 2 for b in p] for a in p]
    found = class_divergences(logits)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(found.diagonal(), np.zeros(9))


def test_divergence_of_zeros_is_exact():
    inf = np.inf
    logits = [[0, -inf, -inf], [-inf, 0, -inf], [0, 0, -inf], [0, -inf, -inf]]
    found = class_divergences(logits)
    assert found[0, 1] == 1.0
    assert found[0, 3] == 0.0
    # ½ [log 4/3 + ½ (log 2/3 + log 2)], in bits
    assert found[0, 2] == pytest.approx(0.5 * (np.log2(4 / 3) + 0.5 * np.log2(4 / 3)))


def test_divergence_of_near_equals_keeps_its_digits():
    """(p − q)² / (8 ln 2 · p …): the entropies that a naive formula subtracts would leave noise."""
    step = 1e-7
    p = np.array([0.5, 0.5])
    q = p + np.array([step, -step])
    expected = ((p - q) ** 2 / (8 * np.log(2) * p)).sum()
    assert class_divergences(np.log([p, q]))[0, 1] == pytest.approx(expected, rel=1e-6)


def test_large_scores_do_not_overflow():
    found = class_divergences([[1e5, 0.0], [0.0, 1e5], [1e5, 1e5]])
    np.testing.assert_allclose(found[0, 1], 1.0)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((3, 1)), "^logits: expected shape .N, K. with at least two classes"),
        (np.zeros(3), "^logits: expected shape"),
        ([[0, np.nan], [0, 1]], "^logits: expected finite class scores"),
        ([[-np.inf, -np.inf], [0, 1]], "^logits: expected finite"),
    ],
)
def test_refuses_logits(logits, message):
    with pytest.raises(InputError, match=message):
        class_divergences(logits)


# ------------------------------------------------------------------------------------ bootstrap


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("ties", [False, True])
def test_bootstrap_against_a_loop_that_copies_images(method, ties):
    rng = np.random.default_rng(2)
    n = 8
    k, d = rng.normal(size=(2, n, n))
    if ties:
        k, d = np.round(k), np.round(d)
    k, d = k + k.T, d + d.T
    pairs = np.triu_indices(n, k=1)
    counts = resampled_counts(n, 25, seed=3)
    assert (counts.sum(axis=1) == n).all()
    samples = [k[pairs], -k[pairs], np.exp(k[pairs])]
    found = pair_correlations(samples, d[pairs], pairs, counts, method)
    correlate = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[method]
    for r, drawn in enumerate(counts):
        images = np.repeat(np.arange(n), drawn)
        kept = [(i, j) for a, i in enumerate(images) for j in images[a + 1 :] if i != j]
        x, y = ([matrix[i, j] for i, j in kept] for matrix in (k, d))
        expected = correlate(x, y).statistic
        assert found[0, r] == pytest.approx(expected, abs=1e-12)
        assert found[1, r] == pytest.approx(-expected, abs=1e-12)
        expected = correlate(np.exp(x), y).statistic
        assert found[2, r] == pytest.approx(expected, abs=1e-12)


def test_bootstrap_of_what_does_not_vary_is_undefined():
    pairs = np.triu_indices(5, k=1)
    counts = resampled_counts(5, 4, seed=0)
    for method in ("pearson", "spearman"):
        found = pair_correlations(np.full(10, 0.1), np.arange(10.0), pairs, counts, method)
        assert np.isnan(found).all()
    assert np.isnan(percentile_interval(found[0], 0.9)).all()


def test_interval_leaves_undefined_resamples_out():
    low, high = percentile_interval([np.nan, *np.linspace(0, 1, 101)], 0.5)
    assert (low, high) == pytest.approx((0.25, 0.75))


# ------------------------------------------------------------------------------------ the study


def test_correlations_against_scipy(features):
    study = class_agreement(features, resamples=10)
    assert len(study.table) == 2 * 6 * 2
    upper = np.triu_indices(14, k=1)
    p = np.exp(features.logits) / np.exp(features.logits).sum(axis=1, keepdims=True)
    divergence = np.array([[jensenshannon(a, b, base=2) ** 2 for b in p] for a in p])[upper]
    for row in study.table:
        similarity = semrsm.rsm(
            features[row["layer"]], kernel=row["kernel"], matcher=row["matcher"]
        ).values[upper]
        expected = stats.pearsonr(similarity, divergence).statistic
        assert row["pearson"] == pytest.approx(expected, abs=1e-6)
        expected = stats.spearmanr(similarity, divergence).statistic
        assert row["spearman"] == pytest.approx(expected, abs=1e-6)
        assert (row["images"], row["pairs"]) == (14, 91)
        assert row["vectors"] == {"early": 9, "late": 4}[row["layer"]]
        assert row["pearson_low"] < row["pearson_high"]


def test_differences_are_paired(features):
    study = class_agreement(features, kernels=["cosine"], layers="early", resamples=40, seed=5)
    none, optimal = study.table
    assert none["pearson_difference"] is None
    for method in ("pearson", "spearman"):
        difference = optimal[method] - none[method]
        assert optimal[f"{method}_difference"] == pytest.approx(difference)
        pairs = np.triu_indices(14, k=1)
        drawn = pair_correlations(
            [study.grams["early", m].rsm("cosine").values[pairs] for m in ("none", "optimal")],
            study.divergences[pairs],
            pairs,
            resampled_counts(14, 40, 5),
            method,
        )
        low, high = np.quantile(drawn[1] - drawn[0], [0.025, 0.975])
        assert optimal[f"{method}_difference_low"] == pytest.approx(low)
        assert optimal[f"{method}_difference_high"] == pytest.approx(high)
        low, high = np.quantile(drawn[1], [0.025, 0.975])
        assert optimal[f"{method}_low"] == pytest.approx(low)


def test_no_baseline_no_difference(features):
    study = class_agreement(
        features, kernels="cosine", matchers=["optimal", BatchOptimal(4)], resamples=5
    )
    assert {row["matcher"] for row in study.table} == {"optimal", "batch-optimal:window=4"}
    assert all(row["spearman_difference"] is None for row in study.table)


def test_a_signal_is_found():
    """Images of one class share their vectors, shuffled: only matching can see the class."""
    rng = np.random.default_rng(3)
    classes = np.repeat(np.arange(4), 4)
    vectors = rng.normal(size=(4, 16, 32))
    x = np.stack([vectors[c][rng.permutation(16)] for c in classes])
    logits = 8.0 * np.eye(4)[classes] + 0.1 * rng.normal(size=(16, 4))
    study = class_agreement(
        semrsm.Features({"x": x}, logits=logits), kernels=["cosine"], resamples=50
    )
    none, optimal = study.table
    assert optimal["pearson"] < -0.95 < -0.5 < none["pearson"]
    assert optimal["pearson_difference_high"] < 0


def test_what_is_written(features, tmp_path):
    seen = []
    study = class_agreement(
        features, kernels=["cosine", "rbf"], resamples=5, progress=lambda *at: seen.append(at)
    )
    assert seen[-1] == (4 * 91, 4 * 91)
    folder = study.write(tmp_path / "out")
    pyplot.close("all")
    names = {path.name for path in folder.iterdir()}
    assert names == {"table.csv", "protocol.json", "scatter.png", "correlations.png"}
    with open(folder / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["pearson"]) for row in rows] == [row["pearson"] for row in study.table]
    protocol = json.loads((folder / "protocol.json").read_text())
    assert protocol["features"]["state_sha256"] == "abc"
    assert protocol["images"] == list(features.ids)
    assert protocol["intervals"]["resamples"] == 5
    assert "log base 2" in protocol["divergence"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernels": ["cosin"]}, r"^kernel: .*Did you mean 'cosine'\?"),
        ({"kernels": []}, "^kernels: expected at least one; got none"),
        ({"kernels": ["rbf", "rbf"]}, "^kernels: expected each once; got 'rbf'"),
        ({"matchers": ["optimum"]}, r"^matcher: .*Did you mean 'optimal'\?"),
        ({"layers": "lat"}, r"^layers: 'lat' fits no layer. Did you mean 'late'\?"),
        ({"confidence": 95}, "^confidence: expected a number between 0 and 1; got 95"),
        ({"resamples": 0}, "^resamples: expected a whole number >= 1; got 0"),
        ({"seed": -1}, "^seed: expected a whole number >= 0; got -1"),
    ],
)
def test_refuses(features, options, message):
    with pytest.raises(InputError, match=message):
        class_agreement(features, **options)


def test_refuses_features_without_classes(features):
    bare = semrsm.Features(dict(features))
    with pytest.raises(InputError, match="^features: expected logits"):
        class_agreement(bare)
    with pytest.raises(InputError, match="^features: expected what semrsm.extract"):
        class_agreement(features["early"])
    three = semrsm.Features({"x": np.ones((3, 2, 2))}, logits=np.eye(3))
    with pytest.raises(InputError, match="^features: expected at least 4 images; got 3"):
        class_agreement(three)
    same = semrsm.Features({"x": np.ones((5, 2, 2))}, logits=np.ones((5, 3)))
    with pytest.raises(InputError, match="^features: expected images of different classes"):
        class_agreement(same)


def test_real_frames(shared_data):
    """Lite0, last block: an independent measurement on other frames gave −0.517 and −0.550."""
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite_pytorch")
    frames = shared_data / "egoobjects" / "images"
    features = semrsm.extract("efficientnet-lite0", frames, layers="_blocks.15")
    study = class_agreement(features, kernels=["cosine", "rbf"], resamples=100)
    for none, optimal in (study.table[:2], study.table[2:]):
        assert -0.7 < optimal["pearson"] < none["pearson"] < -0.3
        assert optimal["spearman"] < none["spearman"]
        assert none["pearson_high"] < 0


# ------------------------------------------------------------------------------------ figures


def test_scatter_draws_points_or_density():
    from semrsm.plot import plot_agreement

    rng = np.random.default_rng(4)
    x = rng.normal(size=4000)
    few = plot_agreement(x[:300], -x[:300] + 0.1)
    many = plot_agreement(x, -x)
    assert few.get_title(loc="right").startswith("r −1.000")
    assert len(few.collections[0].get_offsets()) == 300
    assert many.collections[0].get_array().sum() == 4000  # every pair is in one hexagon
    pyplot.close("all")


def test_scatter_refuses():
    from semrsm.plot import plot_agreement, plot_agreements

    with pytest.raises(InputError, match="^divergence: expected one value for each of the 3"):
        plot_agreement([1, 2, 3], [1, 2])
    with pytest.raises(InputError, match="^panels: expected every matcher at every layer"):
        plot_agreements({("a", "none"): ([1, 2], [1, 2]), ("b", "optimal"): ([1, 2], [1, 2])})
    with pytest.raises(InputError, match="^panels: expected at least one"):
        plot_agreements({})
