"""Exact retrieval of images, side by side with solving every pair and with approximate ways.

::

    python benchmarks/retrieval.py                                   # a few minutes
    python benchmarks/retrieval.py --photos FOLDER --sizes 1000 10000 --cache features.zarr

Galleries are random crops of photographs through EfficientNet-Lite0, at S = 49 (C = 320) and S =
196 (C = 112); an image is relevant if it shows the same photograph as the query. Every way gets the
same features and cores. Rounds alternate between the ways and the best one of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import semrsm
from semrsm.retrieval.search import TILE_BYTES

LAYERS = {49: "_blocks.15", 196: "_blocks.10"}
CROP_AREA = 0.04, 0.25  # of the photograph: two crops of one seldom overlap
LARGEST_SIDE = 640  # pixels to which photographs are reduced before they are cropped
LONG = 20.0  # seconds of a way that is not measured again


class RandomCrops:
    """Crop n shows photograph n modulo their number: any first part is a balanced gallery."""

    def __init__(self, photos: list[tuple[str, Any]], count: int, side: int = 224) -> None:
        self.photos = photos
        self.side = side
        self.groups = [n % len(photos) for n in range(count)]
        self.ids = tuple(f"{photos[g][0]} {n // len(photos)}" for n, g in enumerate(self.groups))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Any:
        rng = np.random.default_rng(index)
        photo = self.photos[self.groups[index]][1]
        width, height = photo.size
        area = rng.uniform(*CROP_AREA) * width * height
        shape = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))  # width ÷ height
        across = min(width, round((area * shape) ** 0.5))
        down = min(height, round((area / shape) ** 0.5))
        left, top = rng.integers(width - across + 1), rng.integers(height - down + 1)
        crop = photo.crop((left, top, left + across, top + down))
        return crop.resize((self.side, self.side), 3)  # 3: bicubic


def photographs(folders: list[Path]) -> list[tuple[str, Any]]:
    """Return the photographs of the folders, or those of scikit-image where none are given."""
    from semrsm.datasets import ImageFolder, sample_photos

    sources = [ImageFolder(folder) for folder in folders] if folders else None
    found = []
    if sources is None:
        found = list(sample_photos())
    else:
        for source in sources:
            found += [(name, source[n]) for n, name in enumerate(source.ids)]
    for _, photo in found:
        photo.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return found


def features(photos: list[tuple[str, Any]], count: int, store: Path) -> Any:
    """Extract the crops' features to a store, or resume it."""
    crops = RandomCrops(photos, count)
    start = time.perf_counter()
    told = [start]

    def progress(done: int, total: int) -> None:
        now = time.perf_counter()
        if now - told[0] > 30:
            told[0] = now
            print(f"{done} of {total} crops, {now - start:.0f} s", file=sys.stderr, flush=True)

    return semrsm.extract(
        "efficientnet-lite0",
        crops,
        layers=list(LAYERS.values()),
        batch_size=32,
        out=store,
        progress=progress,
    )


# ------------------------------------------------------------------------------------------ ways


