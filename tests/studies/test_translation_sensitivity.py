"""Translation against direct recomputation, on a small network and made-up photographs."""

import csv
import json

import numpy as np
import pytest

import semrsm
from semrsm.datasets.crops import ShiftedCrops
from semrsm.errors import InputError
from semrsm.features.models import Model
from semrsm.features.preprocess import Preprocess
from semrsm.studies import STUDIES
from semrsm.studies.result import joined
from semrsm.studies.translation_sensitivity import example_match, pairs_by_shift, translation

torch = pytest.importorskip("torch", reason="features need torch")
image = pytest.importorskip("PIL.Image")
pyplot = pytest.importorskip("matplotlib.pyplot")

SHIFTS = (0.0, 0.25, 0.5)
SIDE = 24
SCALING = ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))  # mean and standard deviation
KEYS = ("layer", "kernel", "matcher", "shift")


class Small(torch.nn.Module):
    """Two layers of maps, 12 and 6 to a side, and a flattened one without places."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.body = torch.nn.Conv2d(5, 6, 3, stride=2, padding=1)

    def forward(self, x):
        return self.body(torch.relu(self.stem(x)))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    # A size and a resize that differ: the study must not cut the border of its crops away.
    return Model("small", Small().eval(), Preprocess(SIDE, 30, *SCALING), ("stem", "body"))


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    found = []
    for i in range(3):
        coarse = rng.integers(0, 256, size=(6, 10, 3), dtype=np.uint8)
        if i == 2:
            coarse = coarse.transpose(1, 0, 2)  # upright: it is moved downwards
        photo = image.fromarray(coarse)
        found.append((f"photo {i}", photo.resize((8 * photo.width, 8 * photo.height))))
    return found


@pytest.fixture(scope="module")
def study(model, photos):
    return translation(photos, model, shifts=SHIFTS, kernels=("cosine", "rbf"), batch_size=4)


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def test_a_row_for_each_layer_kernel_matcher_and_shift(study):
    found = [tuple(row[key] for key in KEYS) for row in study.table]
    expected = {
        (layer, kernel, matcher, shift)
        for layer in ("stem", "body")
        for kernel in ("cosine", "rbf")
        for matcher in ("none", "optimal")
        for shift in SHIFTS[1:]
    }
    assert len(found) == len(expected) == 16
    assert set(found) == expected
    assert {(row["model"], row["layer"], row["vectors"]) for row in study.table} == {
        ("small", "stem", 144),
        ("small", "body", 36),
    }


def test_features_are_those_of_the_whole_crops(study, model, photos):
    """What the network saw is the crop at its input size, and nothing is cut away from it."""
    crops = ShiftedCrops(photos, SHIFTS, size=SIDE)
    preprocess = Preprocess(SIDE, SIDE, *SCALING, fit="crop")
    pixels = np.stack([np.asarray(preprocess(crops[i])) for i in range(len(crops))])
    with torch.no_grad():
        stem = model.module.stem(torch.from_numpy(pixels))
    np.testing.assert_allclose(study.features["stem"], stem.numpy(), rtol=1e-4, atol=1e-5)
    assert study.features.ids == crops.ids
    assert study.features.ids[:3] == ("photo 0 +0", "photo 0 +1/4", "photo 0 +1/2")


def test_values_by_direct_recomputation(study):
    photo = [name.rsplit(" +", 1)[0] for name in study.features.ids]
    shift = np.tile(SHIFTS, 3)
    count = len(photo)
    for row in study.table:
        rsm = semrsm.gram(study.features[row["layer"]], matcher=row["matcher"]).rsm(row["kernel"])
        same, different = [], []
        for i in range(count):
            for j in range(i + 1, count):
                if photo[i] != photo[j]:
                    different.append(rsm.values[i, j])
                elif abs(shift[i] - shift[j]) == row["shift"]:
                    same.append(rsm.values[i, j])
        assert len(different) == 27
        assert len(same) == (6 if row["shift"] == 0.25 else 3)
        wins = [(s > d) + 0.5 * (s == d) for s in same for d in different]
        spread = np.sqrt((np.var(same) + np.var(different)) / 2)
        assert row["same_median"] == pytest.approx(np.median(same), rel=1e-12)
        assert row["different_median"] == pytest.approx(np.median(different), rel=1e-12)
        assert row["auc"] == pytest.approx(np.mean(wins), rel=1e-12)
        gap = np.mean(same) - np.mean(different)
        assert row["separation"] == pytest.approx(gap / spread, rel=1e-9)
        assert row["largest_gap"] == study.grams[row["layer"], row["matcher"]].largest_gap


def test_matching_never_makes_a_photograph_less_alike(study):
    """V of the best matching is at least that of none, for any network and any photographs."""
    for layer in study.features:
        none, optimal = (study.grams[layer, m].values for m in ("none", "optimal"))
        assert (optimal >= none - 1e-5 * np.abs(none).max()).all()


def test_pairs_by_shift():
    groups = np.array(["a", "a", "a", "b", "b"])
    shifts = np.array([0.0, 0.1, 0.3, 0.0, 0.3])
    values = np.arange(25.0).reshape(5, 5)
    same, different = pairs_by_shift(values, groups, shifts)
    np.testing.assert_array_equal(same, [1, 2, 7, 19])
    np.testing.assert_array_equal(different, [3, 4, 8, 9, 13, 14])
    # 0.3 − 0.1 is not 0.2 in floating point, and is that shift all the same.
    for shift, expected in ((0.1, [1]), (0.2, [7]), (0.3, [2, 19]), (0.4, [])):
        same, others = pairs_by_shift(values, groups, shifts, shift)
        np.testing.assert_array_equal(same, expected)
        np.testing.assert_array_equal(others, different)


def test_shifts_in_any_order(model, photos, study):
    shuffled = translation(photos, model, shifts=(0.5, 0.0, 0.25), kernels=["cosine"])
    expected = [row for row in study.table if row["kernel"] == "cosine"]
    assert len(shuffled.table) == len(expected)
    by_key = {tuple(row[key] for key in KEYS): row for row in shuffled.table}
    for row in expected:
        found = by_key[tuple(row[key] for key in KEYS)]
        assert found["same_median"] == pytest.approx(row["same_median"], rel=1e-5)
        assert found["auc"] == row["auc"]


def test_options_reach_their_places(model, photos):
    seen = []
    study = translation(
        photos[:2],
        model,
        layers="body",
        shifts=(0.0, 0.5),
        kernels=["rbf"],
        matchers=["greedy"],
        workers=1,
        memory="64MB",
        progress=lambda *at: seen.append(at),
    )
    (row,) = study.table
    assert tuple(row[key] for key in KEYS) == ("body", "rbf", "greedy", 0.5)
    assert seen[-1] == (4, 4)


def test_a_bare_module_needs_layers(photos):
    """It has no preprocessing either, so that its crops must be made to fit by hand."""
    with pytest.raises(InputError, match="^layers: expected names of layers, since the model rec"):
        translation(photos, Small())


def test_the_match_that_is_drawn(study):
    found, left, right, grid = example_match(study.crops, study.features, "body")
    assert (left, right, grid) == (0, 1, (6, 6))
    expected = semrsm.match(
        *(study.features["body"][i].reshape(6, 36).T for i in (left, right)),
    )
    assert found.value == expected.value


def test_what_is_written(study, tmp_path):
    folder = study.write(tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {
        "table.csv",
        "protocol.json",
        "rsms.png",
        "distributions.png",
        "match.png",
    }
    with open(folder / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["auc"]) for row in rows] == [row["auc"] for row in study.table]
    protocol = json.loads((folder / "protocol.json").read_text(encoding="utf-8"))
    assert protocol["photographs"] == ["photo 0", "photo 1", "photo 2"]
    assert protocol["shifts"] == list(SHIFTS)
    assert protocol["kernels"] == ["cosine", "rbf"]
    assert protocol["matchers"] == ["none", "optimal"]
    assert protocol["features"]["model"] == "small"
    with pytest.raises(InputError, match="^out: .* has files in it"):
        study.write(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": ["cosin"]}, r"^kernel: .*Did you mean 'cosine'\?"),
        ({"layers": "stemm"}, r"^layers: 'stemm' fits no layer\. Did you mean 'stem'\?"),
        ({"shifts": (0.0,)}, "^shifts: expected two or more different numbers >= 0"),
        ({"shifts": (0.0, -0.5)}, "^shifts: expected two or more different numbers >= 0"),
        ({"shifts": (0.0, 0.5, 0.5)}, "^shifts: expected two or more different numbers >= 0"),
        ({"shifts": (0.0, 500.0)}, "^shifts: the photograph 'photo 0', 80 x 48, has no room"),
        ({"matchers": ["optimum"]}, r"^matcher: .*Did you mean 'optimal'\?"),
        ({"batch_size": 0}, "^batch_size: expected a whole number >= 1; got 0"),
    ],
)
def test_refuses(model, photos, change, message):
    with pytest.raises(InputError, match=message):
        translation(photos, model, **({"shifts": SHIFTS} | change))


def test_refuses_one_photograph(model, photos):
    with pytest.raises(InputError, match="^photos: expected at least two photographs; got 1"):
        translation(photos[:1], model)


def test_real_photographs():
    """The paper's direction: matching knows moved photographs again, location by location not."""
    pytest.importorskip("efficientnet_lite_pytorch")
    samples = pytest.importorskip("semrsm.datasets.samples")
    pytest.importorskip("skimage")
    photos = [photo for photo in samples.sample_photos() if photo[0] in ("cat", "coffee", "rocket")]
    study = translation(photos, layers="_blocks.10", shifts=(0.0, 0.25, 0.5), kernels=["cosine"])
    found = {(row["shift"], row["matcher"]): row for row in study.table}
    for shift in (0.25, 0.5):
        none, optimal = found[shift, "none"], found[shift, "optimal"]
        assert optimal["auc"] >= none["auc"]
        assert optimal["same_median"] > none["same_median"]
        assert optimal["separation"] > none["separation"]
        assert optimal["largest_gap"] <= 1e-6


