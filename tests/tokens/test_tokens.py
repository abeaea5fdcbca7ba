"""Every form of input becomes the same images, read in pieces; errors name the faulty input."""

import math
import tracemalloc

import numpy as np
import pytest

import semrsm
from oracles import gram as slow_gram
from semrsm._internal.arrays import compute_dtype, to_numpy
from semrsm.errors import InputError
from semrsm.tokens import DIGEST, Measured, fingerprint, forms, image_ids, measure, measuring


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


class Lazy:
    """An array of which only slices can be had, like a Zarr array; it counts the images read."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.largest_read = 0

    def __getitem__(self, place):
        assert isinstance(place, slice)
        part = self._array[place]
        self.largest_read = max(self.largest_read, part.nbytes)
        return part


def test_maps_are_read_row_by_row():
    maps = normal(2, 3, 4, 5)
    block = measure(maps).block(0, 2)
    for n in range(2):
        for s, (h, w) in enumerate(np.ndindex(4, 5)):
            np.testing.assert_array_equal(block.image(n)[s], maps[n, :, h, w])


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_pieces_are_all_images_once(size):
    ragged = [normal(s, 4, seed=s) for s in (3, 1, 7, 7, 2, 20, 1)]
    for x in (ragged, normal(9, 5, 4)):
        pieces = list(measure(x).pieces(size * 4 * 8))
        assert pieces[0][0] == 0
        assert pieces[-1][1] == len(x)
        assert all(first < last for first, last in pieces)
        assert [last for _, last in pieces[:-1]] == [first for first, _ in pieces[1:]]


def test_blocks_of_a_list_keep_the_images_apart():
    ragged = [normal(s, 4, seed=s) for s in (3, 1, 7)]
    block = measure(ragged).block(1, 3)
    assert block.sizes.tolist() == [1, 7]
    np.testing.assert_array_equal(block.image(1), ragged[2])
    part = block.part(1, 2)
    np.testing.assert_array_equal(part.image(0), ragged[2])


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("int8", "float64"),
        ("uint64", "float64"),
        ("bool", "float64"),
        (">f4", "float32"),
        (">f8", "float64"),
    ],
)
def test_what_is_computed_in(dtype, expected):
    x = (normal(2, 3, 4) > 0).astype(dtype)
    assert compute_dtype(np.dtype(dtype)) == expected
    assert measure(x).dtype == expected
    assert measure(list(x)).dtype == expected
    np.testing.assert_array_equal(measure(x).block(0, 2).vectors, x.reshape(6, 4).astype(float))


def test_float64_of_the_other_byte_order_keeps_its_precision():
    """FITS and some HDF5 files are big-endian."""
    x = normal(3, 5, 4)
    found = semrsm.gram(x.astype(">f8"))
    np.testing.assert_allclose(found.values, semrsm.gram(x).values, rtol=1e-14)


def test_a_list_of_mixed_types_is_computed_in_the_widest():
    x = normal(2, 3, 4)
    assert measure([x[0].astype(np.float16), x[1].astype(np.float32)]).dtype == np.float32
    assert measure([x[0].astype(np.float16), x[1]]).dtype == np.float64


def test_bfloat16_of_numpy():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="an optional dependency")
    half = normal(3, 4, 5).astype(ml_dtypes.bfloat16)
    exact = half.astype(np.float64)
    np.testing.assert_allclose(semrsm.gram(half).values, slow_gram(exact, exact), rtol=1e-5)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[::-1],
        lambda x: x[:, ::2],
        lambda x: x[:, :, ::-1],
        lambda x: x.transpose(0, 2, 1),
        lambda x: np.broadcast_to(x[:1], x.shape),
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(">f4"),
    ],
    ids=["reversed", "strided", "mirrored", "turned", "broadcast", "fortran", "other bytes"],
)
def test_views_of_any_strides(view):
    x = view(normal(4, 6, 6).astype(np.float32))
    x.flags.writeable = False
    plain = np.array(x, dtype=np.float32, order="C")
    np.testing.assert_allclose(semrsm.gram(x).values, semrsm.gram(plain).values, rtol=1e-6)
    for name in ("none", "batch-optimal"):
        np.testing.assert_allclose(
            semrsm.gram(x, matcher=name).values, semrsm.gram(plain, matcher=name).values, rtol=1e-6
        )


@pytest.mark.parametrize("matcher", ["none", "optimal", "greedy", "topk-greedy", "batch-optimal"])
@pytest.mark.parametrize("factor", [1.0, 1e25])
def test_the_input_is_not_changed(matcher, factor):
    x = (normal(3, 16, 16) * factor).astype(np.float32)
    before = x.copy()
    semrsm.gram(x, matcher=matcher)
    semrsm.match(x[0], x[1], matcher=matcher)
    np.testing.assert_array_equal(x, before)


def test_only_slices_are_read(monkeypatch):
    monkeypatch.setattr(measuring, "PIECE", 4000)
    x = normal(40, 5, 8).astype(np.float32)
    lazy = Lazy(x)
    np.testing.assert_allclose(semrsm.gram(lazy).values, semrsm.gram(x).values, rtol=1e-6)
    lazy = Lazy(x)
    measure(lazy)
    assert lazy.largest_read <= 4000


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py", reason="an optional dependency")
    maps = normal(5, 4, 3, 3).astype(np.float32)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        found = semrsm.gram(file.create_dataset("maps", data=maps))
    np.testing.assert_allclose(found.values, semrsm.gram(maps).values, rtol=1e-6)


def test_squared_norms_are_summed_in_float64():
    x = normal(2, 400, 300).astype(np.float32)
    for n, found in enumerate(measure(x).squared_norms):
        exact = math.fsum((x[n].astype(np.float64) ** 2).ravel())
        assert float(found) == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("factor", [1e-30, 1e-20, 1.0, 1e20, 1e30])
@pytest.mark.parametrize("matcher", ["none", "optimal", "greedy", "topk-greedy", "batch-optimal"])
def test_scaled_features_give_scaled_values(matcher, factor):
    x = normal(4, 9, 8)
    plain = semrsm.gram(x, matcher=matcher)
    for dtype, rel in ((np.float32, 5e-6), (np.float64, 1e-12)):
        found = semrsm.gram((x * factor).astype(dtype), matcher=matcher)
        np.testing.assert_allclose(found.values, plain.values * factor**2, rtol=rel)
        np.testing.assert_allclose(found.upper_bound, plain.upper_bound * factor**2, rtol=rel)
        np.testing.assert_allclose(
            found.rsm("cosine").values, plain.rsm("cosine").values, atol=5e-6
        )
        rbf = found.rsm("rbf").values
        np.testing.assert_allclose(rbf, plain.rsm("rbf").values, atol=1e-5)


@pytest.mark.parametrize("factor", [1e-30, 1e-20, 1e-12, 1e12, 1e20, 1e30])
def test_cosine_does_not_see_the_scale_of_one_image(factor):
    """Two images far from the others in size are as similar to one another as before."""
    x = normal(4, 9, 8).astype(np.float32)
    expected = semrsm.rsm(x).values
    x[:2] *= np.float32(factor)
    np.testing.assert_allclose(semrsm.rsm(x).values, expected, atol=1e-4)


def with_bad(shape, place, value, dtype=np.float32):
    x = np.zeros(shape, dtype)
    x[place] = value
    return x


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(monkeypatch, bad):
    monkeypatch.setattr(measuring, "PIECE", 400)  # the image is in a later piece
    tokens = with_bad((30, 4, 5), (17, 2, 3), bad)
    maps = with_bad((30, 5, 2, 3), (17, 3, 1, 2), bad)
    ragged = [np.zeros((4, 5)) for _ in range(30)]
    ragged[17] = with_bad((9, 5), (8, 0), bad)
    for x, vector, channel in ((tokens, 2, 3), (maps, 5, 3), (ragged, 8, 0)):
        message = (
            f"^x: expected finite values; got NaN or infinity in image 17, vector {vector}, "
            f"channel {channel}$"
        )
        with pytest.raises(InputError, match=message):
            semrsm.gram(x)


def test_a_float16_that_overflowed_is_named():
    x = normal(2, 3, 4).astype(np.float16)
    x[1, 2, 0] = np.inf
    with pytest.raises(InputError, match="image 1, vector 2, channel 0$"):
        semrsm.gram(x)


def test_a_huge_value_is_named():
    x = with_bad((3, 4, 5), (1, 2, 3), -1e141, np.float64)
    with pytest.raises(
        InputError, match=r"got a value beyond ±1e\+140 in image 1, vector 2, channel 3$"
    ):
        semrsm.gram(x)
    x[1, 2, 3] = 1e139
    assert np.isfinite(semrsm.gram(x).values).all()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, "^x: expected"),
        ("photo.jpg", r"^x(\[0\])?: expected"),
        ({"layer": np.ones((2, 3, 4))}, r"^x(\[0\])?: expected"),
        (np.array([np.ones((2, 3)), np.ones((3, 3))], dtype=object), "^x: expected"),
        (np.array(["a"]), "^x: expected"),
        (np.ones((2, 3, 0)), r"^x: expected images with .*got shape \(2, 3, 0\)$"),
        (np.ones((2, 3, 0, 4)), r"^x: expected images with .*got shape \(2, 3, 0, 4\)$"),
        ([np.ones((2, 3)), np.ones((0, 3))], r"^x: expected images with .*\(0, 3\)\]$"),
        ([np.ones((2, 3)), "a"], r"^x\[1\]: expected real numbers"),
        ([np.ones((2, 3)), np.ones((1, 2, 3))], r"^x\[1\]: expected an array \(S, C\)"),
        (np.ones((2, 3, 4), np.longdouble), "^x: expected real numbers of at most 64 bits"),
        (np.ones((2, 3, 4), "datetime64[s]"), "^x: expected real numbers"),
    ],
)
def test_refuses(x, message):
    with pytest.raises(InputError, match=message):
        semrsm.gram(x)


def test_to_numpy_takes_tensors_that_need_gradients():
    torch = pytest.importorskip("torch", reason="torch is optional")
    tensor = torch.ones(2, 3, requires_grad=True)
    assert to_numpy(tensor, "x").dtype == np.float32
    assert to_numpy(tensor.to(torch.bfloat16), "x").dtype == np.float32
    with pytest.raises(InputError, match="^x: expected real numbers"):
        to_numpy(torch.ones(2, dtype=torch.complex64), "x")


def test_image_ids():
    assert image_ids(None, 3, "ids") == ("0", "1", "2")
    assert image_ids((f"{n}" for n in "ab"), 2, "ids") == ("a", "b")
    with pytest.raises(InputError, match="^column_ids: expected 2 ids, one for each image; got 3"):
        image_ids(list("abc"), 2, "column_ids")
    with pytest.raises(InputError, match="^ids: expected distinct ids; got '1' more than once"):
        image_ids([1, "1"], 2, "ids")
    with pytest.raises(InputError, match="^ids: expected"):
        image_ids(5, 2, "ids")


# What a run on disk knows of its images


RAGGED = [normal(s, 4, seed=s).astype(np.float32) for s in (3, 1, 7, 7, 2, 20, 1)]


def test_a_digest_is_of_the_content_and_not_of_its_form():
    maps = normal(5, 3, 2, 2).astype(np.float32)
    tokens = np.ascontiguousarray(maps.reshape(5, 3, 4).transpose(0, 2, 1))
    wanted = measure(maps).digests()
    assert wanted.shape == (5, DIGEST)
    assert wanted.dtype == np.uint8
    assert len({row.tobytes() for row in wanted}) == 5
    half = tokens.astype(np.float16)
    for one, other in (
        (measure(maps), measure(tokens)),
        (measure(maps), measure(list(tokens))),
        (measure(maps), measure(Lazy(tokens))),
        (measure(half), measure(half.astype(np.float32))),  # computed in float32 in any case
    ):
        np.testing.assert_array_equal(one.digests(), other.digests())
        assert one.fingerprint == other.fingerprint
    assert measure(tokens).fingerprint == fingerprint(wanted)


def test_a_digest_tells_every_number_and_the_order():
    tokens = normal(5, 4, 3).astype(np.float32)
    wanted = measure(tokens).digests()
    for place in ((3, 0, 0), (3, 3, 2)):
        other = tokens.copy()
        other[place] = np.nextafter(other[place], np.float32(9))
        differ = (measure(other).digests() != wanted).any(axis=1)
        assert differ.tolist() == [False, False, False, True, False]
    np.testing.assert_array_equal(measure(tokens[::-1]).digests(), wanted[::-1])
    assert measure(tokens[::-1]).fingerprint != measure(tokens).fingerprint
    assert (measure(tokens.astype(np.float64)).digests() != wanted).any(axis=1).all()


def test_a_digest_tells_images_apart_that_are_scaled_to_the_same():
    image = normal(1, 4, 3).astype(np.float32)
    scaled = np.concatenate([image * np.float32(2.0**-80), image * np.float32(2.0**-90), image])
    tokens = measure(scaled)
    blocks = tokens.block(0, 3)
    np.testing.assert_array_equal(blocks.image(0), blocks.image(1))
    assert len({row.tobytes() for row in tokens.digests()}) == 3


@pytest.mark.parametrize("piece", [1, 100, 10_000])
def test_digests_do_not_depend_on_the_pieces(piece, monkeypatch):
    wanted = measure(RAGGED).digests()
    monkeypatch.setattr(measuring, "PIECE", piece)
    np.testing.assert_array_equal(measure(RAGGED).digests(), wanted)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_a_part_is_what_its_images_are(scale):
    images = [image * np.float32(scale if i % 2 else 1) for i, image in enumerate(RAGGED)]
    whole = measure(images)
    part = whole.part(1, 5)
    alone = measure(images[1:5])
    assert part.count == 4
    assert part.sizes.tolist() == [1, 7, 7, 2]
    assert not part.uniform
    assert whole.part(2, 4).uniform
    np.testing.assert_array_equal(part.exponents, alone.exponents)
    np.testing.assert_array_equal(part.squared_norms, alone.squared_norms)
    np.testing.assert_array_equal(part.digests(), whole.digests()[1:5])
    np.testing.assert_array_equal(part.block(0, 4).vectors, alone.block(0, 4).vectors)
    np.testing.assert_array_equal(part.part(1, 2).block(0, 1).vectors, whole.block(2, 3).vectors)


def test_a_part_is_read_once():
    lazy = Lazy(normal(6, 5, 4).astype(np.float32))
    part = measure(lazy).part(1, 3)
    lazy._array = None
    assert part.in_place
    assert part.block(0, 2).vectors.shape == (10, 4)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_what_has_been_measured_is_not_measured_again(scale, monkeypatch):
    images = [image * np.float32(scale) for image in RAGGED]
    first = measure(images)
    measured = Measured(first.squared_norms, first.exponents)

    def never(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(measuring, "_pass_over", never)
    again = measure(images, measured=measured)
    np.testing.assert_array_equal(again.squared_norms, first.squared_norms)
    np.testing.assert_array_equal(again.block(0, 7).vectors, first.block(0, 7).vectors)
    np.testing.assert_array_equal(again.digests(), first.digests())
    assert again.in_place == first.in_place


@pytest.mark.parametrize("part", [slice(None), slice(5, 30), slice(7, 8)])
def test_a_memory_map_is_read_as_a_file(part, tmp_path):
    """Pages of a map that were touched would count as memory of the process, and stay."""
    x = np.random.default_rng(0).normal(size=(40, 6, 3, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")[part]
    tokens, expected = measure(mapped), measure(x[part])
    np.testing.assert_array_equal(tokens.squared_norms, expected.squared_norms)
    np.testing.assert_array_equal(tokens.digests(), expected.digests())
    last = tokens.count
    np.testing.assert_array_equal(tokens.block(0, last).vectors, expected.block(0, last).vectors)
    assert forms.MappedFile.of(mapped) is not None
    # Changes of a map that may be written are seen: it is read where it lies.
    changed = np.load(tmp_path / "x.npy", mmap_mode="c")
    assert forms.MappedFile.of(changed) is None
    assert forms.MappedFile.of(mapped[:, :, ::-1]) is None


def test_images_that_are_taken_hold_nothing_else(tmp_path, monkeypatch):
    """Scattered images are read with their neighbours, which must not stay in memory."""
    image = 64 * 49 * 4
    monkeypatch.setattr("semrsm.tokens.tokens.PIECE", 100 * image)
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (1200, 49, 64))
    x[:] = 1.0
    tokens = measure(np.load(tmp_path / "x.npy", mmap_mode="r"))
    wanted = np.array([first + place for first in range(0, 1200, 120) for place in (0, 90)])
    tracemalloc.start()
    taken = tokens.take(wanted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken.count == len(wanted)
    # Twice the images (as read, and joined), and two spans of neighbours.
    assert peak < 2 * len(wanted) * image + 2 * 91 * image + 10_000
