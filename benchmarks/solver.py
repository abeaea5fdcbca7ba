"""The assignment alone on one thread, beside its matrix product, SciPy and lapx.

    python benchmarks/solver.py                          # all tables
    python benchmarks/solver.py --tables shapes small    # some
    python benchmarks/solver.py --kernels avx2           # another instruction set of this CPU
    python benchmarks/solver.py --against old/_native.so # beside another build of semrsm._native
    python benchmarks/solver.py --json out.json          # the same numbers for machines

Contestants get the same matrices and take turns, and the best round of each counts, in CPU time,
because the machines that run this are noisy. Slow contestants get fewer rounds.

Tables: `shapes` (fewer rows than columns, against the larger square), `large` (few channels,
against the product), `small` (S = 49 and 196 in batches, against the product in tiles), `kinds`
(random and structured matrices, against SciPy and lapx). Features of EfficientNet-Lite0 come from
photographs in ../shared/data/imagenet where that folder is there, else from scikit-image.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

import semrsm
from semrsm import _native

PHOTOS = Path(__file__).parents[2] / "shared/data/imagenet"
ROUNDS = 7
Matrix = np.ndarray


@dataclass
class Row:
    """One batch of equal matrices: milliseconds per matrix of each contestant."""

    table: str
    name: str
    shape: tuple[int, int]
    dtype: str
    product: float | None = None
    semrsm: float = 0.0
    against: float | None = None
    scipy: float | None = None
    lapx: float | None = None
    largest_gap: float = 0.0
    target: str = ""
    met: bool | None = None
    notes: dict[str, float] = field(default_factory=dict)


# ------------------------------------------------------------------------------------ contestants


def solve(native: ModuleType, batch: Matrix, kernels: str) -> tuple[Matrix, Matrix]:
    """Run one build of the native solver on (B, S, T); return values and bounds."""
    count, rows, columns = batch.shape
    values, bounds = np.empty(count), np.empty(count)
    assigned = np.empty(count * rows, np.int32)
    status, _ = native.assign(
        batch.reshape(-1),
        np.arange(count, dtype=np.int64) * rows * columns,
        np.full(count, rows, np.int32),
        np.full(count, columns, np.int32),
        np.arange(count, dtype=np.int64) * rows,
        columns,
        1,
        1e-6,
        0,
        np.zeros(1, np.uint8),
        values,
        bounds,
        assigned,
        kernels,
    )
    assert status == 0
    return values, bounds


def scipy_values(batch: Matrix) -> list[float]:
    """Assign each matrix with SciPy."""
    return [m[linear_sum_assignment(m, maximize=True)].sum(dtype=np.float64) for m in batch]


def lapx_batch(batch: Matrix) -> object:
    """Assign a batch with lapx, whose batched solver minimises."""
    import lap

    return lap.lapjvs_batch(-batch, n_threads=1)


def another_build(path: str) -> ModuleType:
    """Load another build of the native module beside this one."""
    spec = importlib.util.spec_from_file_location("another._native", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def timed(function: Callable[[], object]) -> float:
    """Return the milliseconds of CPU time that one call takes."""
    start = time.process_time()
    function()
    return (time.process_time() - start) * 1e3


def best(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Run the tasks in turn and return the shortest time of each; one slow round is enough."""
    times: dict[str, float] = {}
    for n in range(rounds):
        for name, task in tasks.items():
            if n < 2 or times[name] < 300 or name in ("semrsm", "against"):
                times[name] = min(times.get(name, np.inf), timed(task))
    return times


# ------------------------------------------------------------------------------------ matrices


def photographs(count: int) -> Matrix:
    """Return (count, 224, 224, 3) photographs, cut out of their middles."""
    from PIL import Image

    files = sorted(PHOTOS.glob("*.JPEG"))[:count]
    if len(files) < count:
        from gram import crops

        return crops(count)
    found = []
    for file in files:
        photo = Image.open(file).convert("RGB")
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        found.append(
            np.asarray(photo.crop((left, top, left + side, top + side)).resize((224, 224)))
        )
    return np.stack(found)


