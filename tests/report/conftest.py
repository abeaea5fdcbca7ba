"""A small set of images with everything that a page may show, and a browser to look at it."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm.features import Features

#: Nothing that it would do on its own: no updates, no telemetry, no other network.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

EVIL = "<script>alert(1)</script>"


class Pictures:
    """A data set of small photographs."""

    def __init__(self, ids, groups, seed=0):
        self.ids = tuple(ids)
        self.groups = tuple(groups)
        self._seed = seed

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        pil = pytest.importorskip("PIL.Image", reason="needs the extra 'features'")
        rng = np.random.default_rng(self._seed + index)
        small = rng.integers(256, size=(8, 8, 3)).astype(np.uint8)
        return pil.fromarray(small).resize((96, 96))


class Material:
    """Images in three groups; those of a group hold the same concept vectors, moved."""

    layers = ("early", "late")
    matchers = ("none", "optimal")
    kernels = ("cosine", "rbf")

    def __init__(self):
        rng = np.random.default_rng(7)
        groups, arrays = [], {"early": [], "late": []}
        for group in ("birds", "cars", EVIL):
            base = {"early": rng.normal(size=(6, 6, 6)), "late": rng.normal(size=(12, 3, 3))}
            for moved in range(4):
                groups.append(group)
                for layer, values in base.items():
                    rolled = np.roll(values, moved, axis=2)
                    arrays[layer].append(rolled + 0.3 * rng.normal(size=values.shape))
        # Not sorted, so that orders differ from one another.
        order = rng.permutation(len(groups))
        self.groups = tuple(groups[k] for k in order)
        self.ids = (*(f"image {k:02}" for k in rng.permutation(len(groups))[:-1]), EVIL)
        self.arrays = {
            layer: np.stack([values[k] for k in order]).astype(np.float32)
            for layer, values in arrays.items()
        }
        self.features = Features(self.arrays, self.ids, provenance={"model": "synthetic"})
        self.grams = {
            (layer, matcher): semrsm.gram(self.arrays[layer], matcher=matcher, ids=self.ids)
            for layer in self.layers
            for matcher in self.matchers
        }
        self.images = Pictures(self.ids, self.groups)

    def rsm(self, layer, matcher, kernel="cosine"):
        return self.grams[layer, matcher].rsm(kernel)


@pytest.fixture(scope="session")
def material():
    return Material()


def chromium():
    """Return a browser that is installed, or None; none is ever downloaded."""
    named = os.environ.get("SEMRSM_CHROMIUM")
    for name in (named,) if named else ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    return None


@pytest.fixture(scope="session")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = chromium()
    if path is None:
        pytest.skip("needs Chromium: install it, or name it in SEMRSM_CHROMIUM")
    with sync.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Open a page from disk; at the end, fail if it complained or asked for anything elsewhere."""
    with contextlib.ExitStack() as opened:
        complaints = []

        def run(path: Path, *, width=1280, height=900, scheme="light", **options):
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, **options
            )
            opened.callback(context.close)
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))

            def asked(request):
                if not request.url.startswith(("file:", "data:")):
                    complaints.append(request.url)

            page.on("request", asked)
            page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
            page.goto(path.as_uri())
            return page

        yield run
        assert complaints == []
