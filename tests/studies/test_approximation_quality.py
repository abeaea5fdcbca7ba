"""Approximation against independent matchers, and peers that come back or do not."""

import csv
import importlib.util
import json

import numpy as np
import pytest

import oracles
import semrsm
from semrsm.errors import InputError
from semrsm.matching.greedy import TopKGreedy
from semrsm.matching.optimal import Optimal
from semrsm.matching.windows import BatchOptimal
from semrsm.studies import approximation, peers

pyplot = pytest.importorskip("matplotlib.pyplot")

QUICK = {"sizes": (), "peers": (), "rounds": 1}


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return semrsm.Features(
        {"early": rng.random(size=(7, 6, 5, 5)), "late": rng.normal(size=(7, 9, 8))},
        [f"photo {i}" for i in range(7)],
        provenance={"model": "made up"},
    )


def test_quality_against_independent_matchers(features):
    matchers = ["none", "greedy", TopKGreedy(k=4), BatchOptimal(window=4), "optimal"]
    study = approximation(features, matchers=matchers, images=5, **QUICK)
    by_name = {
        "none": oracles.MATCHERS["none"],
        "greedy": oracles.greedy,
        "topk-greedy:k=4": lambda a, b: oracles.topk_greedy(a, b, 4),
        "batch-optimal:window=4": lambda a, b: oracles.batch_optimal(a, b, 4),
        "optimal": oracles.optimal,
    }
    chosen = [0, 1, 2, 4, 5]
    assert study.protocol["images"] == [f"photo {i}" for i in chosen]
    assert len(study.table) == 2 * 5
    for row in study.table:
        x = features[row["layer"]]
        x = x.reshape(7, 6, 25).transpose(0, 2, 1) if x.ndim == 4 else x
        x = x[chosen]
        expected, undefined = [], 0
        for i in range(5):
            for j in range(i + 1, 5):
                best = oracles.inner_product(x[i], x[j], oracles.optimal(x[i], x[j]))
                own = oracles.inner_product(x[i], x[j], by_name[row["matcher"]](x[i], x[j]))
                if best > 0:
                    expected.append(own / best)
                else:
                    undefined += 1
        np.testing.assert_allclose(study.qualities[row["layer"], row["matcher"]], expected)
        assert row["quality_median"] == pytest.approx(np.median(expected))
        assert row["quality_5_percent"] == pytest.approx(np.quantile(expected, 0.05))
        assert row["quality_mean"] == pytest.approx(np.mean(expected))
        assert row["quality_min"] == pytest.approx(np.min(expected))
        assert (row["pairs"], row["undefined"]) == (len(expected), undefined)
        assert row["milliseconds"] > 0
        assert row["solver"] == "semrsm"


def test_pairs_without_a_positive_optimum_are_counted():
    """Vectors of one image all point away from those of the other."""
    x = np.stack([np.ones((4, 3)), -np.ones((4, 3)), np.full((4, 3), 2.0)])
    study = approximation(semrsm.Features({"x": x}), matchers=["greedy"], **QUICK)
    for row in study.table:
        assert (row["pairs"], row["undefined"]) == (1, 2)
        assert row["quality_median"] == 1


def test_the_exact_matcher_joins(features):
    study = approximation(features, layers="late", matchers=["greedy"], **QUICK)
    assert [row["matcher"] for row in study.table] == ["greedy", "optimal"]
    study = approximation(features, layers="late", matchers=[Optimal(1e-9)], **QUICK)
    assert [row["matcher"] for row in study.table] == ["optimal:tolerance=1e-09"]


def test_a_loose_matcher_is_not_the_reference(features):
    """Its own quality was 1, and nothing exact was beside it."""
    study = approximation(features, layers="late", matchers=[Optimal(0.5), "greedy"], **QUICK)
    values = {
        name: semrsm.gram(features["late"], matcher=matcher).values[np.triu_indices(7, k=1)]
        for name, matcher in (("loose", Optimal(0.5)), ("greedy", "greedy"), ("exact", "optimal"))
    }
    names = [row["matcher"] for row in study.table]
    assert names == ["optimal:tolerance=0.5", "greedy", "optimal"]
    defined = values["exact"] > 0
    for row, name in zip(study.table, values, strict=True):
        quality = values[name][defined] / values["exact"][defined]
        assert row["quality_mean"] == pytest.approx(quality.mean(), abs=1e-12)


def test_fields_are_smooth_and_drawn_from_the_seed():
    from semrsm.studies.approximation_sources import smooth_fields

    found = smooth_fields(2, 12, 5, seed=3)
    assert found.shape == (2, 144, 5)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, smooth_fields(2, 12, 5, seed=3))
    assert not np.array_equal(found, smooth_fields(2, 12, 5, seed=4))
    grid = found.reshape(2, 12, 12, 5)
    near = np.abs(np.diff(grid, axis=1)).mean()
    far = np.abs(grid - grid[:, ::-1]).mean()
    assert near < 0.6 * far