def real_tokens(count: int = 48) -> dict[int, Matrix]:
    """Return features of EfficientNet-Lite0 as tokens, {S: (N, S, C)}."""
    layers = {49: "_blocks.15", 196: "_blocks.10"}
    features = semrsm.extract(
        "efficientnet-lite0", photographs(count), layers=list(layers.values())
    )
    return {
        size: np.ascontiguousarray(features[layer].reshape(count, -1, size).transpose(0, 2, 1))
        for size, layer in layers.items()
    }


def concept_fields(count: int, side: int, channels: int, seed: int) -> Matrix:
    """Return smooth fields of concepts with noise, ReLU and varied norms, (N, S, C)."""
    rng = np.random.default_rng(seed)
    concepts = rng.standard_normal((40, channels)).astype(np.float32)
    rows, columns = (axis.reshape(-1, 1) for axis in np.mgrid[:side, :side])
    found = np.empty((count, side * side, channels), np.float32)
    for n in range(count):
        places = rng.random((int(rng.integers(3, 9)), 2)) * side
        apart = (rows - places[:, 0]) ** 2 + (columns - places[:, 1]) ** 2
        weights = np.exp(-apart / (0.05 * side * side))
        weights /= weights.sum(1, keepdims=True)
        fields = weights @ concepts[rng.integers(0, 40, len(places))]
        fields = fields + 0.5 * rng.standard_normal(fields.shape)
        norms = np.exp(0.3 * rng.standard_normal((side * side, 1)))
        found[n] = np.maximum(fields * norms, 0)
    return found


def with_outliers(rng: np.random.Generator, n: int, count: int) -> Matrix:
    """Uniform entries, a few of them a million times larger."""
    matrix = rng.random((n, n))
    matrix.flat[rng.choice(n * n, count, replace=False)] = 1e6
    return matrix


def relu(rng: np.random.Generator, *shape: int) -> Matrix:
    """Sparse activations: about one in six is not zero."""
    return np.maximum(rng.standard_normal(shape) - 1, 0)


def distances(rng: np.random.Generator, n: int, dimensions: int) -> Matrix:
    """Negated distances between uniform points."""
    x, y = rng.random((2, n, dimensions))
    return -np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))


def few_distinct(rng: np.random.Generator, n: int) -> Matrix:
    """Products of vectors of which there are only eight."""
    vectors = relu(rng, 8, 32)
    return vectors[rng.integers(0, 8, n)] @ vectors[rng.integers(0, 8, n)].T


def one_hot(rng: np.random.Generator, n: int) -> Matrix:
    """Products of one-hot vectors of ten classes."""
    return (rng.integers(0, 10, (n, 1)) == rng.integers(0, 10, n)) * 1.0


#: Square matrices of size n by kind; a name that ends in "f8" asks for float64.
KINDS: dict[str, Callable[[np.random.Generator, int], Matrix]] = {
    "normal": lambda rng, n: rng.standard_normal((n, n)),
    "normal f8": lambda rng, n: rng.standard_normal((n, n)),
    "uniform": lambda rng, n: rng.random((n, n)),
    "uniform f8": lambda rng, n: rng.random((n, n)),
    "products, C = 8": lambda rng, n: rng.random((n, 8)) @ rng.random((8, n)),
    "products, C = 64": lambda rng, n: rng.standard_normal((n, 64)) @ rng.standard_normal((64, n)),
    "ReLU-sparse, C = 32": lambda rng, n: relu(rng, n, 32) @ relu(rng, n, 32).T,
    "few distinct": few_distinct,
    "one-hot": one_hot,
    "triangle": lambda rng, n: np.tril(np.ones((n, n))),
    "triangle, shuffled": lambda rng, n: np.tril(np.ones((n, n)))[rng.permutation(n)],
    "rank one": lambda rng, n: rng.random((n, 1)) * rng.random(n),
    "rank one, signed": lambda rng, n: rng.standard_normal((n, 1)) * rng.standard_normal(n),
    "-|x - y| on a line": lambda rng, n: distances(rng, n, 1),
    "-|x - y| on a line f8": lambda rng, n: distances(rng, n, 1),
    "-|x - y| in a plane": lambda rng, n: distances(rng, n, 2),
    "-|x - y|² on a line": lambda rng, n: -(distances(rng, n, 1) ** 2),
    "integers 0-2": lambda rng, n: rng.integers(0, 3, (n, n)),
    "integers 1-100": lambda rng, n: rng.integers(1, 101, (n, n)),
    "integers 1-100 f8": lambda rng, n: rng.integers(1, 101, (n, n)),
    "integers 1-1000": lambda rng, n: rng.integers(1, 1001, (n, n)),
    "one outlier": lambda rng, n: with_outliers(rng, n, 1),
    "three outliers": lambda rng, n: with_outliers(rng, n, 3),
    "log-normal": lambda rng, n: np.exp(3 * rng.standard_normal((n, n))),
}


