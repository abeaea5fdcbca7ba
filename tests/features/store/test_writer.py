"""A store is filled chunk by chunk, and goes on after an interruption at any moment."""

import errno
import os
import resource
import signal
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import semrsm
from features.store.store_helpers import (
    EXTRACT,
    LAYERS,
    Network,
    Photos,
    begun,
    cut,
    extract,
    files,
    flip,
    interrupt,
    nn,
    same,
    start,
    wait_for,
    zarr,
)
from semrsm.errors import InputError
from semrsm.features import store
from semrsm.tokens import measure


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


def test_fingerprints_are_those_of_the_content(tmp_path):
    found = extract(Network(), Photos(10), tmp_path / "f.zarr")
    told = store.attributes_of(tmp_path / "f.zarr")["fingerprints"]
    expected = extract(Network(), Photos(10))
    assert told == {layer: measure(expected[layer]).fingerprint for layer in LAYERS}
    assert told == {layer: measure(found[layer]).fingerprint for layer in LAYERS}
    extract(Network(), Photos(10), tmp_path / "g.zarr", batch_size=10)
    extract(Network(), Photos(10, seed=1), tmp_path / "h.zarr")
    assert store.attributes_of(tmp_path / "h.zarr")["fingerprints"] != told


def test_the_size_of_a_chunk(tmp_path, monkeypatch):
    """The largest layer has between half of the limit and the limit; all have as many images."""
    monkeypatch.setattr(store.writer, "CHUNK_IMAGES", 10**6)
    monkeypatch.setattr(store.writer, "CHUNK_BYTES", 5000)
    found = extract(Network(), Photos(20), tmp_path / "f.zarr")
    largest = 25 * 6 * 4
    assert found["stem"].chunks[0] == found["body"].chunks[0] == 5000 // largest
    monkeypatch.setattr(store.writer, "CHUNK_BYTES", 10)
    assert extract(Network(), Photos(3), tmp_path / "g.zarr")["stem"].chunks[0] == 1


#: Images of noise that a proof takes.
PROBE = 20


@pytest.mark.parametrize("after", [1, 4, 6, 8, 10, 12, 13, 14])
def test_an_interrupted_extraction_goes_on(tmp_path, after):
    undisturbed = tmp_path / "whole.zarr"
    expected = extract(Network(), Photos(14), undisturbed)
    begun(tmp_path / "f.zarr", after)
    network = Network()
    same(extract(network, Photos(14), tmp_path / "f.zarr"), extract(Network(), Photos(14)))
    assert files(tmp_path / "f.zarr") == files(undisturbed)
    stored = min(-(-after // 3) * 3, 14) // 4 * 4
    # Layouts are proven once; a batch that was written in part is run again.
    assert network.images <= 14 - stored + 2 + (PROBE if after == 1 else 0)
    assert len(expected.ids) == 14


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
