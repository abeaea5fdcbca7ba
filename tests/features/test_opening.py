"""What people pass: data sets, loaders, generators, tuples and dictionaries, transforms."""

import numpy as np
import pytest

import semrsm
from features.networks import Small, images
from semrsm.errors import InputError
from semrsm.features.opening import open_images, usable_preprocess

torch = pytest.importorskip("torch", reason="features need torch")
data = torch.utils.data
X = torch.from_numpy(images(7))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Small()


@pytest.fixture(scope="module")
def expected(network):
    return semrsm.extract(network, X, layers="stem")["stem"]


class Named(data.Dataset):
    """Tensors, or anything made of them, with ids, in a data set without an end."""

    def __init__(self, make, broken=()):
        self.ids = [f"{i}.jpg" for i in range(len(X))]
        self.make = make
        self.broken = broken

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        if i in self.broken:
            raise FileNotFoundError("gone")
        return self.make(X[i % len(X)], i)


class Endless(Named):
    """The same without ids."""

    def __init__(self, make):
        super().__init__(make)
        del self.ids


def bare(x, i):
    return x


def pair(x, i):
    return x, i


def row(x, i):
    return {"label": i, "pixel_values": x}


def one(x, i):
    return {"pixel_values": x[None]}


class Iterable(data.IterableDataset):
    def __iter__(self):
        return iter((x, 0) for x in X)


def chunks(size):
    return [X[i : i + size] for i in range(0, len(X), size)]


