"""Retrieval against loops over sets."""

import csv
import importlib
import json
import sys

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.matching.greedy import Greedy
from semrsm.matching.optimal import Optimal
from semrsm.studies import retrieval
from semrsm.studies.baselines import BASELINES, baseline_similarities
from semrsm.studies.object_galleries import ranking

pyplot = pytest.importorskip("matplotlib.pyplot")

N = 12
IDS = [f"frame {i}" for i in range(N)]
WORDS = ["cup", "dog", "hat", "jar", "pen", "car"]


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return semrsm.Features(
        {"early": rng.normal(size=(N, 6, 3, 3)), "late": rng.normal(size=(N, 4, 8))},
        IDS,
        provenance={"model": "made up"},
    )


@pytest.fixture
def objects():
    rng = np.random.default_rng(1)
    found = [set(rng.choice(WORDS, size=rng.integers(1, 4), replace=False)) for _ in range(N)]
    found[4] = set()
    return found


GROUPS = [i // 2 for i in range(N)]


def f1(a, b):
    return 2 * len(a & b) / (len(a) + len(b))


def naive(values, objects, k, score, allowed):
    """F1 of every query that has objects, by sorting lists of pairs."""
    found = []
    for q in range(N):
        if not objects[q]:
            continue
        gallery = [r for r in range(N) if allowed(q, r)]
        best = sorted(gallery, key=lambda r: (-values[q, r], r))[:k]
        if score == "mean":
            found.append(np.mean([f1(objects[q], objects[r]) for r in best]))
        else:
            found.append(f1(objects[q], set().union(*(objects[r] for r in best))))
    return found


def test_table_against_loops(features, objects):
    kernels = ["cosine", "rbf"]
    study = retrieval(features, objects, GROUPS, k=(1, 3, 5), kernels=kernels, resamples=20)
    # layers x (kernels x matchers + baselines) x galleries x scores x k
    assert len(study.table) == 2 * (4 + 4) * 2 * 2 * 3
    allowed = {"self": lambda q, r: q != r, "group": lambda q, r: GROUPS[q] != GROUPS[r]}
    for row in study.table:
        if row["matcher"] in BASELINES:
            values = baseline_similarities(features[row["layer"]])[row["matcher"]]
        else:
            values = semrsm.rsm(
                features[row["layer"]], kernel=row["kernel"], matcher=row["matcher"]
            ).values
        expected = naive(values, objects, row["k"], row["score"], allowed[row["excluded"]])
        assert row["f1"] == pytest.approx(np.mean(expected), abs=1e-12)
        assert row["queries"] == N - 1 == len(expected)
        key = tuple(row[n] for n in ("layer", "kernel", "matcher", "excluded", "score", "k"))
        np.testing.assert_allclose(study.f1[key], expected)
        assert row["f1_low"] <= row["f1"] <= row["f1_high"]
        assert row["f1"] <= row["best"] + 1e-12 or row["score"] == "union"


def test_chance_and_best_against_loops(features, objects):
    study = retrieval(
        features, objects, GROUPS, k=(1, 2), kernels=["cosine"], layers="late", resamples=2
    )
    for row in study.table:
        chance, best = [], []
        for q in study.queries:
            gallery = [
                r
                for r in range(N)
                if r != q and (row["excluded"] == "self" or GROUPS[r] != GROUPS[q])
            ]
            if row["score"] == "mean" or row["k"] == 1:
                single = sorted(f1(objects[q], objects[r]) for r in gallery)
                chance.append(np.mean(single))
                best.append(np.mean(single[-row["k"] :]))
            else:
                unions = {
                    (a, b): f1(objects[q], objects[a] | objects[b])
                    for a in gallery
                    for b in gallery
                    if a < b
                }
                chance.append(np.mean(list(unions.values())))
                # The best first image, and then the best partner for it.
                first = max(gallery, key=lambda r: (f1(objects[q], objects[r]), -r))
                best.append(max(v for pair, v in unions.items() if first in pair))
        exact = row["score"] == "mean" or row["k"] == 1
        assert row["chance"] == pytest.approx(np.mean(chance), abs=1e-12 if exact else 0.02)
        assert row["best"] == pytest.approx(np.mean(best), abs=1e-12)


def test_differences_are_paired(features, objects):
    study = retrieval(features, objects, k=3, kernels=["cosine"], resamples=30, seed=4)
    rng = np.random.default_rng(4)
    counts = rng.multinomial(N - 1, np.full(N - 1, 1 / (N - 1)), size=30)
    for row in study.table:
        own = study.f1[row["layer"], "cosine", row["matcher"], "self", row["score"], 3]
        base = study.f1[row["layer"], "cosine", "none", "self", row["score"], 3]
        if row["matcher"] == "none":
            assert row["difference"] is None
            continue
        drawn = [np.repeat(own - base, c).mean() for c in counts]
        assert row["difference"] == pytest.approx((own - base).mean())
        assert row["difference_low"] == pytest.approx(np.quantile(drawn, 0.025))
        assert row["difference_high"] == pytest.approx(np.quantile(drawn, 0.975))


def test_ties_go_to_the_first_image():
    features = semrsm.Features({"x": np.ones((5, 4, 3))})
    objects = [{"a"}, {"b"}, {"a"}, {"b"}, {"b"}]
    study = retrieval(features, objects, k=1, kernels=["cosine"], baselines=[], resamples=2)
    for row in study.table:  # every query finds image 0, which itself finds image 1
        assert row["f1"] == pytest.approx(1 / 5)


def test_ranking_keeps_to_the_gallery():
    values = np.random.default_rng(2).normal(size=(6, 6))
    gallery = np.random.default_rng(3).random((6, 6)) < 0.6
    gallery[:, 0] = True
    found = ranking(values, np.arange(6), gallery, 99)
    assert found.shape[1] == gallery.sum(axis=1).min()
    for q, order in enumerate(found):
        assert gallery[q, order].all()
        assert (np.diff(values[q, order]) <= 0).all()


def test_an_image_without_objects_asks_nothing_and_counts_zero():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4, 5, 8))
    x[1] = x[0]  # the nearest image of 0 is 1, which shows nothing
    study = retrieval(
        semrsm.Features({"x": x}),
        [{"a"}, set(), {"a"}, {"a"}],
        k=1,
        kernels=["cosine"],
        baselines=[],
        resamples=2,
    )
    np.testing.assert_array_equal(study.queries, [0, 2, 3])
    assert study.f1["x", "cosine", "optimal", "self", "mean", 1][0] == 0
    assert study.protocol["images_without_objects"] == 1