@pytest.mark.parametrize("name", sorted(peers.PEERS))
def test_peers_are_exact(name):
    if peers.installed(name) is None:
        pytest.skip(f"{name} is not installed")
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(2, 3, 20, 6)).astype(np.float32)
    found = peers.time_peer(name, left, right, rounds=2, limit=20.0)
    assert found.failure == ""
    expected = [
        oracles.inner_product(a, b, oracles.optimal(a, b)) for a, b in zip(left, right, strict=True)
    ]
    np.testing.assert_allclose(found.values, expected, rtol=1e-4)
    assert 0 < found.seconds < 5


def test_peers_in_the_table(features, tmp_path):
    pytest.importorskip("scipy")
    seen = []
    study = approximation(
        features,
        layers="early",
        matchers=["none", "greedy"],
        sizes=[16],
        channels=8,
        peers=["scipy"],
        rounds=1,
        progress=lambda *at: seen.append(at),
    )
    peers = [row for row in study.table if row["solver"] == "scipy"]
    assert [(row["layer"], row["matcher"]) for row in peers] == [
        ("early", "optimal"),
        ("S=16", "optimal"),
    ]
    for row in peers:
        assert row["quality_min"] == pytest.approx(1, abs=1e-5)
    assert seen[-1] == (8, 8)
    assert study.protocol["peers"]["scipy"] == importlib.import_module("scipy").__version__
    folder = study.write(tmp_path / "out")
    pyplot.close("all")
    names = {path.name for path in folder.iterdir()}
    assert names == {"table.csv", "protocol.json", "quality.png", "runtime.png"}
    with open(folder / "table.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(study.table) == 2 * 4
    assert json.loads((folder / "protocol.json").read_text())["left_out"] == []


def test_a_peer_that_does_not_come_back_is_stopped(features, monkeypatch):
    monkeypatch.setattr(peers, "START", 0.0)  # nothing starts within no time
    study = approximation(
        sizes=[16, 25], matchers=["greedy"], peers=["scipy"], rounds=1, limit=1e-3, channels=4
    )
    assert {row["solver"] for row in study.table} == {"semrsm"}
    assert study.protocol["left_out"] == [
        "scipy: did not end within 0.001 s at S = 16",
        "scipy: not tried at S=25, S = 25",
    ]


def test_a_peer_that_fails_is_named(monkeypatch):
    monkeypatch.setitem(peers.PEERS, "broken", peers.PEERS["scipy"])  # unknown to the process
    study = approximation(sizes=[16], matchers=["greedy"], peers=["broken"], rounds=1, channels=4)
    assert study.protocol["left_out"] == ["broken: failed: KeyError: 'broken' at S = 16"]


def test_a_peer_that_is_not_installed_is_left_out(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "lap" else find(n))
    study = approximation(sizes=[16], matchers=["greedy"], peers=["lapx"], rounds=1, channels=4)
    assert study.protocol["left_out"] == ["lapx: not installed"]
    assert study.protocol["peers"] == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": [50]}, "^sizes: expected squares, such as 49 or 4096; got 50"),
        ({"sizes": [1]}, "^sizes: expected a whole number >= 4; got 1"),
        ({"peers": ["scippy"]}, r"^peers: .*Did you mean 'scipy'\?"),
        ({"images": 1}, "^images: expected a whole number >= 2; got 1"),
        ({"limit": 0}, "^limit: expected seconds > 0; got 0"),
        ({"rounds": 0}, "^rounds: expected a whole number >= 1; got 0"),
        ({"matchers": ["gredy"]}, r"^matcher: .*Did you mean 'greedy'\?"),
        ({"layers": "x"}, "^layers: 'x' fits no layer"),
    ],
)
def test_refuses(features, change, message):
    with pytest.raises(InputError, match=message):
        approximation(features, **(QUICK | change))


def test_refuses_nothing_to_measure():
    with pytest.raises(InputError, match="^features: expected some, or sizes of fields"):
        approximation(None, sizes=[])
    with pytest.raises(InputError, match="^layers: expected None, since there are no features"):
        approximation(None, layers="x")


def test_figures(features):
    from semrsm.plot import plot_quality, plot_runtime

    study = approximation(features, matchers=["none", "greedy"], **QUICK)
    figure = plot_quality(study.table)
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in panels] == [
        "early: S = 25, C = 6",
        "late: S = 9, C = 8",
    ]
    assert any(text.get_text().startswith("no match: ") for text in panels[0].texts)
    ax = plot_runtime(study.table)
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert set(lines) == {"no match", "greedy", "optimal"}
    np.testing.assert_array_equal(lines["greedy"].get_xdata(), [9, 25])
    with pytest.raises(InputError, match="^rows: expected the table"):
        plot_quality([])
    pyplot.close("all")


def test_the_optimal_matcher_is_drawn_bold_with_options_too():
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    from semrsm.plot import plot_runtime

    table = [
        {"layer": "x", "vectors": 4 * k, "channels": 2, "solver": "semrsm", "matcher": matcher}
        | {"milliseconds": k}
        for matcher in ("greedy", "optimal:tolerance=0.01")
        for k in (1, 2)
    ]
    thin, bold = plot_runtime(table).lines
    assert thin.get_linewidth() < bold.get_linewidth()