FORMS = {
    "data set": lambda: Endless(bare),
    "data set of pairs": lambda: Endless(pair),
    "data set of dictionaries": lambda: Endless(row),
    "data set of batches of one": lambda: Endless(one),
    "TensorDataset": lambda: data.TensorDataset(X, torch.arange(len(X))),
    "Subset": lambda: data.Subset(Endless(pair), range(len(X))),
    "iterable data set": Iterable,
    "loader": lambda: data.DataLoader(X, batch_size=3),
    "loader of pairs": lambda: data.DataLoader(Endless(pair), batch_size=3),
    "loader of dictionaries": lambda: data.DataLoader(Endless(row), batch_size=3),
    "loader of lists": lambda: data.DataLoader(Endless(pair), batch_size=3, collate_fn=list),
    "loader without batches": lambda: data.DataLoader(Endless(pair), batch_size=None),
    "loader of an iterable": lambda: data.DataLoader(Iterable(), batch_size=3),
    "generator": lambda: (x for x in X),
    "generator of pairs": lambda: ((x, 1) for x in X),
    "generator of batches": lambda: iter(chunks(3)),
    "generator of batches with labels": lambda: ([x, torch.zeros(len(x))] for x in chunks(2)),
    "generator of dictionaries": lambda: ({"image": x} for x in chunks(4)),
    "generator of lists": lambda: iter([list(X[:4]), list(X[4:])]),
    "NumPy": lambda: (x.numpy() for x in X),
    "list": lambda: list(X),
    "list of pairs": lambda: [(x, 0) for x in X],
    "list of batches": lambda: chunks(3),
    "batch of a processor": lambda: {"pixel_values": X},
    "map": lambda: map(torch.clone, X),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same(network, expected, form):
    found = semrsm.extract(network, FORMS[form](), layers="stem", batch_size=2, check=False)
    np.testing.assert_allclose(found["stem"], expected, rtol=1e-5, atol=1e-6)
    assert found.ids == tuple(map(str, range(len(X))))
    assert found.provenance["preprocess"] == "done before"
    assert len(found.logits) == len(X)


def test_the_ids_of_a_data_set_are_kept(network):
    whole = Named(pair)
    for given in (whole, data.DataLoader(whole, batch_size=4)):
        found = semrsm.extract(network, given, layers="stem", check=False)
        assert found.ids == tuple(whole.ids)
    part = data.Subset(whole, [5, 2])
    for given in (part, data.DataLoader(part)):
        found = semrsm.extract(network, given, layers="stem", check=False)
        assert found.ids == ("5.jpg", "2.jpg")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_that_shuffles_keeps_ids_with_images(network, expected, workers):
    torch.manual_seed(3)
    loader = data.DataLoader(Named(pair), batch_size=2, shuffle=True, num_workers=workers)
    found = semrsm.extract(network, loader, layers="stem", check=False)
    assert found.ids != tuple(Named(pair).ids)
    assert sorted(found.ids) == Named(pair).ids
    for name, values in zip(found.ids, found["stem"], strict=True):
        place = int(name.removesuffix(".jpg"))
        np.testing.assert_allclose(values, expected[place], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("workers", [0, 1])
def test_images_that_a_loader_cannot_read_are_left_out(network, expected, workers):
    loader = data.DataLoader(Named(pair, [1, 4]), batch_size=3, num_workers=workers)
    with pytest.warns(UserWarning, match=r"^2 images were left out: 1\.jpg: gone; 4\.jpg: gone$"):
        found = semrsm.extract(network, loader, layers="stem", check=False)
    assert found.ids == ("0.jpg", "2.jpg", "3.jpg", "5.jpg", "6.jpg")
    np.testing.assert_allclose(found["stem"], expected[[0, 2, 3, 5, 6]], rtol=1e-5, atol=1e-6)
    with pytest.raises(FileNotFoundError, match="gone"):
        semrsm.extract(network, loader, layers="stem", check=False, on_error="raise")


def test_drop_last_and_samplers_are_respected(network):
    loader = data.DataLoader(X, batch_size=3, drop_last=True)
    assert len(semrsm.extract(network, loader, layers="stem", check=False).ids) == 6
    loader = data.DataLoader(X, sampler=[4, 0])
    assert semrsm.extract(network, loader, layers="stem", check=False).ids == ("4", "0")
    loader = data.DataLoader(X, batch_sampler=[[6, 1], [3]])
    assert semrsm.extract(network, loader, layers="stem", check=False).ids == ("6", "1", "3")
    again = data.RandomSampler(X, replacement=True, num_samples=10**9)
    with pytest.raises(InputError, match=r"^images: .*\(RandomSampler\) draws image \d again"):
        semrsm.extract(network, data.DataLoader(X, sampler=again), layers="stem")


def test_stores_of_what_can_be_read_again(network, expected, tmp_path):
    pytest.importorskip("zarr", reason="an optional dependency")
    loader = data.DataLoader(Named(row), batch_size=3)
    out = tmp_path / "f.zarr"
    for _ in range(2):
        found = semrsm.extract(network, loader, layers="stem", check=False, out=out)
        np.testing.assert_allclose(found["stem"][:], expected, rtol=1e-5, atol=1e-6)
    fixed = data.DataLoader(Named(row), sampler=[3, 1])
    found = semrsm.extract(network, fixed, layers="stem", check=False, out=tmp_path / "g.zarr")
    assert found.ids == ("3.jpg", "1.jpg")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: (x for x in X), "^out: expected images that can be read again.*; got generator"),
        (Iterable, "^out: expected images that can be read again.*; got Iterable"),
        (
            lambda: data.DataLoader(X, shuffle=True),
            r"^out: expected images in a fixed order.* shuffles \(RandomSampler\)",
        ),
    ],
)
def test_stores_of_what_cannot_be_read_again_are_refused(network, tmp_path, given, message):
    torch.manual_seed(0)
    out = tmp_path / "f.zarr"
    with pytest.raises(InputError, match=message):
        semrsm.extract(network, given(), layers="stem", out=out)
    assert not out.exists()


def test_progress_of_a_stream(network):
    told = []
    semrsm.extract(
        network, iter(X), layers="stem", batch_size=3, check=False,
        progress=lambda *both: told.append(both),
    )  # fmt: skip
    assert told == [(3, 3), (6, 6), (7, 7)]


