"""Padding and masks: which patches an extraction keeps."""

import copy
import pickle

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.features import Features
from semrsm.features.masks import as_mask, coverage, run_through
from semrsm.features.preprocess import Preprocess

torch = pytest.importorskip("torch", reason="features need torch")
Image = pytest.importorskip("PIL.Image", reason="photographs need Pillow")
RNG = np.random.default_rng(0)


class Patches(torch.nn.Module):
    """Means of patches of 8 and then 16 pixels, and the latter as tokens with a class token."""

    def __init__(self):
        super().__init__()
        self.fine = torch.nn.AvgPool2d(8)
        self.coarse = torch.nn.AvgPool2d(2)
        self.tokens = torch.nn.Identity()

    num_prefix_tokens = 1

    def forward(self, x):
        maps = self.coarse(self.fine(x))
        tokens = maps.flatten(2).transpose(1, 2)
        self.tokens(torch.cat([tokens.mean(1, keepdim=True), tokens], 1))
        return maps.mean((2, 3))


PAD = Preprocess(32, 32, (127.5,) * 3, (127.5,) * 3, fit="pad")
LETTERBOX = Preprocess(32, 32, (127.5,) * 3, (127.5,) * 3, fit="letterbox")
CROP = Preprocess(32, 64, (127.5,) * 3, (127.5,) * 3)
LAYERS = ["fine", "coarse", "tokens"]


def photo(height, width):
    return Image.fromarray(RNG.integers(0, 255, (height, width, 3), dtype=np.uint8))


def extracted(photos, preprocess=PAD, layers=LAYERS, **options):
    return semrsm.extract(
        Patches(), photos, layers=layers, preprocess=preprocess, check=False, **options
    )


def test_coverage_is_the_mean_over_each_patch():
    mask = RNG.random((12, 30))
    np.testing.assert_allclose(
        coverage(mask, (3, 5)), mask.reshape(3, 4, 5, 6).mean((1, 3)), rtol=1e-12
    )
    # Of a mask that does not divide: repeated until it does.
    odd = RNG.random((7, 5))
    fine = np.kron(odd, np.ones((3, 4)))
    np.testing.assert_allclose(
        coverage(odd, (3, 4)), fine.reshape(3, 7, 4, 5).mean((1, 3)), rtol=1e-12
    )
    np.testing.assert_allclose(coverage(odd, (7, 5)), odd)
    np.testing.assert_allclose(coverage(odd, (14, 10)), np.kron(odd, np.ones((2, 2))))


def test_padding_is_left_out_by_default():
    found = extracted([photo(40, 80), photo(80, 40), photo(50, 50)])
    wide = np.zeros((4, 4), bool)
    wide[:2] = True  # 16 of 32 rows hold the photograph
    expected = np.stack([wide, wide.T, np.ones((4, 4), bool)])
    np.testing.assert_array_equal(found.masks["fine"], expected)
    np.testing.assert_array_equal(found.masks["coarse"], expected[:, ::2, ::2])
    np.testing.assert_array_equal(found.masks["tokens"], expected[:, ::2, ::2])
    assert found.provenance["mask"] == {"padding": "left out"}
    tokens = found.tokens("tokens")
    assert tokens.grid == (2, 2)
    assert tokens.sizes.tolist() == [2, 2, 4]
    gram = semrsm.gram(found["fine"])
    lists = [np.asarray(found["fine"].array[i])[:, k].T for i, k in enumerate(expected)]
    np.testing.assert_allclose(gram.values, semrsm.gram(lists).values, rtol=1e-5)


def test_a_letterbox_has_padding_on_both_sides():
    found = extracted([photo(40, 80)], LETTERBOX, layers="fine")
    np.testing.assert_array_equal(found.masks["fine"][0].any(axis=1), [False, True, True, False])


@pytest.mark.parametrize(("height", "rows"), [(20, 1), (28, 1), (29, 2), (61, 3)])
def test_a_patch_is_kept_where_half_of_it_is_covered(height, rows):
    """Of 32 pixels, `height` of 80 are covered; patches have 8."""
    found = extracted([photo(height, 80)], layers="fine")
    assert found.masks["fine"][0].any(axis=1).sum() == rows


