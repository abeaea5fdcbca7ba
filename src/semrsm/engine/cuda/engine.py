"""Fills tiles of pairs on a GPU: the counterpart of semrsm.engine.threads.

Panels of images are copied to the GPU one ahead of the work. The affinities of a tile are one
product in full float32, and the kernel solves all matrices in it. The exact solver on the CPU takes
the pairs that the kernel cannot certify, while the GPU works on the next tile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._internal.checks import Progress
from ..._internal.workers import Cancellation, cancel_on_interrupt, one_blas_thread
from ...errors import require
from ...matching.assignment import NotFiniteError
from ...matching.base import Matcher, PairTile, Workspace
from ...tokens import Block, Tokens
from ..plan import Plan
from ..tiles import Tile, panels
from .limits import TOLERANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

#: The most bytes of affinities in a tile: enough matrices to fill any GPU many times over.
TILE_BYTES = 1 << 28

#: Bytes of pinned host memory for one copy to the GPU.
STAGED = 32 << 20

#: The share of the free memory of the GPU that is used.
SHARE = 0.8

#: The most tiles in progress on the GPU at a time, and the most copies to it in progress.
AHEAD = 2

#: Pairs that a CPU thread solves at a time.
TOGETHER = 64


@dataclass(frozen=True)
class OnGpu:
    """Images on the GPU, and their origin.

    Attributes
    ----------
    first : int
        The place of the first image in the panel.
    block : Block
        The same images in host memory.
    vectors : Tensor, shape (sum of S, C)
    norms : Tensor of float64, shape (n, largest S), or None
        As in the block.
    """

    first: int
    block: Block
    vectors: Any
    norms: Any


@dataclass
class Stats:
    """Counts of a run, for the benchmark.

    Attributes
    ----------
    pairs, uncertified : int
        Pairs that were matched, and those among them that the CPU solved.
    rounds : int
        Rounds of bids, of all matrices together.
    """

    pairs: int = 0
    uncertified: int = 0
    rounds: int = 0


def run(
    x: Tokens,
    y: Tokens | None,
    matcher: Matcher,
    plan: Plan,
    values: Array,
    upper_bounds: Array,
    progress: Progress | None,
    device: Any,
    *,
    tile_bytes: int = TILE_BYTES,
    stats: Stats | None = None,
) -> None:
    """Match all pairs of `x` and `y`, or the upper triangle of `x`, and write the results.

    Parameters
    ----------
    x, y, matcher, plan, values, upper_bounds, progress
        As for :meth:`semrsm.engine.base.Engine.run`. The threads of the plan are on the CPU, which
        solves the pairs that the GPU cannot certify.
    device : torch.device
        The GPU. (The CPU, under Triton's interpreter.)
    tile_bytes : int
        The most bytes of affinities in a tile.
    stats : Stats, optional
        The counts of the run are added to it.

    Raises
    ------
    NotFiniteError
        If an affinity overflows.
    """
    torch = require("torch", extra="cuda", purpose="Matching on a GPU")
    counted = stats if stats is not None else Stats()
    with (
        torch.inference_mode(),
        _on(torch, device),
        one_blas_thread() as guard,
        ThreadPoolExecutor(1, thread_name_prefix="semrsm-panels") as loader,
        ThreadPoolExecutor(plan.workers, thread_name_prefix="semrsm") as pool,
        cancel_on_interrupt() as cancellation,
    ):
        gpu = _Gpu(torch, device, matcher, tile_bytes, counted)
        rest = _Rest(pool, plan.workers, cancellation, guard, matcher)
        results = _Results(values, upper_bounds)
        queue: deque[tuple[_Pending, int, int]] = deque()

        def collect(most: int) -> None:
            while len(queue) > most:
                pending, first_row, first_column = queue.popleft()
                gpu.collect(pending, results, first_row, first_column, rest)
                if progress is not None:
                    progress(counted.pairs, plan.pairs)

        dtype = np.promote_types(x.dtype, x.dtype if y is None else y.dtype)
        for first_row, first_column, rows, columns in _ahead(
            loader, panels(x, y, matcher, plan, dtype)
        ):
            above = None
            if y is None:
                above = first_column - first_row + matcher.solves_self
            for left in gpu.parts(rows):
                for right in [left] if rows is columns and gpu.fits(rows) else gpu.parts(columns):
                    for tile in gpu.tiles(left, right, above):
                        queue.append((gpu.start(tile, left, right), first_row, first_column))
                        collect(AHEAD)
            collect(0)
        rest.collect(0, results)
        if progress is not None:
            progress(counted.pairs, plan.pairs)


@dataclass
class _Pending:
    """A tile that the GPU works on."""

    left: Indices  # indices in the panels
    right: Indices
    rows: OnGpu
    columns: OnGpu
    outcome: Any  # tensors on the host, or being copied there
    ready: Any  # an event, or None


@dataclass(frozen=True)
class _Results:
    values: Array
    upper_bounds: Array


class _Gpu:
    """The work of the GPU: copies, products, matching."""

    def __init__(
        self, torch: Any, device: Any, matcher: Matcher, tile_bytes: int, stats: Stats
    ) -> None:
        self.torch = torch
        self.device = device
        self.matcher = matcher
        self.tile_bytes = tile_bytes
        self.stats = stats
        self.is_gpu = device.type == "cuda"
        free = torch.cuda.mem_get_info(device)[0] if self.is_gpu else 1 << 32
        #: Bytes that two panels may take: the rest is for the tiles on their way.
        self.panel_bytes = max(1, int(free * SHARE) - 3 * tile_bytes) // 3
        self.tolerance = max(TOLERANCE, getattr(matcher, "tolerance", 0.0))

    def fits(self, block: Block) -> bool:
        return self._bytes(block) <= self.panel_bytes

    def parts(self, block: Block) -> Iterator[OnGpu]:
        """Yield a panel on the GPU, in as many parts as its memory requires."""
        count = max(1, -(-self._bytes(block) // self.panel_bytes))
        step = -(-len(block) // count)
        for first in range(0, len(block), step):
            part = block.part(first, min(first + step, len(block)))
            yield OnGpu(first, part, self._upload(part.vectors), self._upload(part.norms))

    def _bytes(self, block: Block) -> int:
        norms = 0 if block.norms is None else block.norms.nbytes
        return int(block.vectors.nbytes) + norms

    def _upload(self, array: Any) -> Any:
        if array is None:
            return None
        if not self.is_gpu:
            return self.torch.from_numpy(np.require(array, requirements=("C", "W")))
        kind = getattr(self.torch, array.dtype.name)
        there = self.torch.empty(array.shape, dtype=kind, device=self.device)
        rows = max(1, STAGED // max(1, array[:1].nbytes))
        for n, first in enumerate(range(0, len(array), rows)):
            # A copy from pinned memory runs while the CPU continues.
            part = array[first : first + rows]
            pinned = self.torch.empty(part.shape, dtype=kind, pin_memory=True)
            pinned.numpy()[...] = part
            there[first : first + rows].copy_(pinned, non_blocking=True)
            if n % AHEAD == AHEAD - 1:  # limits the memory that is pinned at a time
                self.torch.cuda.current_stream(self.device).synchronize()
        return there

    def tiles(self, rows: OnGpu, columns: OnGpu, above: int | None) -> Iterator[Tile]:
        size, width = int(rows.block.sizes.max()), int(columns.block.sizes.max())
        pairs = max(1, self.tile_bytes // (size * width * 4))
        side = max(1, int(pairs**0.5))
        shift = None if above is None else above + columns.first - rows.first
        for top in range(0, len(rows.block), side):
            bottom = min(top + side, len(rows.block))
            for start in range(0, len(columns.block), side):
                stop = min(start + side, len(columns.block))
                if shift is None or stop - 1 + shift > top:
                    yield Tile(top, bottom, start, stop, shift)

    def start(self, tile: Tile, rows: OnGpu, columns: OnGpu) -> _Pending:
        """Start a tile, without waiting for it."""
        left, right = tile.pairs()
        own = rows.block.starts[tile.first_row : tile.last_row + 1]
        other = columns.block.starts[tile.first_column : tile.last_column + 1]
        x = rows.vectors[int(own[0]) : int(own[-1])]
        y = columns.vectors[int(other[0]) : int(other[-1])]
        if not self.matcher.solves:
            outcome = self._unmatched(tile, rows, columns, x, y, left, right)
        else:
            outcome = self._solved(x, y, own - own[0], other - other[0], left, right)
        ready = None
        if self.is_gpu:
            # Into pinned memory; otherwise the CPU would wait here for the GPU.
            here = [self.torch.empty(o.shape, dtype=o.dtype, pin_memory=True) for o in outcome]
            for to, one in zip(here, outcome, strict=True):
                to.copy_(one, non_blocking=True)
            outcome = here
            ready = self.torch.cuda.Event()
            ready.record(self.torch.cuda.current_stream(self.device))
        return _Pending(
            rows.first + tile.first_row + left,
            columns.first + tile.first_column + right,
            rows,
            columns,
            outcome,
            ready,
        )

    def _solved(
        self, x: Any, y: Any, own: Indices, other: Indices, left: Indices, right: Indices
    ) -> list[Any]:
        from .auction import solve

        sizes, widths = np.diff(own)[left], np.diff(other)[right]
        affinity = x @ y.T
        found = solve(
            affinity.reshape(-1),
            self._upload(own[left] * len(y) + other[right]),
            self._upload(sizes.astype(np.int32)),
            self._upload(widths.astype(np.int32)),
            row_stride=len(y),
            widest=int(max(sizes.max(initial=1), widths.max(initial=1))),
            tolerance=self.tolerance,
        )
        return [found.values, found.upper_bounds, found.status, found.rounds]

    def _unmatched(
        self,
        tile: Tile,
        rows: OnGpu,
        columns: OnGpu,
        x: Any,
        y: Any,
        left: Indices,
        right: Indices,
    ) -> list[Any]:
        """Location by location, accumulated in float64 as on the CPU."""
        torch = self.torch
        height, width = tile.last_row - tile.first_row, tile.last_column - tile.first_column
        inner = x.reshape(height, -1).double() @ y.reshape(width, -1).double().T
        norms = rows.norms[tile.first_row : tile.last_row]
        others = columns.norms[tile.first_column : tile.last_column]
        most = torch.maximum(norms @ others.T, inner)
        place = self._upload(left), self._upload(right)
        values = inner[place]
        nothing = torch.zeros(len(left), dtype=torch.int32, device=values.device)
        return [values, most[place], nothing, nothing]

    def collect(
        self, pending: _Pending, results: _Results, first_row: int, first_column: int, rest: _Rest
    ) -> None:
        """Take the results of a tile, and give the uncertified pairs to the CPU."""
        if pending.ready is not None:
            pending.ready.synchronize()
        values, bounds, status, rounds = (one.numpy() for one in pending.outcome)
        if (status == 2).any():
            raise NotFiniteError(int(np.flatnonzero(status == 2)[0]))
        place = first_row + pending.left, first_column + pending.right
        results.values[place] = values
        results.upper_bounds[place] = bounds
        uncertified = np.flatnonzero(status)
        self.stats.pairs += len(values)
        self.stats.uncertified += len(uncertified)
        self.stats.rounds += int(rounds.sum(dtype=np.int64))
        for first in range(0, len(uncertified), TOGETHER):
            chosen = uncertified[first : first + TOGETHER]
            pairs = pending.left[chosen], pending.right[chosen]
            where = first_row + pairs[0], first_column + pairs[1]
            rest.solve(pending.rows, pending.columns, pairs, where, results)


class _Rest:
    """The exact solver on the CPU, for pairs that the GPU cannot certify."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        workers: int,
        cancellation: Cancellation,
        guard: Any,
        matcher: Matcher,
    ) -> None:
        self._pool = pool
        self._most = 4 * workers
        self._cancellation = cancellation
        self._guard = guard
        self._matcher = matcher
        self._waiting: deque[tuple[Indices, Indices, Future[Array]]] = deque()

    def solve(
        self,
        rows: OnGpu,
        columns: OnGpu,
        pairs: tuple[Indices, Indices],
        place: tuple[Indices, Indices],
        results: _Results,
    ) -> None:
        """Solve pairs of the panels; their results go to `place`."""
        left, right = (pairs[0] - rows.first).tolist(), (pairs[1] - columns.first).tolist()
        own, other = rows.block, columns.block  # on the host, so that no memory of the GPU is held

        def work() -> Array:
            workspace = Workspace(self._cancellation, self._guard)
            one = np.zeros(1, dtype=np.int64)
            found = np.empty((2, len(left)))
            for n, (i, j) in enumerate(zip(left, right, strict=True)):
                tile = PairTile(own.part(i, i + 1), other.part(j, j + 1), one, one, workspace)
                matched = self._matcher.pairs(tile)
                found[:, n] = matched.values[0], matched.upper_bounds[0]
            return found

        self._waiting.append((*place, self._pool.submit(work)))
        self.collect(self._most, results)

    def collect(self, most: int, results: _Results) -> None:
        """Write finished tiles until no more than `most` tasks are pending."""
        while len(self._waiting) > most:
            rows, columns, future = self._waiting.popleft()
            self._cancellation.wait([future])
            results.values[rows, columns], results.upper_bounds[rows, columns] = future.result()


def _ahead(
    loader: ThreadPoolExecutor, things: Iterator[tuple[int, int, Block, Block]]
) -> Iterator[tuple[int, int, Block, Block]]:
    """Yield the items of an iterator, which makes the next one meanwhile."""
    following = loader.submit(next, things, None)
    while (thing := following.result()) is not None:
        following = loader.submit(next, things, None)
        yield thing


@contextmanager
def _on(torch: Any, device: Any) -> Iterator[None]:
    """Work on a GPU, with products in full float32: TF32 would cut the factors to ten bits."""
    if device.type != "cuda":
        yield
        return
    with _float32_proper(torch), torch.cuda.device(device):
        yield


@contextmanager
def _float32_proper(torch: Any) -> Iterator[None]:
    """Switch TF32 off for products, by the one of torch's two settings that the user uses."""
    settings = torch.backends.cuda.matmul
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # the newer setting has been used, and torch refuses to mix them
        before = settings.fp32_precision
        settings.fp32_precision = "ieee"
        try:
            yield
        finally:
            settings.fp32_precision = before
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