def test_matching_finds_what_has_moved():
    rng = np.random.default_rng(5)
    scenes = rng.normal(size=(6, 16, 24))
    x = np.concatenate([scenes, scenes[:, rng.permutation(16)]])
    objects = [{f"scene {i}"} for i in range(6)] * 2
    study = retrieval(semrsm.Features({"x": x}), objects, k=1, kernels=["cosine"], resamples=50)
    found = {row["matcher"]: row for row in study.table if row["score"] == "mean"}
    assert found["optimal"]["f1"] == found["maxsim"]["f1"] == found["optimal"]["best"] == 1
    assert found["mean-pooled"]["f1"] == 1
    assert found["none"]["f1"] < 0.5
    assert found["optimal"]["difference_low"] > 0


def test_near_duplicates_of_the_group_are_left_out():
    rng = np.random.default_rng(6)
    x = np.repeat(rng.normal(size=(4, 9, 8)), 2, axis=0)  # two frames of each video
    objects = [{video} for video in "aabbaabb"]
    study = retrieval(
        semrsm.Features({"x": x}), objects, list("00112233"), k=1, kernels=["cosine"], resamples=2
    )
    rows = {
        row["excluded"]: row["f1"]
        for row in study.table
        if (row["matcher"], row["score"]) == ("optimal", "mean")
    }
    assert rows["self"] == 1.0
    assert rows["group"] < 1.0