def test_padding_can_be_kept():
    found = extracted([photo(40, 80), photo(50, 50)], mask=False)
    assert found.masks == {}
    assert isinstance(found["fine"], np.ndarray)
    assert found.provenance["mask"] is False


def test_what_fills_the_input_has_no_mask():
    for photos, preprocess in (([photo(50, 50)], PAD), ([photo(40, 80)], CROP)):
        assert extracted(photos, preprocess).masks == {}
    done = semrsm.extract(Patches(), torch.rand(2, 3, 32, 32), layers="fine", check=False)
    assert "mask" not in done.provenance


def test_padding_around_a_small_image_is_left_out():
    """A cut that is larger than what it is cut from: networks get black there."""
    small = Preprocess(32, 16, (0.0,) * 3, (255.0,) * 3, fit="stretch")
    found = extracted([photo(50, 50)], small, layers="fine")
    inner = np.zeros((4, 4), bool)
    inner[1:3, 1:3] = True
    np.testing.assert_array_equal(found.masks["fine"][0], inner)


class Masked:
    """Photographs and masks by id."""

    def __init__(self, photos):
        self.ids = [f"{chr(97 + i)}/photo.jpg" for i in range(len(photos))]
        self.photos = photos

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        return self.photos[index]


def square_masks(count, size, top, left, side):
    masks = np.zeros((count, *size), bool)
    masks[:, top : top + side, left : left + side] = True
    return masks


def test_every_form_of_masks_of_the_photograph(tmp_path):
    photos = Masked([photo(64, 64), photo(64, 64)])
    masks = square_masks(2, (64, 64), 16, 32, 16)
    masks[1] = masks[1].T
    pictures = [Image.fromarray(m) for m in masks]
    for name, picture in zip(photos.ids, pictures, strict=True):
        path = tmp_path / name.replace(".jpg", ".png")
        path.parent.mkdir()
        picture.save(path)
    by_id = dict(zip(photos.ids, masks, strict=True))
    stretch = Preprocess(32, 32, (0.0,) * 3, (255.0,) * 3, fit="stretch")
    expected = np.zeros((2, 4, 4), bool)
    expected[0, 1, 2] = expected[1, 2, 1] = True

    class Data:
        ids = photos.ids

        def __getitem__(self, place):
            return masks[place]

    for mask in (
        masks,
        masks.astype(np.float32),
        torch.from_numpy(masks),
        pictures,
        list(masks),
        [tmp_path / name.replace("jpg", "png") for name in photos.ids],
        tmp_path,
        str(tmp_path),
        by_id,
        by_id.get,
        lambda name: Image.fromarray(by_id[name].astype(np.uint8) * 7),
        Data(),
    ):
        found = extracted(photos, stretch, layers="fine", mask=mask)
        np.testing.assert_array_equal(found.masks["fine"], expected)
        assert found.provenance["mask"]["least"] == 0.5


def test_a_mask_of_the_photograph_is_cut_like_it():
    photos = [photo(64, 128)]  # cut to its middle, 32 of 64 rows and of 128 columns
    mask = square_masks(1, (64, 128), 16, 64, 16)
    expected = np.zeros((4, 4), bool)
    expected[:2, 2:] = True
    found = extracted(photos, CROP, layers="fine", mask=mask)
    np.testing.assert_array_equal(found.masks["fine"][0], expected)

    def own(image):  # the mask is sent through it
        return torch.from_numpy(CROP(image))

    found = extracted(photos, own, layers="fine", mask=mask)
    np.testing.assert_array_equal(found.masks["fine"][0], expected)


@pytest.mark.parametrize("fit", [PAD, LETTERBOX, CROP])
def test_any_preprocessing_cuts_masks_as_its_geometry_says(fit):
    y, x = np.mgrid[:140, :187]
    disc = (y - 60) ** 2 + (x - 100) ** 2 < 55**2
    mask = Image.fromarray(disc.astype(np.uint8) * 255)
    np.testing.assert_allclose(
        coverage(run_through(fit, mask), (8, 8)), coverage(fit.seen(mask), (8, 8)), atol=0.05
    )


