"""A small network, images some of which cannot be read, and extractions that are interrupted."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import semrsm

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


def start(script, *arguments):
    """Run `script` in a process of its own, which has the names of this module."""
    tests = Path(__file__).parents[2]
    code = f"import os, sys; sys.path.insert(0, {str(tests)!r})\n"
    code += "from features.store.store_helpers import *\n"
    code += "from semrsm.features import store\n"
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


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    damaged = bytearray(path.read_bytes())
    damaged[11] ^= 4
    path.write_bytes(damaged)