# ------------------------------------------------------------------------------------ tables


class Bench:
    """Times batches and keeps the rows."""

    def __init__(self, kernels: str, against: ModuleType | None, rounds: int) -> None:
        self.kernels, self.against, self.rounds = kernels, against, rounds
        self.rows: list[Row] = []

    def time(
        self,
        table: str,
        name: str,
        batch: Matrix,
        *,
        product: Callable[[], object] | None = None,
        peers: bool = False,
    ) -> Row:
        """Time one batch (B, S, T); `product` makes its matrices."""
        batch = np.ascontiguousarray(batch)
        count = len(batch)
        tasks: dict[str, Callable[[], object]] = {}
        if product is not None:
            tasks["product"] = product
        tasks["semrsm"] = lambda: solve(_native, batch, self.kernels)
        if self.against is not None:
            against = self.against
            tasks["against"] = lambda: solve(against, batch, self.kernels)
        if peers:
            tasks["scipy"] = lambda: scipy_values(batch)
            tasks["lapx"] = lambda: lapx_batch(batch)
        times = best(tasks, self.rounds)
        row = Row(table, name, batch.shape[1:], str(batch.dtype))
        for key, spent in times.items():
            setattr(row, key, spent / count)
        values, bounds = solve(_native, batch, self.kernels)
        size = np.maximum(np.abs(values), np.abs(bounds))
        gaps = np.divide(bounds - values, size, out=np.zeros(count), where=size > 0)
        row.largest_gap = float(gaps.max())
        self.rows.append(row)
        return row

    def aim(self, row: Row, what: str, ratio: float, target: float) -> None:
        """Set the target of a row, and print it."""
        row.target, row.met = f"{what} <= {target:g}", ratio <= target
        row.notes[what] = ratio
        show(row)


def shapes(bench: Bench, real: dict[int, Matrix]) -> None:
    """Fewer rows than columns: at most 1.3 times the larger square where min/max >= 0.75."""
    fields = {c: concept_fields(2, 32, c, 3) for c in (24, 64)}
    square_1024 = {f"C = {c}": x[0] @ x[1].T for c, x in fields.items()}
    square_1024["uniform"] = np.random.default_rng(0).random((1024, 1024), dtype=np.float32)
    large = concept_fields(2, 56, 24, 4)
    squares = [
        ("S = 49, features", np.stack([real[49][i] @ real[49][-1 - i].T for i in range(24)])),
        ("S = 196, features", np.stack([real[196][i] @ real[196][-1 - i].T for i in range(24)])),
        *((name, square[None]) for name, square in square_1024.items()),
        ("C = 24", (large[0] @ large[1].T)[None]),
    ]
    for name, square in squares:
        size = square.shape[1]
        whole = bench.time("shapes", name, square)
        show(whole)
        for share in (0.52, 0.77, 0.8, 0.88, 0.95, 0.98):
            rows = int(share * size)
            row = bench.time("shapes", name, square[:, :rows])
            bench.aim(row, "of the square", row.semrsm / whole.semrsm, 1.3 if share > 0.75 else 2)


