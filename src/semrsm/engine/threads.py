"""The engine of the CPU: tiles of pairs on threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .._internal.checks import Progress
from .._internal.pool import pool_of
from ..matching.base import Matcher, PairTile, Workspace
from ..tokens import Block, Tokens
from .base import Engine
from .plan import Plan
from .tiles import Tile, panels, tiles_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ThreadEngine(Engine):
    """Runs every matcher, on threads of this process."""

    name = "cpu"

    def supports(self, matcher: Matcher, rows: Tokens, columns: Tokens) -> str | None:
        """See :meth:`Engine.supports`: it supports every job."""
        return None

    def run(
        self,
        x: Tokens,
        y: Tokens | None,
        matcher: Matcher,
        plan: Plan,
        values: NDArray[np.float64],
        upper_bounds: NDArray[np.float64],
        progress: Progress | None,
    ) -> None:
        """See :meth:`Engine.run`."""
        dtype = np.promote_types(x.dtype, x.dtype if y is None else y.dtype)
        done: list[int] = []  # the pairs of each finished tile, appended by the threads

        def fill(
            tile: Tile, rows: Block, columns: Block, at: tuple[int, int], workspace: Workspace
        ) -> None:
            left, right = tile.pairs()
            if not len(left):
                return
            found = matcher.pairs(
                PairTile(
                    rows.part(tile.first_row, tile.last_row),
                    columns.part(tile.first_column, tile.last_column),
                    left,
                    right,
                    workspace,
                )
            )
            place = at[0] + tile.first_row + left, at[1] + tile.first_column + right
            values[place] = found.values
            upper_bounds[place] = found.upper_bounds
            done.append(len(left))

        with pool_of(plan.workers, Workspace) as pool:
            for first_row, first_column, rows, columns in panels(x, y, matcher, plan, dtype):
                above = None
                if y is None:
                    above = first_column - first_row + matcher.solves_self
                at = first_row, first_column
                tasks: Iterator[Callable[[Workspace], object]] = (
                    partial(fill, tile, rows, columns, at)
                    for tile in tiles_of(len(rows), len(columns), plan, above)
                )
                for _ in pool.run(tasks):
                    if progress is not None:
                        progress(sum(done), plan.pairs)


#: The engine of the CPU; it has no state.
THREADS = ThreadEngine()
