"""Patches that are left out: in tokens, Grams, runs and searches."""

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.tokens import MaskedImages

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(6, 5, 3, 4))
MASK = RNG.random((6, 3, 4)) < 0.6
MASK[:, 0, 0] = True
#: The kept concept vectors of each image, taken out by hand.
LISTS = [
    np.array([MAPS[i, :, r, c] for r in range(3) for c in range(4) if MASK[i, r, c]])
    for i in range(6)
]
TOKENS = MAPS.reshape(6, 5, 12).transpose(0, 2, 1).copy()


@pytest.mark.parametrize("form", ["maps", "tokens", "list", "masked", "measured", "float16"])
@pytest.mark.parametrize("matcher", ["optimal", "greedy", "batch-optimal", "topk-greedy"])
def test_a_gram_of_masked_images_is_that_of_the_vectors_left(form, matcher):
    given = {
        "maps": MAPS,
        "tokens": TOKENS,
        "list": list(TOKENS),
        "masked": MaskedImages(MAPS, MASK),
        "measured": semrsm.measure(MAPS),
        "float16": MAPS.astype(np.float16),
    }[form]
    lists = [v.astype(np.float16) for v in LISTS] if form == "float16" else LISTS
    expected = semrsm.gram(lists, matcher=matcher)
    found = semrsm.gram(given, matcher=matcher, mask=None if form == "masked" else MASK)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)
    np.testing.assert_allclose(found.row_squared_norms, expected.row_squared_norms, rtol=1e-6)


def test_values_that_are_left_out_do_not_count():
    spoilt = MAPS.copy()
    spoilt.transpose(0, 2, 3, 1)[~MASK] = np.nan
    expected = semrsm.rsm(LISTS)
    np.testing.assert_allclose(semrsm.rsm(spoilt, mask=MASK).values, expected.values)
    with pytest.raises(InputError, match="got NaN or infinity"):
        semrsm.rsm(spoilt)


def test_masks_of_two_sides():
    expected = semrsm.gram(LISTS[:2], list(TOKENS[2:])).values
    found = semrsm.gram(MAPS[:2], MAPS[2:], mask=MASK[:2]).values
    np.testing.assert_allclose(found, expected)
    found = semrsm.gram(MAPS[2:], MAPS[:2], column_mask=MASK[:2]).values
    np.testing.assert_allclose(found, expected.T)
    found = semrsm.gram(MAPS, MAPS, mask=MASK).values
    np.testing.assert_allclose(found, semrsm.gram(LISTS, LISTS).values)
    with pytest.raises(InputError, match="^column_mask: expected None"):
        semrsm.gram(MAPS, column_mask=MASK)


def test_one_mask_for_all_images_suits_the_baseline():
    one = MASK[0]
    expected = semrsm.rsm([t[one.ravel()] for t in TOKENS], matcher="none")
    for given in (one, np.broadcast_to(one, MASK.shape)):
        np.testing.assert_allclose(
            semrsm.rsm(MAPS, matcher="none", mask=given).values, expected.values
        )


def test_the_baseline_refuses_other_places_even_as_many():
    with pytest.raises(InputError, match="^matcher 'none': expected images with one number"):
        semrsm.rsm(MAPS, matcher="none", mask=MASK)
    halves = np.zeros((6, 3, 4), bool)
    halves[::2, :, :2] = True
    halves[1::2, :, 2:] = True
    with pytest.raises(InputError, match="^matcher 'none': .*the same places are kept"):
        semrsm.rsm(MAPS, matcher="none", mask=halves)
    with pytest.raises(InputError, match="^matcher 'none': .*the same places are kept"):
        semrsm.rsm(MAPS, RNG.normal(size=(2, 5, 2, 3)), matcher="none", mask=halves)


def test_tokens_carry_the_grid_and_the_places():
    tokens = semrsm.measure(TOKENS, mask=MASK)
    assert tokens.grid == (3, 4)
    np.testing.assert_array_equal(tokens.kept, MASK)
    np.testing.assert_array_equal(tokens.sizes, MASK.sum((1, 2)))
    assert tokens.block(0, 2).grid is None
    np.testing.assert_array_equal(tokens.take(np.array([1, 4])).kept, MASK[[1, 4]])
    np.testing.assert_array_equal(tokens.part(2, 5).kept, MASK[2:5])
    both = tokens.followed_by(semrsm.measure(MAPS[:1]))
    np.testing.assert_array_equal(both.kept, np.concatenate([MASK, np.ones((1, 3, 4), bool)]))
    np.testing.assert_array_equal(both.block(0, 7).vectors[-12:], TOKENS[0])
    other = RNG.random((6, 3, 4)) < 2
    other[:, 2] = False
    again = semrsm.measure(tokens, mask=other)
    np.testing.assert_array_equal(again.kept, MASK & other)
    np.testing.assert_allclose(again.block(3, 4).vectors, TOKENS[3][(MASK & other)[3].ravel()])


