"""The search for the k best images of each query: bounds first, assignments where they are needed.

Queries and gallery are read in panels that fit into memory. Within two panels, threads compare all
queries with one strip of the gallery after the other. An image is solved only if its bound reaches
the k-th best similarity of the query so far. Images whose mean vectors are most like the query's
are solved first, so that this threshold is nearly final from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from .._internal.pool import Pool, pool_of
from ..engine.plan import TILES_PER_WORKER, search_panels
from ..matching.assignment import NotFiniteError, Stage
from ..matching.base import Workspace
from ..matching.registry import overflow_error
from .exactly import TILE_BYTES
from .panel import Panel
from .question import Found, Question

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

#: The most bytes of centred vectors of the gallery that a thread holds at a time.
STRIP_BYTES = 8 << 20


class Search:
    """One search of the k best images of each query.

    Parameters
    ----------
    question : Question
    budget : int, optional
        The most images to solve for each query: those with the highest bounds.
    candidates : ndarray of int64, shape (Q, c), optional
        The only images to solve for each query, at least k of them; −1 where there are fewer.
    """

    def __init__(
        self, question: Question, *, budget: int | None = None, candidates: Indices | None = None
    ) -> None:
        self.question = question
        self.rows = question.rows
        self.index = question.index
        self.k = question.k
        self.ranking = question.ranking
        self.exclude = question.exclude
        self.workers = question.workers
        self.budget = budget
        self.candidates = candidates
        #: Whether other images are searched in the place of those that were given.
        self.stands_in = question.index.tokens is not question.given[1]
        matcher, given = question.matcher, question.given
        self.norms = matcher.squared_norms(given[0]), matcher.squared_norms(given[1])
        rows, columns = self.rows, self.index.tokens
        self.dtype = np.promote_types(rows.dtype, columns.dtype)
        #: Whether means may be subtracted: only where a matching uses every vector of both images.
        one_size = rows.uniform and columns.uniform
        self.centred = one_size and bool(rows.sizes[0] == columns.sizes[0])
        # |fl(⟨x, y⟩) − ⟨x, y⟩| ≤ γ ‖x‖ ‖y‖ for C channels, and so for a matching by Cauchy–Schwarz;
        # twice, for the value and for the threshold; and the rounding of the subtracted means.
        self.slack = 2 * (rows.channels + 8) * float(np.finfo(self.dtype).eps)
        self.tile_bytes, self.strip_bytes = TILE_BYTES, STRIP_BYTES
        self._choose_tiles()
        self.query_panel, self.gallery_panel = self._panels(question.memory)

    @property
    def pairs(self) -> int:
        """The number of pairs that are compared."""
        if self.candidates is not None:
            return int((self.candidates >= 0).sum())
        return self.question.pairs

    def _choose_tiles(self) -> None:
        """Choose the sides of a tile, and how many images are solved first for each query."""
        rows, columns = self.rows, self.index.tokens
        size, width = int(rows.sizes.max()), int(columns.sizes.max())
        pairs = max(1, TILE_BYTES // (size * width * self.dtype.itemsize))
        #: Images that a thread takes at a time, at most.
        self.strip = max(1, STRIP_BYTES // (width * rows.channels * self.dtype.itemsize))
        self.strip = min(self.strip, pairs)
        share = -(-columns.count // (TILES_PER_WORKER * self.workers))
        self.tile_rows = max(1, min(int(pairs**0.5), rows.count))
        self.tile_columns = max(1, min(pairs // self.tile_rows, self.strip, share))
        self.seeds = min(self.k, self.strip)  # as many as are wanted: more would hardly help
        if self.budget or self.candidates is not None or self.seeds >= columns.count:
            self.seeds = 0

    def _panels(self, memory: int) -> tuple[int, int]:
        """Return the numbers of queries and of gallery images that are in memory at a time."""
        rows, columns = self.rows, self.index.tokens
        query = 64 * self.k + 8 * self.seeds
        if self.budget is not None:
            query += columns.count * 8
        own = self.strip if self.candidates is not None else 0
        return search_panels(
            rows,
            columns,
            self.dtype,
            query=query,
            strip=max(self.tile_columns, self.seeds, own),
            tile=TILE_BYTES,
            kept=self.index.means.nbytes,
            workers=self.workers,
            memory=memory,
        )

    def run(self) -> Found:
        """Search.

        Raises
        ------
        InputError
            If an affinity overflows.
        """
        queries = self.rows.count
        found = Found(
            np.empty((queries, self.k), dtype=np.int64),
            np.empty((queries, self.k)),
            np.empty(queries),
            np.empty(queries, dtype=bool),
            np.zeros(len(Stage), dtype=np.int64),
        )
        with pool_of(self.workers, Workspace) as pool:
            try:
                for first in range(0, queries, self.query_panel):
                    self._panel(first, min(first + self.query_panel, queries), pool, found)
            except NotFiniteError:
                raise overflow_error("queries", "gallery") from None
        return found

    def _panel(self, first: int, last: int, pool: Pool[Workspace], found: Found) -> None:
        """Search for some of the queries."""
        panel = Panel(self, first, last)
        progress = self.question.progress
        for tasks in self._parts(panel, first, last):
            for _ in pool.run(tasks):
                if progress is not None:
                    done = found.counts.sum() + panel.counts.sum()
                    progress(int(done), self.pairs)
        at = slice(first, last)
        results = panel.finish(pool)
        found.indices[at], found.values[at], found.missed_at_most[at], found.exact[at] = results
        found.counts[:] += panel.counts

    def _parts(
        self, panel: Panel, first: int, last: int
    ) -> Iterator[Iterator[Callable[[Workspace], None]]]:
        """Yield the tasks of the candidates, or of one panel of the gallery after the other."""
        if self.candidates is not None:
            yield panel.candidates(self.candidates[first:last])
            return
        for start in range(0, self.index.count, self.gallery_panel):
            yield panel.tasks(start, min(start + self.gallery_panel, self.index.count))
