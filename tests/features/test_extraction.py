"""``extract``: what it keeps, what it restores, and what it refuses."""

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.features.layers import choose_layers

torch = pytest.importorskip("torch", reason="features need torch")
nn = torch.nn


class Small(nn.Module):
    """Two convolutions with a ReLU in place, and class scores."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.blocks = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class measure(nn.Module):
    """Gives `count` tokens of three channels."""

    def __init__(self, count, prefix=None):
        super().__init__()
        self.body = nn.Identity()
        self.count = count
        if prefix is not None:
            self.num_prefix_tokens = prefix

    def forward(self, x):
        values = torch.arange(self.count, dtype=torch.float32).repeat(len(x), 1)
        return self.body(values[:, :, None].repeat(1, 1, 3) + x.mean((1, 2, 3))[:, None, None])


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small()


def images(count=5, side=11):
    return np.random.default_rng(0).normal(size=(count, 3, side, side)).astype(np.float32)


def test_values_are_those_of_the_network(network):
    x = images()
    found = semrsm.extract(network, x, layers=["stem", "blocks.0"], batch_size=2)
    network.eval()
    with torch.no_grad():
        stem = network.stem(torch.from_numpy(x))
        first = network.blocks[0](stem)
        logits = network(torch.from_numpy(x))
    np.testing.assert_allclose(found["stem"], stem.numpy(), rtol=1e-5, atol=1e-6)
    # The ReLU behind this layer writes in place; what is kept came before it.
    np.testing.assert_allclose(found["blocks.0"], first.numpy(), rtol=1e-5, atol=1e-6)
    assert (found["blocks.0"] < 0).any()
    np.testing.assert_allclose(found.logits, logits.numpy(), rtol=1e-5, atol=1e-6)
    assert found.ids == ("0", "1", "2", "3", "4")
    assert found["stem"].dtype == np.float32


def test_a_last_small_batch_is_not_lost(network):
    whole = semrsm.extract(network, images(7), layers="stem", batch_size=7)
    for size in (1, 3, 4, 100):
        found = semrsm.extract(network, images(7), layers="stem", batch_size=size)
        np.testing.assert_allclose(found["stem"], whole["stem"], rtol=1e-5, atol=1e-6)


def test_modes_are_restored_part_by_part(network):
    network.train()
    network.blocks[2].eval()
    before = [part.training for part in network.modules()]
    semrsm.extract(network, images(), layers="stem")
    assert [part.training for part in network.modules()] == before
    with pytest.raises(InputError):
        semrsm.extract(network, images() * np.inf, layers="stem")
    assert [part.training for part in network.modules()] == before
    assert all(not part._forward_hooks for part in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_dropout_is_off(network):
    network.train()
    one, two = (semrsm.extract(network, images(), layers="blocks.2") for _ in range(2))
    np.testing.assert_array_equal(one["blocks.2"], two["blocks.2"])


def test_globs():
    names = ["stem", "blocks", "blocks.0", "blocks.0.conv", "blocks.1", "blocks.10", "head"]
    assert choose_layers(names, "blocks.*") == ["blocks.0", "blocks.1", "blocks.10"]
    assert choose_layers(names, "blocks.?") == ["blocks.0", "blocks.1"]
    assert choose_layers(names, "blocks.**") == names[2:6]
    assert choose_layers(names, ["head", "stem", "stem"]) == ["stem", "head"]
    assert choose_layers(names, "blocks.0") == ["blocks.0"]


@pytest.mark.parametrize(("tokens", "dropped"), [(16, 0), (17, 1), (21, 5), (257, 1), (261, 5)])
def test_prefix_tokens_are_inferred_from_a_square_grid(tokens, dropped):
    found = semrsm.extract(measure(tokens), images(2), layers="body")
    assert found["body"].shape == (2, tokens - dropped, 3)
    difference = found["body"][0, 0, 0] - images(2)[0].mean()
    assert difference == pytest.approx(dropped, abs=1e-5)


def test_prefix_tokens_are_taken_from_the_network_or_the_caller():
    network = measure(20, prefix=8)
    assert semrsm.extract(network, images(1), layers="body")["body"].shape == (1, 12, 3)
    for given, kept in ((3, 17), ("keep", 20), (0, 20)):
        found = semrsm.extract(network, images(1), layers="body", prefix_tokens=given)
        assert found["body"].shape == (1, kept, 3)


def test_nested_outputs_give_their_first_spatial_tensor():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Inner()

        def forward(self, x):
            return self.body(x)["maps"][1]

    class Inner(nn.Module):
        def forward(self, x):
            return {"pooled": x.mean((2, 3)), "maps": (None, x * 2)}

    found = semrsm.extract(Nested(), images(2), layers="body")
    np.testing.assert_array_equal(found["body"], images(2) * 2)


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


def test_progress_counts_images(network):
    seen = []
    semrsm.extract(
        network, images(5), layers="stem", batch_size=2, progress=lambda *p: seen.append(p)
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_float16(network):
    found = semrsm.extract(network, images(), layers="stem", dtype="float16")
    assert found["stem"].dtype == np.float16
    with pytest.raises(InputError, match="^dtype: layer 'stem' leaves the range of float16"):
        semrsm.extract(network, images() * 1e6, layers="stem", dtype="float16")


def test_provenance(network):
    facts = semrsm.extract(network, images(), layers="stem").provenance
    assert facts["model"] == "Small"
    assert facts["layers"] == ["stem"]
    assert facts["images"] == 5
    assert facts["grids"] == {"stem": (5, 5)}
    with torch.no_grad():
        network.head.bias[0] += 1
    changed = semrsm.extract(network, images(), layers="stem").provenance
    assert changed["state_sha256"] != facts["state_sha256"]


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 3, 1)
        self.unused = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.body(self.body(x))


NAN = images()
NAN[3, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: semrsm.extract(3, images(), layers="a"), "^model: expected a name, a Model or a"),
        (lambda: semrsm.extract("effnet", images(), layers="a"), "^model: "),
        (lambda: semrsm.extract(Small(), images()), "^layers: expected names of layers; a bare"),
        (lambda: semrsm.extract(Small(), images(), layers=[]), "^layers: expected at least one"),
        (
            lambda: semrsm.extract(Small(), images(), layers="block.0"),
            r"^layers: 'block.0' fits no layer. Did you mean 'blocks.0'\? There are stem, blocks",
        ),
        (
            lambda: semrsm.extract(Small(), images(), layers="head"),
            r"^layers: 'head' has no spatial extent; expected feature maps \(N, C, H, W\) or tok",
        ),
        (
            lambda: semrsm.extract(Twice(), images(), layers="body"),
            "^layers: the network runs 'body' more than once for one image",
        ),
        (
            lambda: semrsm.extract(Twice(), images(), layers="unused"),
            "^layers: 'unused' exists, but the network does not run it",
        ),
        (
            lambda: semrsm.extract(measure(23), images(), layers="body"),
            "^prefix_tokens: layer 'body' has 23 tokens, which are no square grid after 0, 1, 5",
        ),
        (
            lambda: semrsm.extract(measure(9), images(), layers="body", prefix_tokens=9),
            "^prefix_tokens: layer 'body' has 9 tokens; 9 cannot be dropped",
        ),
        (
            lambda: semrsm.extract(measure(9), images(), layers="body", prefix_tokens="some"),
            "^prefix_tokens: expected a number >= 0, 'auto' or 'keep'; got 'some'",
        ),
        (
            lambda: semrsm.extract(Small(), NAN, layers="stem"),
            "^model: layer 'stem' gives NaN or infinite values for image '3'",
        ),
        (
            lambda: semrsm.extract(Small(), images(), layers="stem", batch_size=0),
            "^batch_size: expected a whole number >= 1; got 0",
        ),
        (
            lambda: semrsm.extract(Small(), images(), layers="stem", dtype="int8"),
            "^dtype: expected 'float32' or 'float16'; got 'int8'",
        ),
        (
            lambda: semrsm.extract(Small(), images(), layers="stem", on_error="pass"),
            "^on_error: expected 'skip' or 'raise'; got 'pass'",
        ),
        (
            lambda: semrsm.extract(Small(), images(), layers="stem", device="warp"),
            "^device: 'warp' cannot be used here",
        ),
        (
            lambda: semrsm.extract(Small(), images(0), layers="stem"),
            "^images: expected uint8 .* with at least one image",
        ),
        (
            lambda: semrsm.extract(Small(), images()[0], layers="stem"),
            r"^images: .*got shape \(3, 11, 11\)",
        ),
        (lambda: semrsm.extract(Small(), [], layers="stem"), "^images: expected at least one im"),
        (lambda: semrsm.extract(Small(), 7, layers="stem"), "^images: expected a folder, paths"),
        (
            lambda: semrsm.extract(Small(), ["a.png"], layers="stem"),
            "^preprocess: expected a function from a PIL image",
        ),
        (
            lambda: semrsm.extract(Small(), "no such folder", layers="stem"),
            "^images: expected a folder of images; 'no such folder' does not exist",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()


class Counted:
    """A data set of the caller's own, some of whose images cannot be read."""

    def __init__(self, broken=()):
        self.ids = ("first", "second", "third")
        self.broken = broken
        self.read = []

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        from PIL import Image

        self.read.append(index)
        if index in self.broken:
            raise FileNotFoundError("gone")
        return Image.new("RGB", (11, 11), (index, 0, 0))