def test_networks_together_have_the_page_of_one(model, photos, study, tmp_path):
    """Joined results once lost the explorer."""
    from semrsm.report import write_study_report

    other = Model("other", Small().eval(), Preprocess(SIDE, 30, *SCALING), ("body",))
    second = translation(photos, other, shifts=SHIFTS, kernels=("cosine", "rbf"), batch_size=4)
    alone = write_study_report(study, tmp_path / "one.html").read_text(encoding="utf-8")
    both = joined([study, second])
    page = write_study_report(both, tmp_path / "two.html").read_text(encoding="utf-8")
    for text in (alone, page):
        assert 'id="explore"' in text
    for layer in ("small: stem", "small: body", "other: body"):
        assert layer in page
    assert "went through small and other." in page
    assert "All layers: other" in page
    assert page.count("<figure>") == 2 * alone.count("<figure>") > 0
    # Networks that saw other photographs have no matrix in common, and a page without it.
    third = translation(photos[:2], other, shifts=SHIFTS, batch_size=4)
    apart = write_study_report(joined([study, third]), tmp_path / "three.html")
    assert 'id="explore"' not in apart.read_text(encoding="utf-8")


def test_the_page_tells_numbers_of_an_optimal_matcher_with_options(model, photos):
    matchers = ("none", "optimal:tolerance=0.01")
    found = translation(photos, model, shifts=SHIFTS, matchers=matchers, batch_size=4)
    page = STUDIES["translation"].explored(found)
    assert "by the first and" in page.lead