def test_photographs_in_tuples_and_8_bits_are_preprocessed(network):
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 255, (3, 11, 11, 3), dtype=np.uint8)

    def preprocess(image):
        return torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)

    done = semrsm.extract(
        network, torch.stack([preprocess(p) for p in pixels]), layers="stem", check=False
    )
    first = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    for form in (
        [(Image.fromarray(p), 1) for p in pixels],
        ({"image": Image.fromarray(p)} for p in pixels),
        ((p, "label") for p in pixels),
        data.TensorDataset(first),
        data.DataLoader(data.TensorDataset(first), batch_size=2),
        data.DataLoader([(Image.fromarray(p), 1) for p in pixels], collate_fn=list),
    ):
        found = semrsm.extract(network, form, layers="stem", preprocess=preprocess, check=False)
        np.testing.assert_allclose(found["stem"], done["stem"], rtol=1e-5, atol=1e-6)
        assert "preprocess" in found.provenance["preprocess"]


def test_an_image_that_is_not_upright_is_turned_once(tmp_path):
    from PIL import Image

    from semrsm.datasets import open_image
    from semrsm.datasets.images import upright_rgb

    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "a.png", "a.webp"):
        Image.new("RGB", (8, 4)).save(tmp_path / name, exif=exif)
        found = open_image(tmp_path / name)
        assert upright_rgb(found).size == upright_rgb(upright_rgb(found)).size == (4, 8)


def test_an_image_processor_is_a_preprocessing(network):
    transformers = pytest.importorskip("transformers", reason="an optional dependency")
    from PIL import Image

    processor = transformers.ViTImageProcessorPil(size={"height": 11, "width": 11})
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 20, 3), dtype=np.uint8))
    ready = processor(photo, return_tensors="pt")["pixel_values"]

    class Both:
        """A processor of images and text."""

        image_processor = processor

    expected = semrsm.extract(network, ready, layers="stem", check=False)["stem"]
    for given in (processor, Both()):
        found = semrsm.extract(network, [photo], layers="stem", preprocess=given, check=False)
        np.testing.assert_allclose(found["stem"], expected, rtol=1e-5, atol=1e-6)
        assert found.provenance["preprocess"]["class"] == "ViTImageProcessorPil"
    batch = semrsm.extract(network, processor([photo], return_tensors="pt"), layers="stem")
    np.testing.assert_allclose(batch["stem"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "^images: expected at least one image; got none"),
        (iter([]), "^images: expected at least one image; got none"),
        (Endless(lambda x, i: "text"), r"text: cannot be read as an image"),
        (Endless(lambda x, i: 3), r"^images\[0\]: expected a path, a PIL image.*; got int"),
        (Endless(lambda x, i: x[0]), r"^images\[0\]: expected one image.*got an array of shape"),
        (Endless(lambda x, i: {"y": x}), r"^images\[0\]: expected a dictionary with.*got 'y'"),
        (Endless(lambda x, i: x.long()), r"^images\[0\]: expected uint8 or floats; got int64"),
        ({"labels": 1}, "^images: expected a dictionary with one of pixel_values.*got 'labels'"),
        ((x[0] for x in X), r"^images\[0\]: expected one image, floats"),
        (3, "^images: expected a folder, paths, .* got int"),
    ],
)
@pytest.mark.filterwarnings("ignore:7 images were left out")
def test_refuses(network, given, message):
    with pytest.raises((InputError, OSError), match=message):
        semrsm.extract(
            network, given, layers="stem", check=False, on_error="raise", preprocess=np.asarray
        )


def test_refuses_preprocessing():
    from PIL import Image

    with pytest.raises(InputError, match="^preprocess: expected a function.*; got str$"):
        usable_preprocess("resize")
    source = open_images([Image.new("RGB", (5, 5))], lambda image: image.resize((4, 4)))
    with pytest.raises(InputError, match="^preprocess: .*it gives a PIL image"):
        source.read(0, 1, "raise")
    with pytest.raises(InputError, match="^preprocess: expected a function from a PIL image"):
        open_images(Endless(lambda x, i: Image.new("RGB", (5, 5))), None).read(0, 1, "raise")
