"""Runs tiles of pairs on threads: what is computed stands in matchers.py, where it runs here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.workers import cancel_on_interrupt, one_blas_thread
from ..matching.matchers import Matcher, Workspace
from ..tokens import Block, Tokens
from .plan import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Called in the caller's thread with the pairs done so far and all pairs.
Progress = Callable[[int, int], object]

_POLL = 0.1  # seconds between two calls of the progress callback


@dataclass(frozen=True)
class Tile:
    """Images ``first_row:last_row`` against ``first_column:last_column``, counted in their panels.

    Where `above` is a number, only pairs with column + above > row are wanted: the strict upper
    triangle of one set of images where `above` is the distance of the two panels, and the triangle
    with its diagonal where it is one more.
    """

    first_row: int
    last_row: int
    first_column: int
    last_column: int
    above: int | None

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the wanted pairs, counted from the first image of the tile."""
        rows = np.arange(self.last_row - self.first_row)[:, None]
        columns = np.arange(self.last_column - self.first_column)[None, :]
        wanted = np.ones(np.broadcast(rows, columns).shape, dtype=bool)
        if self.above is not None:
            wanted = columns + self.first_column + self.above > rows + self.first_row
        left, right = np.nonzero(wanted)
        return left, right


def matched(
    x: Tokens,
    y: Tokens | None,
    matcher: Matcher,
    plan: Plan,
    progress: Progress | None,
    device: Any = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Match all pairs of `x` and `y`, or of `x` with itself, and return both matrices whole.

    Parameters
    ----------
    x, y, matcher, plan, progress
        As for :func:`run`.
    device : torch.device, optional
        A GPU that fills the tiles, in place of the threads.

    Returns
    -------
    values, upper_bounds : ndarray of float64, shape (N, M)
        In the units of the images, mirrored and with the diagonal where `y` is None.

    Raises
    ------
    NotFiniteError
        If an affinity overflows.
    """
    other = x if y is None else y
    values = np.zeros((x.count, other.count))
    upper_bounds = np.zeros_like(values)
    if device is None:
        run(x, y, matcher, plan, values, upper_bounds, progress)
    else:
        from .cuda.engine import run as run_on_gpu

        run_on_gpu(x, y, matcher, plan, values, upper_bounds, progress, device)
    if x.exponents.any() or other.exponents.any():
        exponents = x.exponents[:, None] + other.exponents[None, :]
        np.ldexp(values, exponents, out=values)
        np.ldexp(upper_bounds, exponents, out=upper_bounds)
    if y is None:
        for matrix in (values, upper_bounds):
            _mirror(matrix)
            if matcher.identity_on_self:
                np.fill_diagonal(matrix, x.squared_norms)
    return values, upper_bounds


def run(
    x: Tokens,
    y: Tokens | None,
    matcher: Matcher,
    plan: Plan,
    values: NDArray[np.float64],
    upper_bounds: NDArray[np.float64],
    progress: Progress | None,
) -> None:
    """Match all pairs of `x` and `y`, or the upper triangle of `x`, into the results.

    The diagonal is left out where the matcher is certain to match an image with itself by the
    identity.

    Parameters
    ----------
    x, y : Tokens
        The inputs.
    matcher : Matcher
        What is computed.
    plan : Plan
        Panels, tiles and threads.
    values, upper_bounds : ndarray of float64, shape (N, M)
        Written in place.
    progress : callable, optional
        Called as ``progress(done, total)``; an exception from it ends the run.

    Raises
    ------
    NotFiniteError
        If an affinity overflows.
    """
    dtype = np.promote_types(x.dtype, x.dtype if y is None else y.dtype)
    done = 0
    with (
        one_blas_thread() as guard,
        ThreadPoolExecutor(plan.workers, thread_name_prefix="semrsm") as pool,
        # Innermost: the threads are told to leave before the pool waits for them.
        cancel_on_interrupt() as cancellation,
    ):
        local = threading.local()

        def consume(
            tiles: Iterator[Tile], lock: threading.Lock, rows: Block, columns: Block, at: list[int]
        ) -> None:
            if not hasattr(local, "workspace"):
                local.workspace = Workspace(cancellation, guard)
            while not cancellation.is_set:
                with lock:
                    tile = next(tiles, None)
                if tile is None:
                    return
                left, right = tile.pairs()
                if not len(left):
                    continue
                found = matcher.pairs(
                    rows.part(tile.first_row, tile.last_row),
                    columns.part(tile.first_column, tile.last_column),
                    left,
                    right,
                    local.workspace,
                )
                place = at[0] + tile.first_row + left, at[1] + tile.first_column + right
                values[place] = found.values
                upper_bounds[place] = found.upper_bounds
                with lock:
                    at[2] += len(left)

        for first_row, first_column, rows, columns in panels(x, y, matcher, plan, dtype):
            above = None
            if y is None:
                above = first_column - first_row + (not matcher.identity_on_self)
            tiles = _tiles(len(rows), len(columns), plan, above)
            lock = threading.Lock()
            at = [first_row, first_column, 0]
            pending = {
                pool.submit(consume, tiles, lock, rows, columns, at) for _ in range(plan.workers)
            }
            while pending:
                finished, pending = wait(pending, timeout=_POLL, return_when=FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                if progress is not None:
                    progress(done + at[2], plan.pairs)
            done += at[2]


def panels(
    x: Tokens, y: Tokens | None, matcher: Matcher, plan: Plan, dtype: np.dtype[np.generic]
) -> Iterator[tuple[int, int, Block, Block]]:
    """Yield pairs of prepared panels; of one set of images those on and above the diagonal."""
    other = x if y is None else y

    def load(tokens: Tokens, first: int) -> Block:
        block = tokens.block(first, min(first + plan.panel, tokens.count))
        if block.vectors.dtype != dtype:
            block = Block(block.vectors.astype(dtype), block.starts)
        return matcher.prepare(block)

    for first_row in range(0, x.count, plan.panel):
        rows = load(x, first_row)
        for first_column in range(first_row if y is None else 0, other.count, plan.panel):
            same = y is None and first_column == first_row
            yield first_row, first_column, rows, rows if same else load(other, first_column)


def _tiles(rows: int, columns: int, plan: Plan, above: int | None) -> Iterator[Tile]:
    for first_row in range(0, rows, plan.tile_rows):
        last_row = min(first_row + plan.tile_rows, rows)
        for first_column in range(0, columns, plan.tile_columns):
            last_column = min(first_column + plan.tile_columns, columns)
            if above is None or last_column - 1 + above > first_row:
                yield Tile(first_row, last_row, first_column, last_column, above)


def _mirror(matrix: NDArray[np.float64], block: int = 1024) -> None:
    """Copy the upper triangle of a square matrix to the lower one, in place, block by block."""
    for first in range(0, len(matrix), block):
        last = first + block
        corner = matrix[first:last, first:last]
        lower = np.tril_indices_from(corner, k=-1)
        corner[lower] = corner.T[lower]
        matrix[last:, first:last] = matrix[first:last, last:].T
