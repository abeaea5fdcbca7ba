"""The whole Gram, side by side with the best that a user could compose from other packages.

    python benchmarks/gram.py                 # tables
    python benchmarks/gram.py --json out.json # the same numbers for machines

Every contestant gets the same features, the same cores, and the same good plan: the affinities of a
tile of pairs in one product with BLAS held to one thread, tiles on threads. Only the assignment
differs. Rounds alternate between contestants and the best round of each counts, because the
machines that run this are noisy. Contestants that are slow are timed on fewer pairs, and the table
says on how many.

Features: EfficientNet-Lite0 on crops of the photographs of scikit-image (S = 49, 196, 784), and
smooth random fields at S = 1024, C = 256.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

import semrsm
from semrsm import _native
from semrsm._internal.units import memory_budget
from semrsm._internal.workers import Cancellation, one_blas_thread, worker_count
from semrsm.engine.plan import make_plan
from semrsm.matching.assignment import relative_gap, solve
from semrsm.matching.base import Workspace
from semrsm.tokens import measure

LAYERS = {49: "_blocks.15", 196: "_blocks.10", 784: "_blocks.4"}
IMAGES = {49: 96, 196: 48, 784: 16, 1024: 12}
PEER_PAIRS = {49: 2000, 196: 400, 784: 30, 1024: 16}  # pairs that slow contestants are timed on
SPEED_TARGETS = {49: 4.0, 196: 10.0, 784: 25.0, 1024: 15.0}
ROUNDS = 5


@dataclass
class Row:
    """One size: milliseconds per pair, ratios, certificates, and the targets."""

    size: int
    channels: int
    images: int
    pairs: int
    gram_ms: float = 0.0
    one_thread_ms: float = 0.0
    product_ms: float = 0.0
    assignment_ms: float = 0.0
    peers_ms: dict[str, float] = field(default_factory=dict)
    peer_pairs: dict[str, int] = field(default_factory=dict)
    best_peer: str = ""
    speed_up: float = 0.0
    thread_scaling: float = 0.0
    largest_gap: float = 0.0
    largest_difference: float = 0.0


def best(rounds: int, tasks: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Run the tasks in turn, `rounds` times, and return the shortest time of each."""
    times: dict[str, float] = dict.fromkeys(tasks, np.inf)
    for _ in range(rounds):
        for name, task in tasks.items():
            times[name] = min(times[name], task())
    return times


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


# ------------------------------------------------------------------------------------ contestants


def scipy_values(affinities: np.ndarray) -> list[float]:
    """Assign each matrix with SciPy."""
    values = []
    for affinity in affinities:
        rows, columns = linear_sum_assignment(affinity, maximize=True)
        values.append(float(affinity[rows, columns].sum(dtype=np.float64)))
    return values


def lapx_values(affinities: np.ndarray) -> list[float]:
    """Assign each matrix with lapx (its lapjvx on float32, minimising the negative)."""
    import lap

    values = []
    for affinity in affinities:
        _, rows, columns = lap.lapjvx(-affinity)
        values.append(float(affinity[rows, columns].sum(dtype=np.float64)))
    return values


def ortools_values(affinities: np.ndarray) -> list[float]:
    """Assign each matrix with OR-Tools, which takes integers: 1e-5 of the range."""
    from ortools.graph.python.linear_sum_assignment import SimpleLinearSumAssignment

    size = affinities.shape[-1]
    left = np.repeat(np.arange(size, dtype=np.int32), size)
    right = np.tile(np.arange(size, dtype=np.int32), size)
    values = []
    for affinity in affinities:
        high = float(affinity.max())
        scale = 1e5 / max(high - float(affinity.min()), 1e-30)
        costs = ((high - affinity) * scale).astype(np.int64).reshape(-1)
        solver = SimpleLinearSumAssignment()
        solver.add_arcs_with_cost(left, right, costs)
        solver.solve()
        columns = [solver.right_mate(i) for i in range(size)]
        values.append(float(affinity[np.arange(size), columns].sum(dtype=np.float64)))
    return values


PEERS = {"scipy": scipy_values, "lapx": lapx_values, "ortools": ortools_values}


def available_peers() -> dict[str, Callable[[np.ndarray], list[float]]]:
    """Return the peers whose packages are installed."""
    found = {}
    for name, peer in PEERS.items():
        try:
            peer(np.eye(3, dtype=np.float32)[None])
        except ImportError:
            print(f"{name} is not installed and is left out", file=sys.stderr)
        else:
            found[name] = peer
    return found