def as_array(image):
    return np.asarray(image, np.float32).transpose(2, 0, 1)


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


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_networks_of_other_floats(network, dtype):
    expected = semrsm.extract(network, images(), layers="stem")
    network.to(getattr(torch, dtype))
    found = semrsm.extract(network, images(), layers="stem")
    np.testing.assert_allclose(found["stem"], expected["stem"], rtol=0.05, atol=0.05)
    assert found["stem"].dtype == found.logits.dtype == np.float32
    assert network.stem.weight.dtype == getattr(torch, dtype)


def test_a_network_can_be_trained_after_extraction():
    """Some networks keep tensors that they computed while running, such as positions."""

    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 2, 1)
            self.kept = None

        def forward(self, x):
            if self.kept is None:
                self.kept = torch.ones(1, 2, 1, 1) * 2
            return self.body(x) * self.kept

    network = Caching()
    semrsm.extract(network, images(1), layers="body")
    network(torch.from_numpy(images(1))).sum().backward()
    assert network.body.weight.grad is not None


def test_hooks_of_the_caller_stay(network):
    seen = []
    handle = network.stem.register_forward_hook(lambda *_: seen.append(1))
    semrsm.extract(network, images(4), layers="stem", batch_size=2)
    assert seen == [1, 1]
    assert len(network.stem._forward_hooks) == 1
    handle.remove()