def test_a_masked_array_gives_images_and_parts():
    masked = MaskedImages(MAPS, MASK)
    assert (masked.shape, masked.ndim, len(masked)) == (MAPS.shape, 4, 6)
    np.testing.assert_array_equal(masked[2], LISTS[2])
    np.testing.assert_array_equal(masked[-1], LISTS[5])
    np.testing.assert_array_equal(masked[1:3].kept, MASK[1:3])
    np.testing.assert_array_equal(np.asarray(masked), MAPS)
    np.testing.assert_array_equal(MaskedImages(TOKENS, MASK)[2], LISTS[2])


def test_a_search_finds_what_the_vectors_left_find():
    found = semrsm.topk(MAPS[:2], MAPS, 3, mask=MASK[:2], gallery_mask=MASK)
    expected = semrsm.topk(LISTS[:2], LISTS, 3)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.values, expected.values)
    index = semrsm.Index(MaskedImages(MAPS, MASK))
    np.testing.assert_allclose(semrsm.topk(LISTS[:2], index, 3).values, expected.values)
    with pytest.raises(InputError, match="^gallery_mask: expected None"):
        semrsm.topk(MAPS[:2], index, 3, gallery_mask=MASK)


def test_an_index_of_masked_images_opens_again(tmp_path):
    pytest.importorskip("zarr", reason="an optional dependency")
    path = semrsm.Index(MaskedImages(MAPS, MASK)).save(tmp_path / "i.zarr")
    found = semrsm.topk(LISTS[:2], semrsm.Index.load(path), 3)
    np.testing.assert_allclose(found.values, semrsm.topk(LISTS[:2], LISTS, 3).values)


def test_runs_keep_masks(tmp_path):
    pytest.importorskip("zarr", reason="an optional dependency")
    np.save(tmp_path / "x.npy", MAPS)
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    out = tmp_path / "run.zarr"
    expected = semrsm.gram(LISTS)
    for _ in range(2):  # the same call finds it complete
        found = semrsm.gram(on_disk, mask=MASK, out=out)
        np.testing.assert_allclose(found.load().values, expected.values)
    with pytest.raises(InputError, match="image 0"):
        semrsm.gram(on_disk, mask=np.ones_like(MASK), out=out)


def test_the_source_of_a_run_says_what_is_kept(tmp_path):
    from semrsm.runs.sources import open_source, source_of

    np.save(tmp_path / "x.npy", MAPS)
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    source = source_of(semrsm.measure(on_disk, mask=MASK).origin)
    found = open_source(source)
    np.testing.assert_array_equal(found.kept, MASK)
    np.testing.assert_array_equal(np.asarray(found), MAPS)
    assert source_of(MaskedImages(MAPS, MASK)) is None  # in memory


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((5, 3, 4), bool), r"^mask: expected the shape \(6, 3, 4\) or \(3, 4\) for x; got"),
        (np.ones((6, 4, 3), bool), r"^mask: expected the shape .*; got \(6, 4, 3\)"),
        (np.ones((6, 12), bool), r"^mask: expected the shape .*; got \(6, 12\)"),
        (MASK * 0.5, "^mask: expected booleans, True for the places that are kept; got float64"),
        ("all", "^mask: expected "),
        (np.zeros((3, 4), bool), "^mask: .*; nothing is left of image 0$"),
    ],
)
def test_refuses(mask, message):
    with pytest.raises(InputError, match=message):
        semrsm.rsm(MAPS, mask=mask)


def test_nothing_left_is_refused_by_its_place():
    mask = MASK.copy()
    mask[4] = False
    with pytest.raises(InputError, match="nothing is left of image 4"):
        semrsm.gram(MAPS, mask=mask)
    with pytest.raises(InputError, match=r"^mask: expected H x W = 12 places.*; got 3 x 3"):
        semrsm.gram(TOKENS, mask=np.ones((6, 3, 3), bool))