def large(bench: Bench, real: dict[int, Matrix]) -> None:
    """Few channels: at most 3.5 times the product at C >= 24, S = 784 … 4096 on AVX-512."""
    for side in (28, 32, 45, 56, 64):
        for channels in (24, 32, 64, 128):
            x, y = concept_fields(2, side, channels, 4)
            row = bench.time(
                "large",
                f"C = {channels}",
                (x @ y.T)[None],
                product=lambda x=x, y=y: x @ y.T,
                peers=side <= 32 and channels == 64,
            )
            bench.aim(row, "of the product", row.semrsm / row.product, 3.5)


def small(bench: Bench, real: dict[int, Matrix]) -> None:
    """S = 49 and 196: at most 1.1 times the product, made in tiles of 12 × 12 pairs."""
    for size, target in ((49, 1.1), (196, 1.1)):
        tokens = real[size]
        per_tile = 12 if size == 49 else 3
        left, right = (tokens[n * per_tile : (n + 1) * per_tile] for n in (0, 1))
        a, b = left.reshape(-1, tokens.shape[2]), right.reshape(-1, tokens.shape[2])
        batch = (a @ b.T).reshape(per_tile, size, per_tile, size).swapaxes(1, 2)
        row = bench.time(
            "small",
            f"features, C = {tokens.shape[2]}",
            batch.reshape(-1, size, size),
            product=lambda a=a, b=b: a @ b.T,
            peers=True,
        )
        bench.aim(row, "of the product", row.semrsm / row.product, target)


def kinds(bench: Bench, real: dict[int, Matrix]) -> None:
    """Never slower than SciPy at S >= 49."""
    for size, count in ((49, 16), (196, 6), (1000, 1), (1500, 1)):
        for name, make in kinds_at(size):
            rng = np.random.default_rng(size)
            batch = np.stack([make(rng, size) for _ in range(count)])
            dtype = np.float64 if name.endswith("f8") else np.float32
            row = bench.time("kinds", name, batch.astype(dtype), peers=True)
            bench.aim(row, "of SciPy", row.semrsm / row.scipy, 1)


def kinds_at(size: int) -> Iterator[tuple[str, Callable[[np.random.Generator, int], Matrix]]]:
    """Yield the kinds that are timed at a size."""
    for name, make in KINDS.items():
        if size <= 1000 or name.startswith(("integers", "-|x - y| on", "normal")):
            yield name, make


TABLES = {"shapes": shapes, "large": large, "small": small, "kinds": kinds}


def show(row: Row) -> None:
    """Print one row."""
    parts = [f"{row.table:7s}{row.name:24s}{row.shape[0]:5d} ×{row.shape[1]:5d}"]
    for name in ("product", "semrsm", "against", "scipy", "lapx"):
        spent = getattr(row, name)
        parts.append(f"{name} {spent:9.4f}" if spent is not None else "")
    if row.against is not None:
        parts.append(f"now/then {row.semrsm / row.against:5.2f}")
    for name, ratio in row.notes.items():
        parts.append(f"{ratio:6.2f} {name}{'' if row.met else '   MISSED'}")
    print("  ".join(part for part in parts if part), flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--kernels", choices=_native.kernels(), default=_native.kernels()[0])
    parser.add_argument("--against", help="another build of semrsm._native, as a file")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    against = another_build(options.against) if options.against else None
    bench = Bench(options.kernels, against, options.rounds)
    print(f"{processor()}, {options.kernels}, one thread; milliseconds per matrix")
    real = real_tokens()
    with threadpool_limits(1):
        for name in options.tables:
            print(f"\n{name}: {TABLES[name].__doc__}")
            TABLES[name](bench, real)
    missed = [row for row in bench.rows if row.met is False]
    print(f"\n{len(missed)} of {sum(r.met is not None for r in bench.rows)} targets missed")
    print(f"largest relative gap {max(row.largest_gap for row in bench.rows):.1e}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in bench.rows], indent=1))


def processor() -> str:
    """Return the name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU")


if __name__ == "__main__":
    main()
