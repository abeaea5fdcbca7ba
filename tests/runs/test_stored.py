"""A Gram on disk is the Gram in memory, in parts of any shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import semrsm
from runs.run_helpers import KEY, images
from semrsm.errors import InputError
from semrsm.runs import compute_run, open_run


@pytest.fixture(scope="module")
def stored(undisturbed):
    return open_run(undisturbed).gram


@pytest.fixture(scope="module")
def wanted(x):
    return semrsm.gram(np.array(x), workers=1)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two sets of images, the first of unequal S, as a run and as a Gram."""
    ragged = [images(1, 1 + n % 5, 3, seed=n)[0] for n in range(40)]
    y = images(20, 6, seed=3)
    run = tmp_path_factory.mktemp("two") / "run.zarr"
    made = compute_run({"x": ragged}, run, others={"x": y}, workers=1)
    return made[KEY], semrsm.gram(ragged, y, workers=1)


ENDS = st.one_of(st.none(), st.integers(-90, 90))

PARTS = st.builds(slice, ENDS, ENDS)


def check_part(stored, wanted, rows, columns):
    for found, whole in (
        (stored.block(rows, columns), wanted.values),
        (stored.upper_bounds(rows, columns), wanted.upper_bound),
    ):
        assert found.dtype == np.float64
        assert found.shape == whole[rows, columns].shape
        np.testing.assert_allclose(found, whole[rows, columns], rtol=1e-6, atol=1e-5)


@given(rows=PARTS, columns=PARTS)
def test_any_block_of_one_set(stored, wanted, rows, columns):
    check_part(stored, wanted, rows, columns)


@given(rows=PARTS, columns=PARTS)
def test_any_block_of_two_sets(two, rows, columns):
    check_part(*two, rows, columns)


@pytest.mark.parametrize(
    ("rows", "columns"), [(slice(3, 40), slice(3, 40)), (slice(20, 60), slice(-70, 33))]
)
def test_a_part_is_a_gram(stored, wanted, rows, columns):
    part = stored.part(rows, columns)
    np.testing.assert_allclose(part.values, wanted.values[rows, columns], rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(part.row_squared_norms, wanted.row_squared_norms[rows])
    np.testing.assert_array_equal(part.column_squared_norms, wanted.column_squared_norms[columns])
    assert part.row_ids == wanted.row_ids[rows]
    assert part.column_ids == wanted.column_ids[columns]
    assert part.is_symmetric == (rows == columns)
    assert (part.matcher, part.dtype) == ("optimal", np.float32)
    assert (part.is_matched, part.bounds) == (stored.is_matched, stored.bounds) == (True, "optimal")


def test_all_of_it(stored, wanted, two):
    for one, other in ((stored, wanted), two):
        found = one.load()
        np.testing.assert_allclose(found.values, other.values, rtol=1e-6, atol=1e-5)
        assert found.row_ids == other.row_ids
        assert found.column_ids == other.column_ids
        assert found.largest_gap == pytest.approx(one.largest_gap)
        assert one.shape == found.values.shape
    assert np.array_equal(stored.load().values, stored.load().values.T)
    assert repr(stored).startswith("StoredGram(70 x 70, matcher='optimal', largest relative gap=")


def test_views(stored, wanted):
    for kernel in ("cosine", "linear"):
        view = stored.rsm(kernel)
        whole = wanted.rsm(kernel).values
        np.testing.assert_allclose(view.load().values, whole, rtol=1e-5, atol=1e-5)
        part = slice(40, 60), slice(5, 50)
        np.testing.assert_allclose(view.block(*part), whole[part], rtol=1e-5, atol=1e-5)
        assert (view.shape, view.is_symmetric, view.kernel) == ((70, 70), True, kernel)


def test_what_cannot_be_read(stored):
    for part in (slice(0, 9, 2), slice(None, None, -1), 3):
        with pytest.raises(InputError, match=r"^columns: expected a slice"):
            stored.block(slice(None), part)
    with pytest.raises(InputError, match=r"^memory: expected at least 114\.9 kB to load 70 x 70"):
        stored.load(memory=70 * 70 * 24 - 1)
    stored.load(memory=70 * 70 * 24)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e-100, 1e100])
def test_extremes_of_scale(tmp_path, scale):
    dtype = np.float32 if 1e-38 < scale < 1e38 else np.float64
    x = images(40, dtype=np.float64) * np.where(np.arange(40) % 3, 1.0, scale)[:, None, None]
    x = x.astype(dtype)
    found = compute_run({"x": x}, tmp_path / "run.zarr", workers=1)[KEY].load()
    wanted = semrsm.gram(x, workers=1)
    assert np.isfinite(found.values).all()
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-5)
    np.testing.assert_array_equal(found.row_squared_norms, wanted.row_squared_norms)


@pytest.mark.parametrize("matcher", ["none", "optimal", "greedy", "topk-greedy", "batch-optimal"])
def test_every_matcher(tmp_path, matcher):
    x = images(40)
    found = compute_run({"x": x}, tmp_path / "run.zarr", matchers=[matcher])["x", matcher].load()
    wanted = semrsm.gram(x, matcher=matcher)
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.upper_bound, wanted.upper_bound, rtol=1e-5, atol=1e-5)


def test_one_image_alone(tmp_path):
    x = images(1)
    found = compute_run({"x": x}, tmp_path / "run.zarr")[KEY].load()
    np.testing.assert_array_equal(found.values, semrsm.gram(x).values)


def test_parts_know_that_nothing_was_matched(tmp_path):
    """A part of a run and the whole run have the attributes of the run."""
    stored = semrsm.gram(images(20, 6), matcher="none", out=tmp_path / "run.zarr")
    whole = slice(None)
    for one in (stored, stored.load(), stored.part(slice(2, 5), whole), *stored.parts()):
        assert not one.is_matched
    stored.bounds = "own"
    assert {one.bounds for one in (stored.load(), *stored.parts())} == {"own"}


@pytest.mark.parametrize("kernel", ["cosine", "rbf", "polynomial:degree=2"])
def test_a_run_has_the_doors_of_results(kernel, undisturbed, wanted):
    run = open_run(undisturbed)
    assert list(run.kernels) == []  # it keeps none
    found = run.rsms(kernel)
    assert list(found) == [KEY] == list(run)
    np.testing.assert_array_equal(found[KEY].load().values, wanted.rsm(kernel).values)
    with pytest.raises(InputError, match="^kernel: expected one of"):
        run.rsms("cosin")


def test_a_run_knows_the_file_of_its_features(tmp_path):
    features = semrsm.features.Features({"x": images(6, 4, seed=1)}, [*"abcdef"])
    made = compute_run(features, tmp_path / "memory.zarr", workers=1)
    assert made.features_path is None
    features.save(tmp_path / "features.zarr")
    stored = semrsm.load_features(tmp_path / "features.zarr")
    made = compute_run(stored, tmp_path / "run.zarr", workers=1)
    assert made.features_path.resolve() == (tmp_path / "features.zarr").resolve()