def test_a_random_preprocessing_is_refused_where_masks_need_it():
    def noisy(image):
        return CROP(image) + RNG.normal(size=(3, 32, 32))

    with pytest.raises(InputError, match="^mask: expected masks of the size of the network's inp"):
        extracted([photo(64, 128)], noisy, layers="fine", mask=np.ones((1, 64, 128)))
    extracted([photo(64, 128)], noisy, layers="fine", mask=np.ones((1, 4, 4)))


def test_masks_of_the_input_and_of_a_grid_meet_the_padding():
    photos = [photo(40, 80), photo(80, 40)]
    left = np.zeros((4, 4), bool)
    left[:, :1] = True
    for mask in (left, np.stack([left, left]), np.kron(left, np.ones((8, 8)))):
        found = extracted(photos, layers=["fine"], mask=mask)
        wide = np.zeros((4, 4), bool)
        wide[:2] = True
        np.testing.assert_array_equal(found.masks["fine"], np.stack([left & wide, left & wide.T]))
    both = extracted(photos, layers=["fine", "coarse"], mask=np.kron(left, np.ones((1, 1))))
    assert both.masks["coarse"][0].sum() == 1  # half of the patch


def test_tensors_have_masks_of_their_size_or_of_the_grid():
    x = torch.rand(3, 3, 32, 32)
    fine = RNG.random((3, 4, 4)) < 0.5
    fine[:, 0, 0] = True
    for mask in (fine, np.kron(fine, np.ones((1, 8, 8))), iter_of(fine)):
        found = semrsm.extract(Patches(), x, layers="fine", check=False, mask=mask)
        np.testing.assert_array_equal(found.masks["fine"], fine)
    stream = semrsm.extract(Patches(), iter(x), layers="fine", check=False, mask=fine, batch_size=2)
    np.testing.assert_array_equal(stream.masks["fine"], fine)


def iter_of(masks):
    return lambda name: masks[int(name)]


def test_a_function_may_have_no_mask_for_an_image():
    x = torch.rand(2, 3, 32, 32)
    masks = {"1": square_masks(1, (4, 4), 0, 0, 2)[0]}
    found = semrsm.extract(Patches(), x, layers="fine", check=False, mask=masks.get)
    assert found.masks["fine"].sum(axis=(1, 2)).tolist() == [16, 4]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            np.zeros((2, 32, 32)),
            r"^mask: .*; nothing is left of '0' in layer 'fine', whose grid is",
        ),
        (np.ones((3, 32, 32)), "^mask: expected 2 masks, one for each image; got 3$"),
        (np.ones((2, 5, 5)), r"^mask: expected masks of the size of .*\(4 x 4\); got 5 x 5$"),
        ({"0": np.ones((4, 4))}, "^mask: expected a mask for each image; 1 are missing.*'1'"),
        (3, "^mask: expected None, False, an array, .*; got int$"),
        (True, "^mask: expected None, False, an array, .*; got bool$"),
        ("nowhere", "^mask: expected a folder of masks; 'nowhere' is not one$"),
        (lambda name: "text.png", r"^mask: text\.png cannot be read as an image"),
        (lambda name: np.ones(4), "^mask: expected an image or an array"),
    ],
)
def test_refuses(mask, message):
    with pytest.raises(InputError, match=message):
        semrsm.extract(Patches(), torch.rand(2, 3, 32, 32), layers="fine", check=False, mask=mask)


def test_refuses_masks_of_layers_without_a_grid():
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Identity()

        def forward(self, x):
            return self.body(x.flatten(2)[:, :, :7].transpose(1, 2))

    with pytest.raises(InputError, match="^mask: expected layers whose grid is known; that of 'b"):
        semrsm.extract(
            Odd(),
            torch.rand(2, 3, 8, 8),
            layers="body",
            check=False,
            mask=np.ones((8, 8)),
            prefix_tokens="keep",
        )


