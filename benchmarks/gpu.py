"""Matching on a GPU, side by side with the cores of the same machine.

::

    python benchmarks/gpu.py                                  # S = 49, 196, 256, 1024
    python benchmarks/gpu.py --features features.zarr         # and real features
    python benchmarks/gpu.py --slice 5000                     # the ImageNet job, projected

Every contestant matches the same images. The product is timed alone too, for its share of the time
on the GPU. Every value of the GPU is compared with the exact solver's. torch-linear-assignment is
timed where it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import semrsm
from semrsm.engine.cuda import engine
from semrsm.engine.plan import make_plan
from semrsm.matching.assignment import relative_gap
from semrsm.matching.optimal import Optimal
from semrsm.tokens import measure

CASES = {49: (512, 1200), 196: (112, 400), 256: (256, 300), 1024: (256, 60)}  # S: C, images
IMAGENET = 50_000
WANTED_MINUTES = 15.0


@dataclass
class Row:
    """One size."""

    vectors: int
    channels: int
    images: int
    gpu_pairs_per_second: float
    product_share: float
    uncertified: float
    rounds: float
    cpu_pairs_per_second: float
    peer_pairs_per_second: float | None
    largest_gap: float
    largest_difference: float


def fields(images: int, vectors: int, channels: int) -> np.ndarray:
    """Smooth random fields, rectified as those of networks are."""
    rng = np.random.default_rng(0)
    side = round(vectors**0.5)
    coarse = rng.normal(size=(images, 4, 4, channels)).astype(np.float32)
    at = np.linspace(0, 3, side)
    low = np.minimum(at.astype(int), 2)
    part = (at - low).astype(np.float32)[:, None]
    found = coarse[:, low] * (1 - part[..., None]) + coarse[:, low + 1] * part[..., None]
    found = found[:, :, low] * (1 - part) + found[:, :, low + 1] * part
    found += rng.normal(scale=0.3, size=found.shape).astype(np.float32)
    return np.maximum(found, 0).reshape(images, side * side, channels)


def seconds(work: Callable[[], Any], rounds: int = 3) -> float:
    """Return the shortest time of a few calls."""
    import torch

    best = np.inf
    for _ in range(rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def on_gpu(x: np.ndarray, workers: int) -> tuple[np.ndarray, np.ndarray, engine.Stats]:
    """Match all pairs on the GPU; return values, bounds and statistics."""
    import torch

    tokens = measure(x, "x")
    plan = make_plan(tokens, None, Optimal(), workers=workers, memory=1 << 40, results=2)
    values, bounds = np.zeros((len(x), len(x))), np.zeros((len(x), len(x)))
    stats = engine.Stats()
    device = torch.device("cuda")
    engine.run(tokens, None, Optimal(), plan, values, bounds, None, device, stats=stats)
    return values, bounds, stats


def product_alone(x: np.ndarray) -> Callable[[], None]:
    """Return a function that computes the products of all pairs, in the tiles of the matching."""
    import torch

    flat = torch.from_numpy(x.reshape(-1, x.shape[2])).to("cuda")
    size = x.shape[1]
    step = max(1, int((engine.TILE_BYTES / (4 * size * size)) ** 0.5))

    def work() -> None:
        for top in range(0, len(x), step):
            for first in range(top, len(x), step):
                flat[top * size : (top + step) * size] @ flat[
                    first * size : (first + step) * size
                ].T

    return work


def peer(x: np.ndarray) -> float | None:
    """Return pairs per second of torch-linear-assignment, products included."""
    try:
        from torch_linear_assignment import batch_linear_assignment
    except ImportError:
        return None
    import torch

    count = min(len(x), 40)
    on_gpu = torch.from_numpy(x[:count]).to("cuda")
    left, right = np.triu_indices(count, 1)

    def work() -> None:
        affinity = torch.bmm(on_gpu[left], on_gpu[right].transpose(1, 2))
        batch_linear_assignment(-affinity)

    return len(left) / seconds(work)


def time_one(x: np.ndarray, workers: int) -> Row:
    """Time one set of images, and compare with the exact solver."""
    pairs = len(x) * (len(x) - 1) // 2
    on_gpu(x[:8], workers)  # compiles
    spent = seconds(lambda: on_gpu(x, workers))
    values, bounds, stats = on_gpu(x, workers)
    some = x[: max(8, min(len(x), 200 if x.shape[1] < 500 else 40))]
    start = time.perf_counter()
    exact = semrsm.gram(some, workers=workers).values
    cpu = len(some) * (len(some) - 1) / 2 / (time.perf_counter() - start)
    upper = np.triu_indices(len(some), 1)
    size = np.abs(exact[upper])
    if (bounds[upper] < exact[upper] * (1 - 1e-5)).any():
        sys.exit("a bound lies below the exact value")
    every = np.triu_indices(len(x), 1)
    return Row(
        vectors=x.shape[1],
        channels=x.shape[2],
        images=len(x),
        gpu_pairs_per_second=pairs / spent,
        product_share=seconds(product_alone(x)) / spent,
        uncertified=stats.uncertified / stats.pairs,
        rounds=stats.rounds / stats.pairs,
        cpu_pairs_per_second=cpu,
        peer_pairs_per_second=peer(x),
        largest_gap=float(relative_gap(values[every], bounds[every]).max()),
        largest_difference=float((np.abs(values[upper] - exact[upper]) / size).max()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--sizes", type=int, nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--features", type=Path, help="a store or file of features, all its layers")
    parser.add_argument("--slice", type=int, help="images of the ImageNet job that are matched")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("this benchmark needs torch: pip install 'semrsm[cuda]'")
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU; torch finds none")
    print(f"{torch.cuda.get_device_name()}; {arguments.workers} threads; torch {torch.__version__}")
    cases = {
        f"S = {size}": fields(CASES[size][1], size, CASES[size][0]) for size in arguments.sizes
    }
    if arguments.features:
        for layer, maps in semrsm.load_features(arguments.features).items():
            array = np.asarray(maps[:1200])
            if array.ndim == 4:
                array = array.reshape(*array.shape[:2], -1).transpose(0, 2, 1)
            cases[layer] = np.ascontiguousarray(array, dtype=np.float32)
    head = ["", "C", "pairs/s", "product", "open", "rounds", "CPU", "peer", "gap", "difference"]
    print("".join(f"{name:>12}" for name in head))
    rows = []
    for name, x in cases.items():
        row = time_one(x, arguments.workers)
        rows.append(row)
        other = row.peer_pairs_per_second
        cells = [
            name,
            row.channels,
            f"{row.gpu_pairs_per_second:,.0f}",
            f"{row.product_share:.0%}",
            f"{row.uncertified:.3%}",
            f"{row.rounds:.0f}",
            f"{row.cpu_pairs_per_second:,.0f}",
            "" if other is None else f"{other:,.0f}",
            f"{row.largest_gap:.1e}",
            f"{row.largest_difference:.1e}",
        ]
        print("".join(f"{cell:>12}" for cell in cells), flush=True)
    if arguments.slice:
        x = fields(arguments.slice, 49, 512)
        spent = seconds(lambda: on_gpu(x, arguments.workers), rounds=1)
        pairs = arguments.slice * (arguments.slice - 1) / 2
        minutes = spent * (IMAGENET * (IMAGENET - 1) / 2) / pairs / 60
        print(
            f"{arguments.slice:,} images, S = 49, C = 512: {spent:.1f} s; {IMAGENET:,} images "
            f"would take {minutes:.1f} minutes (wanted: {WANTED_MINUTES:g})"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
