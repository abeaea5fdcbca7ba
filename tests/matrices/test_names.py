"""RSMs are matched by id: in any order, on the images in common, and never by chance."""

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.matrices.names import are_default

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 8, 4, 6))
NAMES = list("abcdefgh")


def rsms():
    return semrsm.rsm(X, ids=NAMES), semrsm.rsm(Y, ids=NAMES)


@pytest.mark.parametrize(
    "statistic",
    [semrsm.cka, lambda a, b, **o: semrsm.cka(a, b, debiased=True, **o), semrsm.rsa],
    ids=["cka", "debiased cka", "rsa"],
)
class TestOrder:
    def test_any_order_gives_the_same_value(self, statistic):
        a, b = rsms()
        expected = statistic(a, b).value
        shuffled = b.reorder(list("hgfacbed"))
        assert statistic(a, shuffled).value == pytest.approx(expected, rel=1e-12)
        assert statistic(shuffled, a).value == pytest.approx(expected, rel=1e-12)
        # Without the ids it is another one: the order counts.
        assert abs(statistic(a.values, shuffled.values).value - expected) > 1e-3

    def test_images_in_common(self, statistic):
        a, b = rsms()
        less = b.select(list("gfedcb"))
        with pytest.raises(InputError, match=r"2 only in a \(a, h\). on='common' compares the 6"):
            statistic(a, less)
        found = statistic(a, less, on="common")
        expected = statistic(*(x.select(list("bcdefg")) for x in (a, b))).value
        assert found.value == pytest.approx(expected, rel=1e-12)
        assert found.images == 6
        assert found.left_out == (("a", "h"), ())
        assert "2 only in a" in repr(found)

    def test_a_name_is_no_index(self, statistic):
        a, b = rsms()
        unnamed = semrsm.rsm(Y)
        with pytest.raises(InputError, match=r"^a, b: expected ids in both; a has names \(a, b"):
            statistic(a, unnamed)
        with pytest.raises(InputError, match="b has names"):
            statistic(unnamed, b, on="common")
        assert statistic(a, b.values).value == pytest.approx(statistic(a, b).value)

    def test_nothing_in_common(self, statistic):
        a, _ = rsms()
        other = semrsm.rsm(Y, ids=[f"{name}.png" for name in NAMES])
        with pytest.raises(InputError, match="their ids share none"):
            statistic(a, other, on="common")

    def test_on_is_known(self, statistic):
        with pytest.raises(InputError, match="^on: expected 'all' or 'common'; got 'some'"):
            statistic(*rsms(), on="some")


def test_matrices_on_disk_are_put_in_order_too(tmp_path):
    pytest.importorskip("zarr")
    a, b = rsms()
    stored = semrsm.gram(Y, ids=NAMES, out=tmp_path / "run.zarr").rsm("cosine")
    shuffled = a.reorder(list("hgfacbed"))
    assert semrsm.cka(shuffled, stored).value == pytest.approx(semrsm.cka(a, b).value, rel=1e-12)


def test_default_ids_are_no_names():
    assert are_default(("0", "1", "2"))
    assert not are_default(("0", "2", "1"))


def test_missing_pairs_are_left_out():
    scipy = pytest.importorskip("scipy.stats")
    a, b = rsms()
    values = a.values.copy()
    values[0, 1] = values[1, 0] = values[4, 6] = values[6, 4] = np.nan
    measured = semrsm.RSM.from_array(values, NAMES)
    found = semrsm.rsa(measured, b)
    upper = np.triu_indices(8, k=1)
    kept = np.isfinite(values[upper])
    expected = scipy.spearmanr(values[upper][kept], b.values[upper][kept]).statistic
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.missing == 2
    assert "2 pairs missing" in repr(found)
    low, high = semrsm.rsa(measured, b, interval=0.9, resamples=50).interval
    assert low < high
    with pytest.raises(InputError, match="^a: expected finite values"):
        semrsm.cka(measured, b)
    with pytest.raises(InputError, match="^a: expected finite values"):
        semrsm.rsa(values, b)  # an array with NaN is more often a mistake


def test_a_comparison_is_a_number():
    found = semrsm.rsa(*rsms(), interval=0.9, resamples=20)
    assert float(found) == found.value
    assert f"{found:.3f}" == f"{found.value:.3f}"
    assert f"{found}" == repr(found) == str(found)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: semrsm.cka(semrsm.gram(X), semrsm.gram(X)), r'^a: .*a Gram, .*a\.rsm\("linear"\)'),
        (lambda: semrsm.cka(X, X), r"^a: expected an RSM \(N, N\).*semrsm\.rsm\(a\)"),
        (lambda: semrsm.rsm(X, "rbf"), "^y: expected features; got the text 'rbf'. kernel= and"),
        (lambda: semrsm.rsm({"conv": X}), r"^x: .* one layer; got 1 layers .*pass x\['conv'\]"),
        (lambda: semrsm.gram(X[:, 0]), r"^x: .*Pooled vectors \(N, D\).*x\[:, None\]"),
        (lambda: semrsm.gram([X, X]), r"^x\[0\]: .*numpy\.stack\(x\)"),
        (lambda: semrsm.gram([X, X[:, :2]]), r"^x\[0\]: .*reshape"),
        (lambda: semrsm.gram(X, ids=["a"] * 8), "^ids: .*'a' more than once. Classes .* labels"),
        (lambda: semrsm.gram(semrsm.rsm(X)), "^x: expected features; got RSM"),
    ],
)  # fmt: skip
def test_natural_wrong_calls_get_the_right_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


def test_features_for_an_rsm_name_a_layer():
    features = semrsm.Features({"conv": X, "late": Y}, ids=NAMES)
    with pytest.raises(InputError, match=r"^x: expected the features of one layer.*x\['conv'\]"):
        semrsm.rsm(features)
    with pytest.raises(InputError, match=r"^a: expected an RSM; got features"):
        semrsm.cka(features, features)


def test_a_faiss_index_is_no_gallery():
    faiss = pytest.importorskip("faiss")
    with pytest.raises(InputError, match="^gallery: .* IndexFlatL2, which holds pooled vectors"):
        semrsm.topk(X, faiss.IndexFlatL2(6), k=2)


def test_ids_travel_with_what_has_them(tmp_path):
    features = semrsm.Features({"conv": X}, ids=NAMES)
    tokens = features.tokens("conv")
    assert semrsm.gram(tokens).row_ids == tuple(NAMES)
    assert semrsm.rsm(tokens, ids=range(8, 16)).row_ids[3] == "11"
    assert semrsm.gram(tokens, tokens).column_ids == tuple(NAMES)
    assert semrsm.gram(tokens.take(np.array([1, 5]))).row_ids == ("b", "f")
    found = semrsm.topk(tokens.part(0, 2), tokens, k=2)
    assert (found.query_ids, found.gallery_ids) == (("a", "b"), tuple(NAMES))
    assert semrsm.Index(tokens).ids == tuple(NAMES)
    xarray = pytest.importorskip("xarray")
    labelled = xarray.DataArray(X, dims=("image", "place", "channel"), coords={"image": NAMES})
    assert semrsm.gram(labelled).row_ids == tuple(NAMES)
    unlabelled = xarray.DataArray(X, dims=("image", "place", "channel"))
    assert semrsm.gram(unlabelled).row_ids == tuple(map(str, range(8)))


def test_progress_true_writes_a_line(capsys):
    semrsm.gram(X, progress=True)
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.endswith("\n")
    assert "28 of 28 (100 %) in " in written.err
    with pytest.raises(InputError, match="^progress: expected True or a function"):
        semrsm.gram(X, progress="yes")