@pytest.mark.parametrize("layer", ["early", "late"])
def test_baselines_against_loops(features, layer):
    x = features[layer]
    if x.ndim == 4:
        x = x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)
    x = x.copy()
    x[2, 1] = 0  # a vector without a direction
    unit = x / np.maximum(np.linalg.norm(x, axis=2, keepdims=True), 1e-300)
    found = baseline_similarities(x)
    for i in range(N):
        for j in range(N):
            affinity = unit[i] @ unit[j].T
            forward, back = affinity.max(axis=1).sum(), affinity.max(axis=0).sum()
            a, b = x[i].mean(axis=0), x[j].mean(axis=0)
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            assert found["mean-pooled"][i, j] == pytest.approx(cosine)
            assert found["maxsim"][i, j] == pytest.approx(forward)
            assert found["maxsim-reverse"][i, j] == pytest.approx(back)
            assert found["maxsim-symmetric"][i, j] == pytest.approx((forward + back) / 2)


def test_maxsim_in_small_pieces(features, monkeypatch):
    whole = baseline_similarities(features["early"])
    # By its module, since the function hides it in the package.
    monkeypatch.setattr(sys.modules[baseline_similarities.__module__], "_PIECE", 2000)
    pieces = baseline_similarities(features["early"])
    np.testing.assert_allclose(pieces["maxsim"], whole["maxsim"], rtol=1e-12)


def test_mappings_by_id(features, objects):
    options = {"k": 2, "kernels": ["cosine"], "resamples": 5}
    shuffled = dict(sorted(zip(IDS, objects, strict=True), reverse=True))
    keys = dict(zip(IDS, GROUPS, strict=True))
    by_id = retrieval(features, shuffled, keys, **options)
    in_order = retrieval(features, objects, GROUPS, **options)
    assert by_id.table == in_order.table


def test_what_is_written(features, objects, tmp_path):
    image = pytest.importorskip("PIL.Image")
    photos = [image.new("RGB", (40, 30 + i), (20 * i, 80, 120)) for i in range(N)]
    study = retrieval(
        features, objects, GROUPS, images=photos, k=2, kernels=["cosine"], resamples=5
    )
    folder = study.write(tmp_path / "out")
    pyplot.close("all")
    names = {path.name for path in folder.iterdir()}
    assert names == {"table.csv", "protocol.json", "curves.png", "gallery.png"}
    with open(folder / "table.csv", newline="") as file:
        assert [float(r["f1"]) for r in csv.DictReader(file)] == [r["f1"] for r in study.table]
    protocol = json.loads((folder / "protocol.json").read_text())
    assert protocol["objects"]["frame 0"] == sorted(objects[0])
    assert protocol["groups"] == {str(g): 2 for g in range(6)}
    assert protocol["k"] == [2]


def test_gallery_names_what_is_shared(features, objects):
    image = pytest.importorskip("PIL.Image")

    class Photos:
        ids = tuple(reversed(IDS))

        def __len__(self):
            return N

        def __getitem__(self, index):
            return image.new("RGB", (8, 8), (N - 1 - index, 0, 0))  # redness is the image's number

    study = retrieval(
        features, objects, images=Photos(), k=1, kernels=["cosine"], layers="late", resamples=2
    )
    figure = study.figures["gallery"]()
    assert len(figure.axes) == 4 * (1 + 3 + 3)
    values = semrsm.rsm(features["late"]).values
    for row in range(4):
        axes = figure.axes[7 * row : 7 * row + 7]
        shown = [int(ax.images[0].get_array()[0, 0, 0]) for ax in axes]
        query, results = shown[0], shown[4:]
        others = [r for r in range(N) if r != query]
        assert results == sorted(others, key=lambda r: (-values[query, r], r))[:3]
        for ax, number in zip(axes[4:], results, strict=True):
            shared = sorted(objects[query] & objects[number])
            words = ax.get_xlabel().replace("\n", " ")
            assert words == (", ".join(shared) if shared else "nothing shared")
    pyplot.close("all")


@pytest.mark.parametrize(
    ("kernels", "searched"),
    [
        (["cosine"], True),
        (["rbf", "laplacian"], True),
        (["linear"], True),
        (["linear", "cosine"], False),
        (["polynomial"], True),  # of an odd degree: it increases with V
        (["polynomial:degree=2"], False),
    ],
)
def test_a_search_gives_the_table_of_the_gram(features, objects, kernels, searched, monkeypatch):
    """Where one search of the nearest images suffices, nothing else changes."""

    def run():
        return retrieval(features, objects, k=(1, 4), kernels=kernels, resamples=3)

    by_search = run()
    assert (("late", "optimal") in by_search.grams) is not searched
    monkeypatch.setattr(
        importlib.import_module("semrsm.studies.object_retrieval"), "_searched", lambda *_: {}
    )
    by_gram = run()
    assert ("late", "optimal") in by_gram.grams
    assert by_search.table == by_gram.table