def test_transparency_is_a_mask():
    picture = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    picture.putpixel((1, 0), (255, 255, 255, 0))
    np.testing.assert_array_equal(as_mask(picture, "a"), [[True, False]])
    np.testing.assert_array_equal(as_mask(Image.new("RGB", (1, 1), (0, 0, 1)), "a"), [[True]])


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "zarr"])
def test_files_and_pickles_keep_masks(suffix, tmp_path):
    if suffix == "zarr":
        pytest.importorskip("zarr", reason="an optional dependency")
    found = extracted([photo(40, 80), photo(80, 40), photo(50, 50)])
    again = semrsm.load_features(found.save(tmp_path / f"f.{suffix}"))
    for other in (again, pickle.loads(pickle.dumps(again)), copy.deepcopy(again)):
        assert list(other) == LAYERS
        for layer in LAYERS:
            np.testing.assert_array_equal(other.masks[layer], found.masks[layer])
            np.testing.assert_array_equal(np.asarray(other[layer]), np.asarray(found[layer]))
            np.testing.assert_array_equal(
                semrsm.gram(other[layer]).values, semrsm.gram(found[layer]).values
            )


class Interrupted(Masked):
    """Its reading is interrupted after the samples and a few images more."""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        if self.reads == 10:
            raise KeyboardInterrupt
        return super().__getitem__(index)


def test_a_store_goes_on_with_its_masks(tmp_path, monkeypatch):
    pytest.importorskip("zarr", reason="an optional dependency")
    monkeypatch.setattr("semrsm.features.store.writer.CHUNK_IMAGES", 2)
    photos = [photo(40, 80), photo(80, 40), photo(50, 50), photo(30, 60), photo(60, 50)]
    whole = extracted(Masked(photos), batch_size=1)
    out = tmp_path / "f.zarr"
    with pytest.raises(KeyboardInterrupt):
        extracted(Interrupted(photos), batch_size=1, out=out)
    assert semrsm.features.store.progress_of(out) == (4, 5)
    found = extracted(Masked(photos), batch_size=1, out=out)
    for layer in LAYERS:
        np.testing.assert_array_equal(found.masks[layer], whole.masks[layer])
        np.testing.assert_array_equal(np.asarray(found[layer]), np.asarray(whole[layer]))
    with pytest.raises(InputError, match="^out: .*another extraction .*mask"):
        extracted(Masked(photos), batch_size=1, out=out, mask=False)


def test_a_store_of_other_masks_is_refused(tmp_path):
    pytest.importorskip("zarr", reason="an optional dependency")
    x, out = torch.rand(2, 3, 32, 32), tmp_path / "f.zarr"
    options = {"layers": "fine", "check": False, "out": out}
    semrsm.extract(Patches(), x, mask=square_masks(2, (4, 4), 0, 0, 2), **options)
    semrsm.extract(Patches(), x, mask=square_masks(2, (4, 4), 0, 0, 2), **options)
    with pytest.raises(InputError, match="^out: .*another extraction"):
        semrsm.extract(Patches(), x, mask=square_masks(2, (4, 4), 1, 0, 2), **options)


def test_features_with_masks_of_your_own():
    maps = RNG.normal(size=(2, 3, 2, 2))
    mask = np.array([[True, False], [True, True]])
    found = Features({"x": maps, "y": maps}, masks={"x": mask})
    assert list(found.masks) == ["x"]
    assert found.select("x").masks["x"].shape == (2, 2, 2)
    np.testing.assert_array_equal(found["x"][1], maps[1].reshape(3, 4).T[mask.ravel()])
    with pytest.raises(InputError, match="^masks: expected names of layers; got 'z'"):
        Features({"x": maps}, masks={"z": mask})
    with pytest.raises(
        InputError, match=r"^mask: expected the shape \(2, 2, 2\) or \(2, 2\) for l"
    ):
        Features({"x": maps}, masks={"x": np.ones((3, 3), bool)})