def peer_gram(
    x: np.ndarray,
    pairs: list[tuple[int, int]],
    side: int,
    workers: int,
    peer: Callable[[np.ndarray], list[float]],
) -> np.ndarray:
    """Compute V of `pairs` by blocked products and a peer's assignments, tiles on threads."""
    count, size, channels = x.shape
    values = np.zeros((count, count))
    tiles: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i, j in pairs:
        tiles.setdefault((i // side, j // side), []).append((i, j))

    def work(tile: tuple[tuple[int, int], list[tuple[int, int]]]) -> None:
        (row, column), members = tile
        left = x[row * side : (row + 1) * side].reshape(-1, channels)
        right = x[column * side : (column + 1) * side].reshape(-1, channels)
        block = (left @ right.T).reshape(len(left) // size, size, -1, size)
        chosen = np.stack([block[i - row * side, :, j - column * side] for i, j in members])
        for (i, j), value in zip(members, peer(chosen), strict=True):
            values[i, j] = value

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, tiles.items()))
    return values


# ------------------------------------------------------------------------------------ one size


def time_one(x: np.ndarray, workers: int, peers: dict[str, Callable], rounds: int) -> Row:
    """Measure one size: features `x` (N, S, C) float32."""
    count, size, channels = x.shape
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    row = Row(size, channels, count, len(pairs))
    tokens = measure(x)
    matcher = semrsm.matchers.Optimal()
    plan = make_plan(tokens, None, matcher, workers=1, memory=memory_budget(None), results=2)
    side = plan.tile_rows

    # The parts, on one thread: products as the engine blocks them, assignments of the same tiles.
    workspace = Workspace(Cancellation(), nullcontext())
    blocks = [
        np.ascontiguousarray(x[k : k + side]).reshape(-1, channels) for k in range(0, count, side)
    ]
    tiles = [(a, b) for a in range(len(blocks)) for b in range(a + 1, len(blocks))][:24] or [(0, 0)]
    tile_pairs = sum(len(blocks[a]) * len(blocks[b]) for a, b in tiles) // size**2

    def products() -> None:
        for a, b in tiles:
            workspace.product(blocks[a], blocks[b])

    def assignments() -> float:
        spent = 0.0
        for a, b in tiles:
            affinity = workspace.product(blocks[a], blocks[b])
            rows = np.arange(len(blocks[a]) // size)[:, None] * size * affinity.shape[1]
            offsets = (rows + np.arange(len(blocks[b]) // size) * size).reshape(-1)
            spent += timed(
                lambda affinity=affinity, offsets=offsets: solve(
                    affinity.reshape(-1),
                    offsets,
                    size,
                    size,
                    row_stride=affinity.shape[1],
                    cancellation=workspace.cancellation,
                )
            )
        return spent

    with one_blas_thread():
        parts = best(rounds, {"product": lambda: timed(products), "assignment": assignments})
    row.product_ms = parts["product"] / tile_pairs * 1e3
    row.assignment_ms = parts["assignment"] / tile_pairs * 1e3

    # The whole Gram, everyone on the same threads.
    results: dict[str, np.ndarray] = {}

    def ours(threads: int) -> float:
        start = time.perf_counter()
        gram = semrsm.gram(x, workers=threads)
        spent = time.perf_counter() - start
        results["semrsm"] = gram.values
        row.largest_gap = float(relative_gap(gram.values, gram.upper_bound).max())
        return spent

    chosen = pairs
    if len(pairs) > PEER_PAIRS[size]:
        # Whole tiles, so that peers have products as large as ours.
        images = int(np.sqrt(2 * PEER_PAIRS[size])) + 1
        chosen = [(i, j) for i, j in pairs if j < images]
    tasks: dict[str, Callable[[], float]] = {
        "semrsm": lambda: ours(workers),
        "semrsm, one thread": lambda: ours(1),
    }
    peer_side = max(1, min(side, int(np.sqrt(len(chosen) / (2 * workers)))))

    def run_peer(name: str, peer: Callable) -> float:
        start = time.perf_counter()
        results[name] = peer_gram(x, chosen, peer_side, workers, peer)
        return time.perf_counter() - start

    times = best(rounds, tasks)
    slow = {name: partial(run_peer, name, peer) for name, peer in peers.items()}
    times |= best(max(2, rounds // 2), slow)
    times["semrsm"] = min(times["semrsm"], best(rounds, {"again": tasks["semrsm"]})["again"])

    row.gram_ms = times["semrsm"] / len(pairs) * 1e3
    row.one_thread_ms = times["semrsm, one thread"] / len(pairs) * 1e3
    row.thread_scaling = row.one_thread_ms / row.gram_ms
    left, right = np.array(chosen).T
    for name in peers:
        row.peers_ms[name] = times[name] / len(chosen) * 1e3
        row.peer_pairs[name] = len(chosen)
    if "scipy" in peers:
        # As cosines: V itself can be near zero, where the rounding of float32 products dominates.
        difference = results["scipy"][left, right] - results["semrsm"][left, right]
        norms = np.sqrt(tokens.squared_norms)
        row.largest_difference = float(np.max(np.abs(difference) / (norms[left] * norms[right])))
    if row.peers_ms:
        row.best_peer = min(row.peers_ms, key=lambda name: row.peers_ms[name])
        row.speed_up = row.peers_ms[row.best_peer] / row.gram_ms
    return row


# ------------------------------------------------------------------------------------ features


def crops(count: int) -> np.ndarray:
    """Cut `count` different square crops out of scikit-image's photographs, (N, 224, 224, 3)."""
    from PIL import Image

    from semrsm.datasets import sample_photos

    photos = [np.asarray(photo) for _, photo in sample_photos()]
    rng = np.random.default_rng(0)
    found = []
    for n in range(count):
        photo = photos[n % len(photos)]
        side = int(min(photo.shape[:2]) * rng.uniform(0.5, 0.9))
        top = rng.integers(photo.shape[0] - side + 1)
        left = rng.integers(photo.shape[1] - side + 1)
        crop = Image.fromarray(photo[top : top + side, left : left + side])
        found.append(np.asarray(crop.resize((224, 224), Image.Resampling.BICUBIC)))
    return np.stack(found)


def real_features(sizes: list[int]) -> dict[int, np.ndarray]:
    """Extract EfficientNet-Lite0 features, {S: (N, S, C)}."""
    wanted = {size: LAYERS[size] for size in sizes if size in LAYERS}
    if not wanted:
        return {}
    features = semrsm.extract(
        "efficientnet-lite0",
        crops(max(IMAGES[size] for size in wanted)),
        layers=list(wanted.values()),
    )
    return {
        size: np.ascontiguousarray(
            features[layer][: IMAGES[size]].reshape(IMAGES[size], -1, size).transpose(0, 2, 1)
        )
        for size, layer in wanted.items()
    }


def smooth_fields(count: int, side: int = 32, channels: int = 256) -> np.ndarray:
    """Return random fields that vary smoothly over the grid, as features do, (N, S, C)."""
    from scipy.ndimage import zoom

    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(count, side // 4, side // 4, channels))
    fields = np.stack([zoom(field, (4, 4, 1), order=1) for field in coarse])
    fields += 0.1 * rng.normal(size=fields.shape)
    return fields.reshape(count, side * side, channels).astype(np.float32)


# ------------------------------------------------------------------------------------ printing


def verdicts(row: Row, workers: int) -> list[tuple[str, float, str, bool]]:
    """Return (what, measured, target, met) for the targets of one size."""
    found = []
    if row.best_peer:
        target = SPEED_TARGETS[row.size]
        found.append(
            (
                f"S={row.size}: whole Gram against the best peer ({row.best_peer})",
                row.speed_up,
                f">= {target:g}x",
                row.speed_up >= target,
            )
        )
    if row.channels >= 256:
        ratio = row.assignment_ms / row.product_ms
        found.append((f"S={row.size}: assignment time / product time", ratio, "<= 1", ratio <= 1.0))
    if workers == 2:
        found.append(
            (
                f"S={row.size}: two threads against one",
                row.thread_scaling,
                ">= 1.8x",
                row.thread_scaling >= 1.8,
            )
        )
    return found


def show(rows: list[Row], workers: int, peers: list[str]) -> None:
    """Print the tables."""
    head = ["S", "C", "pairs", "product", "assign", "Gram x1", f"Gram x{workers}"]
    head += [*peers, "speed-up", "gap", "vs SciPy"]
    lines = [head]
    for row in rows:
        line = [str(row.size), str(row.channels), str(row.pairs)]
        times = [row.product_ms, row.assignment_ms, row.one_thread_ms, row.gram_ms]
        line += [f"{ms:.4f}" for ms in times]
        line += [f"{row.peers_ms[name]:.3f}" for name in peers]
        line += [f"{row.speed_up:.1f}x", f"{row.largest_gap:.0e}", f"{row.largest_difference:.0e}"]
        lines.append(line)
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    print("Milliseconds a pair; product and assign on one thread, in the engine's tiles.")
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    print()
    for row in rows:
        for what, measured, target, met in verdicts(row, workers):
            print(f"{'met   ' if met else 'MISSED'}  {what}: {measured:.2f} (target {target})")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    parser.add_argument("--sizes", type=int, nargs="+", default=[49, 196, 784, 1024])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    workers = worker_count(None)
    peers = available_peers()
    features = real_features(arguments.sizes)
    if 1024 in arguments.sizes:
        features[1024] = smooth_fields(IMAGES[1024])
    rows = []
    for size in arguments.sizes:
        print(f"measuring S = {size} …", file=sys.stderr)
        rows.append(time_one(features[size], workers, peers, arguments.rounds))
    machine = f"{platform.machine()}, {workers} of {os.cpu_count()} cores, kernels "
    machine += f"{_native.kernels()[0]}, threads {threading.active_count()}"
    print(machine)
    show(rows, workers, list(peers))
    if arguments.json:
        report = {
            "machine": machine,
            "numpy": np.__version__,
            "semrsm": semrsm.__version__,
            "rows": [asdict(row) for row in rows],
            "targets": [
                {"what": what, "measured": measured, "target": target, "met": bool(met)}
                for row in rows
                for what, measured, target, met in verdicts(row, workers)
            ],
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