def test_real_frames(shared_data):
    """Lite0, last block: better than chance, and far from the best order."""
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite_pytorch")
    root = shared_data / "egoobjects"
    facts = json.loads((root / "EgoObjectsV1_unified_sample.json").read_text())
    names = {image["id"]: image["url"] for image in facts["images"]}
    objects = {name: set() for name in names.values()}
    for annotation in facts["annotations"]:
        objects[names[annotation["image_id"]]].add(annotation["category_freeform"].lower())
    features = semrsm.extract("efficientnet-lite0", root / "images", layers="_blocks.15")
    study = retrieval(features, objects, k=(1, 5), kernels=["cosine"], resamples=200)
    for row in study.table:
        if row["matcher"] in ("none", "optimal"):
            assert row["chance"] < row["f1_low"] < row["f1_high"] < row["best"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "^k: expected a whole number >= 1; got 0"),
        ({"k": []}, "^k: expected at least one"),
        ({"k": 12}, "^k: expected at most 11, the other images that the query 'frame 0' has"),
        ({"k": 11}, "^k: expected at most 10, the other images outside its group"),
        ({"objects": [set()] * N}, "^objects: expected at least one image with objects"),
        ({"objects": [{"a"}] * 3}, "^objects: expected 12, a set for each image"),
        ({"objects": ["cup"] * N}, "^objects: expected a set for image 'frame 0'; got 'cup'"),
        ({"objects": {"frame 0": {"a"}}}, "^objects: .* none for 'frame 1' and 10 more"),
        ({"groups": [1]}, "^groups: expected 12, a key for each image"),
        ({"baselines": ["max-sim"]}, r"^baselines: .*Did you mean 'maxsim'\?"),
        ({"baselines": ["maxsim", "maxsim"]}, "^baselines: expected each once"),
        ({"kernels": ["cosin"]}, r"^kernel: .*Did you mean 'cosine'\?"),
        ({"images": [None]}, "^images: expected 12 photographs.*; got 1"),
        ({"confidence": 0}, "^confidence: "),
        ({"layers": "none"}, "^layers: 'none' fits no layer"),
    ],
)
def test_refuses(features, objects, change, message):
    arguments = {"objects": objects, "groups": GROUPS, "k": 1} | change
    with pytest.raises(InputError, match=message):
        retrieval(features, **arguments)


def test_retrieval_figure_refuses():
    from semrsm.plot import plot_gallery, plot_retrieval

    with pytest.raises(InputError, match="^rows: expected the table of a study; got no rows"):
        plot_retrieval([])
    with pytest.raises(InputError, match="^rows: expected the column 'kernel'"):
        plot_retrieval([{"layer": "a"}])
    with pytest.raises(InputError, match="^entries: expected at least one query"):
        plot_gallery([])


def test_a_matcher_says_whether_a_search_gives_its_order(features, objects):
    """A second matcher beside the optimal one would have left no kernel to search with."""

    class Renamed(Optimal):
        label = "renamed"
        searched_by = "bounds"

    class Greedily(Optimal):
        label = "greedily"

    options = {"k": 1, "kernels": ["cosine"], "resamples": 1, "baselines": []}
    assert Optimal().is_searched
    assert not any(one.is_searched for one in (Optimal(0.01), Greedily(), Greedy()))
    given = ["optimal", "optimal:tolerance=0.01", Renamed(), Greedily()]
    found = retrieval(features, objects, matchers=given, **options)
    assert {matcher for _, matcher in found.grams} == {"optimal:tolerance=0.01", "greedily"}
    scores = [row["f1"] for row in found.table if row["layer"] == "late" and row["score"] == "mean"]
    assert len(scores) == 4
    assert len(set(scores)) == 1