class Ways:
    """Every way to find the nearest images of one gallery, on the same tokens and threads."""

    def __init__(
        self, queries: np.ndarray, gallery: np.ndarray, workers: int, candidates: int
    ) -> None:
        self.queries, self.gallery = queries, gallery
        self.workers = workers
        self.candidates = candidates
        self.index = semrsm.Index(gallery)
        self.units = unit(queries), unit(gallery)
        self.tasks: dict[str, Callable[[], np.ndarray]] = {
            "product alone": self.product,
            "MaxSim": self.maxsim,
            "topk, k = 1": lambda: self.topk(1),
            "topk, k = 10": lambda: self.topk(10),
            "everything solved": self.everything,
        }
        self.solved: dict[str, float] = {}
        try:
            import faiss

            faiss.omp_set_num_threads(workers)
        except ImportError:
            print("faiss is not installed: the approximate ways are left out", file=sys.stderr)
        else:
            means = [unit(tokens.mean(axis=1)) for tokens in (queries, gallery)]
            flat = faiss.IndexFlatIP(means[1].shape[1])
            flat.add(means[1])
            self.tasks["mean-pooled, FAISS"] = lambda: flat.search(means[0], 10)[1]
            self.tasks[f"approximate_topk, {candidates}"] = self.approximate

    def topk(self, k: int) -> np.ndarray:
        found = semrsm.topk(self.queries, self.index, k, workers=self.workers)
        self.solved[f"topk, k = {k}"] = found.solved / found.pairs
        return found.indices

    def everything(self) -> np.ndarray:
        self.values = semrsm.rsm(self.queries, self.gallery, workers=self.workers).values
        self.solved["everything solved"] = 1.0
        return np.argsort(-self.values, axis=1, kind="stable")[:, :10]

    def approximate(self) -> np.ndarray:
        found = semrsm.approximate_topk(
            self.queries, self.index, 10, candidates=self.candidates, workers=self.workers
        )
        pairs = len(self.queries) * len(self.index)
        self.solved[f"approximate_topk, {self.candidates}"] = found.solved / pairs
        return found.indices

    def product(self) -> np.ndarray:
        self.tiles(*self.units, lambda affinity, rows, columns: None)
        return np.empty((0, 0))

    def maxsim(self) -> np.ndarray:
        scores = np.empty((len(self.queries), len(self.gallery)), dtype=np.float32)
        size = self.queries.shape[1]

        def reduce(affinity: np.ndarray, rows: slice, columns: slice) -> None:
            count = affinity.shape[1] // size
            best = affinity.reshape(len(affinity), count, size).max(axis=2)
            scores[rows, columns] = best.reshape(-1, size, count).sum(axis=1)

        self.tiles(*self.units, reduce)
        return np.argsort(-scores, axis=1, kind="stable")[:, :10]

    def tiles(
        self,
        queries: np.ndarray,
        gallery: np.ndarray,
        use: Callable[[np.ndarray, slice, slice], None],
    ) -> None:
        """Multiply the concept vectors tile by tile, as topk does, and use each product."""
        size, channels = queries.shape[1:]
        pairs = max(1, TILE_BYTES // (size * size * 4))
        height = max(1, min(int(pairs**0.5), len(queries)))
        width = max(1, pairs // height)
        left, right = queries.reshape(-1, channels), gallery.reshape(-1, channels)
        local = threading.local()

        def one(first: int) -> None:
            if not hasattr(local, "buffer"):
                local.buffer = np.empty(height * width * size * size, dtype=np.float32)
            columns = slice(first, min(first + width, len(gallery)))
            for top in range(0, len(queries), height):
                rows = slice(top, min(top + height, len(queries)))
                shape = (rows.stop - top) * size, (columns.stop - first) * size
                out = local.buffer[: shape[0] * shape[1]].reshape(shape)
                part = right[first * size : columns.stop * size]
                np.matmul(left[top * size : rows.stop * size], part.T, out=out)
                use(out, rows, columns)

        with threadpool_limits(1), ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(one, range(0, len(gallery), width)))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Divide vectors by their norms."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


# ----------------------------------------------------------------------------------- measurement


@dataclass
class Row:
    """One way on one gallery."""

    vectors: int
    gallery: int
    way: str
    milliseconds_per_query: float
    queries_per_second: float
    times_maxsim: float
    solved: float | None
    recall: float | None  # of the exact ten
    f1_at_1: float | None
    f1_at_10: float | None


def measure(ways: Ways, groups: tuple[np.ndarray, np.ndarray], rounds: int) -> list[Row]:
    """Time all ways in turn, check that topk is exact, and score their results."""
    seconds = dict.fromkeys(ways.tasks, np.inf)
    found = {}
    for turn in range(rounds):
        for name, task in ways.tasks.items():
            if turn and seconds[name] > LONG:
                continue
            start = time.perf_counter()
            found[name] = task()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    best = np.sort(ways.values, axis=1)[:, ::-1][:, :10]
    for name, k in (("topk, k = 1", 1), ("topk, k = 10", 10)):
        values = np.take_along_axis(ways.values, found[name], axis=1)
        if not np.allclose(values, best[:, :k], rtol=1e-6, atol=0):
            sys.exit(f"{name} differs from solving everything")
    exact = found["topk, k = 10"]
    rows = []
    for name, indices in found.items():
        depth = indices.shape[1] if indices.size else 0
        same = groups[1][indices] == groups[0][:, None] if depth else None
        recall = None
        if depth == 10:
            pairs = zip(indices.tolist(), exact.tolist(), strict=True)
            recall = float(np.mean([len(set(a) & set(b)) / 10 for a, b in pairs]))
        each = seconds[name] / len(ways.queries)
        rows.append(
            Row(
                vectors=ways.queries.shape[1],
                gallery=len(ways.gallery),
                way=name,
                milliseconds_per_query=each * 1e3,
                queries_per_second=1 / each,
                times_maxsim=seconds[name] / seconds["MaxSim"],
                solved=ways.solved.get(name),
                recall=recall,
                f1_at_1=None if same is None else float(same[:, 0].mean()),
                f1_at_10=float(same.mean()) if same is not None and depth == 10 else None,
            )
        )
    return rows


def show(rows: list[Row]) -> list[str]:
    """Return the table of one gallery, and the ratios of the targets."""

    def cell(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    head = f"{'':24}{'ms/query':>10}{'queries/s':>11}{'÷ MaxSim':>10}{'solved':>9}"
    lines = [f"{head}{'recall':>8}{'F1@1':>8}{'F1@10':>8}"]
    lines.extend(
        f"{row.way:24}{row.milliseconds_per_query:10.2f}{row.queries_per_second:11.1f}"
        f"{row.times_maxsim:10.2f}{cell(row.solved, '.2%'):>9}{cell(row.recall, '.3f'):>8}"
        f"{cell(row.f1_at_1, '.3f'):>8}{cell(row.f1_at_10, '.3f'):>8}"
        for row in rows
    )
    times = {row.way: row.milliseconds_per_query for row in rows}
    product = times["product alone"]
    ratio = (times["everything solved"] - product) / max(times["topk, k = 10"] - product, 1e-9)
    share = times["topk, k = 10"] / times["MaxSim"]
    lines.append(
        f"beyond the product, topk (k = 10) is {ratio:.1f} x faster than solving everything"
    )
    lines.append(f"topk (k = 10) costs {share:.2f} x MaxSim")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--photos", type=Path, nargs="+", default=[], help="folders (default: scikit-image's)"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 1000], help="of galleries")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--cache", type=Path, help="a Zarr store of features to keep and to reuse")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    photos = photographs(arguments.photos)
    count = arguments.queries + max(arguments.sizes)
    groups = np.arange(count) % len(photos)
    every: list[Row] = []
    with (
        nullcontext(arguments.cache)
        if arguments.cache
        else tempfile.TemporaryDirectory(prefix="semrsm-retrieval-")
    ) as place:
        store = arguments.cache or Path(place) / "features.zarr"
        layers = features(photos, count, store)
        print(
            f"{platform.machine()}, {arguments.workers} threads; crops of {len(photos)} photographs"
        )
        for size, layer in LAYERS.items():
            maps = np.asarray(layers[layer][:count])
            tokens = np.ascontiguousarray(maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1))
            del maps
            for gallery in arguments.sizes:
                end = arguments.queries + gallery
                ways = Ways(
                    tokens[: arguments.queries],
                    tokens[arguments.queries : end],
                    arguments.workers,
                    arguments.candidates,
                )
                split = groups[: arguments.queries], groups[arguments.queries : end]
                rows = measure(ways, split, arguments.rounds)
                every += rows
                title = f"S = {size}, C = {tokens.shape[2]}, {gallery:,} images"
                print("\n".join(["", title, *show(rows)]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in every], indent=2))


if __name__ == "__main__":
    main()
