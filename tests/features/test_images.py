"""Every form in which images come, and those that cannot be read."""

import numpy as np
import pytest

import semrsm
from features.networks import Counted, Small, as_array, images
from semrsm.errors import InputError

torch = pytest.importorskip("torch", reason="features need torch")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small()


def test_every_form_of_images(network, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 255, (3, 11, 11, 3), dtype=np.uint8)
    photos = [Image.fromarray(p) for p in pixels]
    paths = [tmp_path / f"{n}.png" for n in "abc"]
    for photo, path in zip(photos, paths, strict=True):
        photo.save(path)

    def preprocess(image):
        return np.asarray(image, np.float32).transpose(2, 0, 1) / 255

    done = torch.from_numpy(np.stack([preprocess(p) for p in photos]))
    expected = semrsm.extract(network, done, layers="stem")["stem"]
    forms = {"0": pixels, "1": photos, "a.png": tmp_path, "b.png": str(tmp_path), "p": paths}
    for form in forms.values():
        found = semrsm.extract(network, form, layers="stem", preprocess=preprocess)
        np.testing.assert_allclose(found["stem"], expected, rtol=1e-5, atol=1e-6)
    assert semrsm.extract(network, tmp_path, layers="stem", preprocess=preprocess).ids == (
        "a.png",
        "b.png",
        "c.png",
    )


def test_damaged_images_are_left_out_with_one_warning(network, tmp_path):
    from PIL import Image

    for n in range(4):
        Image.new("RGB", (11, 11), (n, 0, 0)).save(tmp_path / f"{n}.png")
    (tmp_path / "1.png").write_bytes(b"nothing")
    (tmp_path / "3.png").write_bytes((tmp_path / "2.png").read_bytes()[:40])

    def preprocess(image):
        return np.asarray(image, np.float32).transpose(2, 0, 1)

    with pytest.warns(UserWarning, match=r"^2 images were left out: .*1\.png.*3\.png") as caught:
        found = semrsm.extract(
            network, tmp_path, layers="stem", preprocess=preprocess, batch_size=2
        )
    assert len(caught) == 1
    assert found.ids == ("0.png", "2.png")
    assert len(found["stem"]) == len(found.logits) == 2
    with pytest.raises(OSError, match=r"1\.png: cannot be read as an image"):
        semrsm.extract(network, tmp_path, layers="stem", preprocess=preprocess, on_error="raise")
    for n in (0, 2):
        (tmp_path / f"{n}.png").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match=r"^4 images were left out"),
        pytest.raises(InputError, match="^images: expected at least one that can be read"),
    ):
        semrsm.extract(network, tmp_path, layers="stem", preprocess=preprocess)


def test_a_data_set_is_read_once_and_in_order(network):
    data = Counted()
    found = semrsm.extract(network, data, layers="stem", preprocess=as_array, batch_size=2)
    assert found.ids == data.ids
    assert data.read == [0, 1, 2]


def test_images_that_a_data_set_cannot_read(network):
    with pytest.warns(UserWarning, match="^1 image was left out: second: gone$") as caught:
        found = semrsm.extract(network, Counted([1]), layers="stem", preprocess=as_array)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert found.ids == ("first", "third")
    whole = semrsm.extract(network, Counted(), layers="stem", preprocess=as_array)
    np.testing.assert_array_equal(found["stem"], whole["stem"][[0, 2]])
    with pytest.raises(FileNotFoundError, match="gone"):
        semrsm.extract(network, Counted([1]), layers="stem", preprocess=as_array, on_error="raise")


def test_errors_of_the_preprocessing_are_not_hidden(network):
    def preprocess(image):
        raise ZeroDivisionError("of the caller's own")

    with pytest.raises(ZeroDivisionError, match="of the caller's own"):
        semrsm.extract(network, Counted(), layers="stem", preprocess=preprocess)
    assert all(not part._forward_hooks for part in network.modules())


@pytest.mark.parametrize("batch_size", [1, 3])
def test_images_of_different_sizes_are_refused_by_name(network, batch_size):
    def preprocess(image):
        side = 11 + image.getpixel((0, 0))[0]
        return np.zeros((3, side, side + (side > 12) * 2), np.float32)

    message = {
        1: r"^images: layer 'stem' gives shape \(4, 6, 7\) for image 'third' and \(4, 5, 5\)",
        3: r"^images: expected one shape \(3, 11, 11\) after preprocessing; got \(3, 12, 12\) for",
    }[batch_size]
    with pytest.raises(InputError, match=message):
        semrsm.extract(
            network, Counted(), layers="stem", preprocess=preprocess, batch_size=batch_size
        )


def test_preprocessing_may_give_tensors_and_must_give_three_dimensions(network):
    found = semrsm.extract(network, Counted(), layers="stem", preprocess=as_array)
    again = semrsm.extract(
        network,
        Counted(),
        layers="stem",
        preprocess=lambda image: torch.from_numpy(as_array(image)).double().requires_grad_(),
    )
    np.testing.assert_array_equal(found["stem"], again["stem"])
    with pytest.raises(InputError, match=r"got \(1, 3, 11, 11\) for image 'first'$"):
        semrsm.extract(
            network, Counted(), layers="stem", preprocess=lambda image: as_array(image)[None]
        )


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_arrays_of_other_floats(network, dtype):
    x = torch.from_numpy(images(2)).to(getattr(torch, dtype))
    found = semrsm.extract(network, x, layers="stem")["stem"]
    expected = semrsm.extract(network, x.float(), layers="stem")["stem"]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 3, 11, 11), np.uint8), r"^images: expected uint8 of shape \(N, H, W, 3\)"),
        (np.zeros((2, 3, 11, 11), np.int32), "^images: expected uint8 or floats; got int32"),
        (np.zeros((2, 3, 11, 11), bool), "^images: expected uint8 or floats; got bool"),
        (["a.png", 3], r"^images\[1\]: expected a path, a PIL image .*got int$"),
        (["a.png", "a.png"], "^images: expected distinct ids; got 'a.png' more than once"),
        (None, "^images: expected a folder, paths, .*; got NoneType"),
    ],
)
def test_refuses_images(network, given, message):
    with pytest.raises(InputError, match=message):
        semrsm.extract(network, given, layers="stem", preprocess=as_array)


def test_a_file_in_place_of_a_folder(network, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"^images: expected a folder of images; .* is a file$"):
        semrsm.extract(network, tmp_path / "a.png", layers="stem", preprocess=as_array)