def test_nothing_that_has_no_spatial_extent_counts_as_logits():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Identity()

        def forward(self, x):
            return (self.body(x), x.mean((2, 3)))

    assert semrsm.extract(Pooled(), images(2), layers="body").logits is None


def test_class_scores_that_are_not_finite():
    class Scores(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Identity()

        def forward(self, x):
            return self.body(x).mean((2, 3)) / 0

    with pytest.raises(InputError, match="^model: its class scores are NaN or infinite"):
        semrsm.extract(Scores(), images(2), layers="body")


def test_parts_that_work_on_pieces_of_images_are_refused():
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Identity()

        def forward(self, x):
            return self.body(x.repeat(4, 1, 1, 1))[: len(x)]

    message = r"^layers: 'body' gives \(20, 3, 11, 11\) for 5 images; expected the images first"
    with pytest.raises(InputError, match=message):
        semrsm.extract(Windows(), images(), layers="body")


def test_grids_of_tokens_follow_the_proportions_of_the_input():
    wide = np.zeros((1, 3, 20, 40), np.float32)
    found = semrsm.extract(measure(8), wide, layers="body", prefix_tokens=0)
    assert found.provenance["grids"] == {"body": (2, 4)}
    found = semrsm.extract(measure(7), wide, layers="body", prefix_tokens=0)
    assert found.provenance["grids"] == {}


def test_provenance_tells_the_preprocessing(network):
    from semrsm.features.preprocess import Preprocess

    preprocess = Preprocess(11, 12, (0, 0, 0), (255, 255, 255))
    facts = semrsm.extract(network, Counted(), layers="stem", preprocess=preprocess).provenance
    assert Preprocess.of(facts) == preprocess
    facts = semrsm.extract(network, images(), layers="stem", preprocess=preprocess).provenance
    assert facts["preprocess"] == "done before"
    facts = semrsm.extract(network, Counted(), layers="stem", preprocess=as_array).provenance
    assert "as_array" in facts["preprocess"]


@pytest.mark.parametrize("device", ["meta", ["cpu"], "cuda:99", "cpu:x"])
def test_devices_that_cannot_be_used(network, device):
    before = network.stem.weight.clone()
    with pytest.raises(InputError, match="^device: .* cannot be used here"):
        semrsm.extract(network, images(), layers="stem", device=device)
    assert torch.equal(network.stem.weight, before)


def test_devices_that_can(network):
    for device in ("cpu", torch.device("cpu")):
        assert len(semrsm.extract(network, images(), layers="stem", device=device)["stem"]) == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 3, 11, 11), np.uint8), r"^images: expected uint8 of shape \(N, H, W, 3\)"),
        (np.zeros((2, 3, 11, 11), np.int32), "^images: expected uint8 or floats; got int32"),
        (np.zeros((2, 3, 11, 11), bool), "^images: expected uint8 or floats; got bool"),
        (["a.png", 3], r"^images\[0\]: expected a path or a PIL image .*got str$"),
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


def test_the_network_is_not_run_ahead_of_a_mistake(network):
    """Names, sizes and options are looked at before any image is."""
    data = Counted()
    for wrong in (
        {"layers": "stems"},
        {"layers": "stem", "batch_size": 0},
        {"layers": "stem", "dtype": "f"},
        {"layers": "stem", "device": "warp"},
        {"layers": "stem", "prefix_tokens": -1},
        {"layers": "stem", "on_error": "ignore"},
    ):
        with pytest.raises(InputError):
            semrsm.extract(network, data, preprocess=as_array, **wrong)
    assert data.read == []


def test_a_cat_is_a_cat():
    """The network in the package sees what is in a photograph (classes 281–285 are cats)."""
    photos = [photo for name, photo in semrsm.datasets.sample_photos() if name == "cat"]
    found = semrsm.extract("efficientnet-lite0", photos, layers=["_blocks.10", "_blocks.15"])
    assert found["_blocks.10"].shape == (1, 112, 14, 14)
    assert found["_blocks.15"].shape == (1, 320, 7, 7)
    assert found.logits.argmax() in range(281, 286)
