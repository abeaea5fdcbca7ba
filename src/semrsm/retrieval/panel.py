"""Some queries of a search, and their best images so far."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.pool import Pool
from ..matching.assignment import Stage, solve
from ..matching.base import Workspace
from ..tokens import PIECE, Block, Tokens
from .exactly import TILE_BYTES, exact_values
from .index import mean_vectors
from .pairs import Pairs, Strip, centred
from .ranking import Ranking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .search import Search

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]


class Panel:
    """Some queries, and their best images so far."""

    def __init__(self, job: Search, first: int, last: int) -> None:
        self.job = job
        self.first = first
        self.queries = job.rows.part(first, last)
        means = mean_vectors(self.queries)
        block = self.queries.block(0, last - first)
        self.block, self.means = centred(block, means, self.queries.exponents, job)
        self.norms = np.sqrt(self.queries.squared_norms)
        self.counts = np.zeros(len(Stage), dtype=np.int64)
        #: The k best scores of each query, ascending: other images must reach the first.
        self.best = np.full((self.queries.count, job.k), -np.inf)
        self.found: list[tuple[Indices, Indices, Array]] = []
        self.bounds = None
        if job.budget is not None:
            self.bounds = np.full((self.queries.count, job.index.count), -np.inf)
        #: The images that are solved first, shape (queries, seeds); −1 where there are fewer.
        self.seeds = self._seeds(means)
        self._lock = threading.Lock()

    def _seeds(self, means: NDArray[Any]) -> Indices:
        """Return the images whose means are most like that of the query.

        V of two images that are constant is min(S, T) ⟨x̄, ȳ⟩: not a bound, but a good guess.
        """
        job, gallery = self.job, self.job.index.tokens
        seeds = np.full((self.queries.count, job.seeds), -1, dtype=np.int64)
        step = max(1, PIECE // (8 * gallery.count))
        for first in range(0, self.queries.count if job.seeds else 0, step):
            rows = slice(first, min(first + step, self.queries.count))
            inner = (means[rows] @ job.index.means.T).astype(np.float64)
            inner *= np.minimum(self.queries.sizes[rows, None], gallery.sizes)
            if gallery.exponents.any() or self.queries.exponents.any():
                inner = np.ldexp(inner, self.queries.exponents[rows, None] + gallery.exponents)
            scores = job.ranking.scores(
                inner, self.queries.squared_norms[rows, None], gallery.squared_norms
            )
            if job.exclude is not None:
                scores[job.exclude[self.first + rows.start : self.first + rows.stop]] = -np.inf
            chosen = np.argpartition(-scores, job.seeds - 1, axis=1)[:, : job.seeds]
            allowed = np.take_along_axis(scores, chosen, axis=1) > -np.inf
            seeds[rows] = np.where(allowed, chosen, -1)
        return seeds

    def tasks(self, start: int, stop: int) -> Iterator[Callable[[Workspace], None]]:
        """Yield the tasks of the images ``start:stop`` of the gallery, seeds first."""
        job = self.job
        panel = job.index.tokens.part(start, stop)
        for query, seeds in enumerate(self.seeds):
            inside = np.sort(seeds[(seeds >= start) & (seeds < stop)])
            if len(inside):
                yield partial(self._chosen, query, inside, panel, start)
        block = panel.block(0, panel.count)
        for first in range(start, stop, job.tile_columns):
            yield partial(self._strip, block, first, min(first + job.tile_columns, stop), start)

    def candidates(self, candidates: Indices) -> Iterator[Callable[[Workspace], None]]:
        """Yield the tasks where only some images are looked at."""
        job = self.job
        for query, chosen in enumerate(candidates):
            images = np.sort(chosen[chosen >= 0])
            for first in range(0, len(images), job.strip):
                part = images[first : first + job.strip]
                yield partial(self._chosen, query, part, job.index.tokens, 0)

    def _chosen(
        self, query: int, images: Indices, source: Tokens, start: int, workspace: Workspace
    ) -> None:
        """Compare a query with some images, in ascending order; `source` begins with `start`."""
        taken = source.take(images - start)
        strip = Strip.of(self.job, taken.block(0, taken.count), images)
        wanted = np.ones((1, len(images)), dtype=bool)
        self._tile(slice(query, query + 1), strip, wanted, workspace)

    def _strip(self, block: Block, first: int, last: int, start: int, workspace: Workspace) -> None:
        """Compare the images ``first:last`` of the gallery with all queries."""
        job = self.job
        part = block.part(first - start, last - start)
        strip = Strip.of(job, part, np.arange(first, last))
        for top in range(0, self.queries.count, job.tile_rows):
            if workspace.cancellation.is_set:
                return
            rows = slice(top, min(top + job.tile_rows, self.queries.count))
            wanted = np.ones((rows.stop - rows.start, last - first), dtype=bool)
            if job.exclude is not None:
                at = slice(self.first + rows.start, self.first + rows.stop)
                wanted = ~job.exclude[at, first:last]
            # The images that were looked at first are not looked at again.
            query, nth = np.nonzero((self.seeds[rows] >= first) & (self.seeds[rows] < last))
            wanted[query, self.seeds[rows][query, nth] - first] = False
            self._tile(rows, strip, wanted, workspace)

    def _tile(
        self, rows: slice, strip: Strip, wanted: NDArray[np.bool_], workspace: Workspace
    ) -> None:
        """Bound the wanted pairs, and solve those that may be among the best."""
        pairs = Pairs(self, rows, strip, wanted, workspace)
        if not len(pairs.left):
            return
        if self.bounds is not None:
            bounds = pairs.bounds()
            self.bounds[pairs.left, pairs.right] = bounds
            with self._lock:
                self.counts[Stage.MAXIMA] += len(bounds)
            return
        bounds = pairs.bounds()
        with self._lock:
            goals = self.best[:, 0].copy()
        open_pairs = np.flatnonzero(bounds >= pairs.goal(goals, slice(None)))
        counts = np.zeros(len(Stage), dtype=np.int64)
        counts[Stage.MAXIMA] = len(bounds) - len(open_pairs)
        # Highest bounds first, a few for each query at a time: they raise the goals of the rest.
        order = open_pairs[np.lexsort((-bounds[open_pairs], pairs.left[open_pairs]))]
        ranks = ranks_within(pairs.left[order])
        batch = self.job.k
        while len(order):
            now = ranks < batch
            chosen, order, ranks = order[now], order[~now], ranks[~now]
            with self._lock:
                goals = self.best[:, 0].copy()
            still = bounds[chosen] >= pairs.goal(goals, chosen)
            counts[Stage.MAXIMA] += int((~still).sum())
            chosen = chosen[still]
            if len(chosen):
                values, stages = pairs.search(goals, chosen)
                counts += np.bincount(stages, minlength=len(Stage))
                solved = stages == Stage.SOLVED
                self._keep(pairs, chosen[solved], values[solved])
            batch *= 2
        with self._lock:
            self.counts += counts

    def _keep(self, pairs: Pairs, chosen: Indices, values: Array) -> None:
        """Merge new scores into the best ones."""
        left = pairs.left[chosen]
        scores = pairs.scores(values, chosen)
        with self._lock:
            self.found.append((left, pairs.right[chosen], scores))
            for query in np.unique(left):
                together = np.concatenate([self.best[query], scores[left == query]])
                together.sort()
                self.best[query] = together[-self.job.k :]

    def finish(self, pool: Pool[Workspace]) -> tuple[Indices, Array, Array, NDArray[np.bool_]]:
        """Solve the images that may be among the best again, in float64, and order them.

        Returns
        -------
        indices, values : ndarray, shape (queries, k)
        missed_at_most : ndarray of float64, shape (queries,)
        exact : ndarray of bool, shape (queries,)
            Whether no other image can belong to the results.
        """
        job, kernel = self.job, self.job.question.kernel
        beyond = None
        if self.bounds is not None:
            left, right, beyond = self._by_bound()
            self.counts[Stage.SOLVED] += len(left)
            self.counts[Stage.MAXIMA] -= len(left)
        else:
            left, right = self._near_best()
        order = np.lexsort((right, left))
        left, right = left[order], right[order]
        if job.stands_in:
            inner = self._by_matcher(left, right, pool)
        else:
            inner = self._exactly(left, right, pool)
        own, squared = self._norms()
        scores = Ranking.of(kernel).scores(inner, own[left], squared[right])
        order = np.lexsort((right, -scores, left))
        left, right, inner = left[order], right[order], inner[order]
        kept = ranks_within(left) < job.k
        indices = right[kept].reshape(-1, job.k)
        values = job.ranking.values(
            kernel,
            inner[kept].reshape(-1, job.k),
            own,
            squared[indices],
            self.job.dtype,
        )
        # Two scores may round to one value, or to values in the other order.
        order = np.lexsort((indices, -values), axis=1)
        indices = np.take_along_axis(indices, order, axis=1)
        values = np.take_along_axis(values, order, axis=1)
        last = values[:, -1]
        if beyond is None:
            return indices, values, last.copy(), np.ones(len(last), dtype=bool)
        missed = job.ranking.bound_values(kernel, beyond, self.queries.squared_norms)
        # Solved images that are not among the results are no better than the last of them. An image
        # that was not solved may have the last value too, and come first in the gallery.
        return indices, values, np.maximum(missed, last), missed < last

    def _norms(self) -> tuple[Array, Array]:
        """Return the squared norms of the queries and of the gallery by the matcher."""
        rows, columns = self.job.norms
        return rows[self.first : self.first + self.queries.count], columns

    def _near_best(self) -> tuple[Indices, Indices]:
        """Return the pairs whose score is not certainly below the k-th best."""
        left = np.concatenate([found[0] for found in self.found])
        right = np.concatenate([found[1] for found in self.found])
        scores = np.concatenate([found[2] for found in self.found])
        squared = self.job.index.tokens.squared_norms
        slack = self.job.ranking.slack(
            self.job.slack, self.queries.squared_norms[left], squared[right]
        )
        near = scores >= self.best[left, 0] - slack
        return left[near], right[near]

    def _by_bound(self) -> tuple[Indices, Indices, Array]:
        """Return the pairs with the highest bounds, and the highest bound score of the others."""
        bounds, budget = self.bounds, self.job.budget
        if bounds is None or budget is None:
            raise ValueError("there is no budget")
        squared = self.job.index.tokens.squared_norms
        scores = self.job.ranking.scores(
            bounds + self.job.slack * self.norms[:, None] * np.sqrt(squared),
            self.queries.squared_norms[:, None],
            squared[None, :],
        )
        scores[np.isneginf(bounds)] = -np.inf  # excluded
        take = min(budget, scores.shape[1])
        order = np.argsort(-scores, axis=1, kind="stable")
        rows = np.arange(len(scores))
        beyond = (
            scores[rows, order[:, take]] if take < scores.shape[1] else np.full(len(rows), -np.inf)
        )
        left, right = np.repeat(rows, take), order[:, :take].reshape(-1)
        allowed = ~np.isneginf(scores[left, right])
        return left[allowed], right[allowed], beyond

    def _by_matcher(self, left: Indices, right: Indices, pool: Pool[Workspace]) -> Array:
        """Return the matcher's value, in float64, of pairs of the images as they were given."""
        rows, columns = self.job.question.given
        queries = rows.part(self.first, self.first + self.queries.count)
        asked = self.job.question
        return exact_values(
            asked.matcher, queries, columns, (left, right), pool, self.job.workers, TILE_BYTES
        )

    def _exactly(self, left: Indices, right: Indices, pool: Pool[Workspace]) -> Array:
        """Return V, in float64, of pairs that are ordered by query."""
        job, tokens = self.job, self.job.index.tokens
        inner = np.empty(len(left))
        largest = int(tokens.sizes.max())
        image = largest * tokens.channels * tokens.dtype.itemsize
        pieces = max(job.workers, -(-len(left) * image // job.strip_bytes))
        together = max(1, job.tile_bytes // (8 * largest * int(job.rows.sizes.max())))
        own = self.queries.block(0, self.queries.count)

        def part(pairs: Indices, workspace: Workspace) -> None:
            wanted, place = np.unique(right[pairs], return_inverse=True)
            images = tokens.take(wanted)
            block = images.block(0, images.count)
            ends = np.flatnonzero(np.diff(left[pairs], append=-1)) + 1
            for first, last in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                for start in range(first, last, together):
                    chosen = slice(start, min(start + together, last))
                    solve_some(pairs[chosen], images, block, place[chosen], workspace)

        def solve_some(
            pairs: Indices, images: Tokens, block: Block, place: Indices, workspace: Workspace
        ) -> None:
            """Solve pairs of one query in one batch."""
            query = int(left[pairs[0]])
            x = own.image(query).astype(np.float64)
            y = np.concatenate([block.image(i) for i in place.tolist()]).astype(np.float64)
            sizes = images.sizes[place]
            values, _, _ = solve(
                workspace.product(x, y).reshape(-1),
                np.cumsum(sizes) - sizes,
                len(x),
                sizes.astype(np.int32),
                row_stride=len(y),
                cancellation=workspace.cancellation,
            )
            exponents = self.queries.exponents[query] + images.exponents[place]
            inner[pairs] = np.ldexp(values, exponents)

        split = np.array_split(np.arange(len(left)), min(pieces, len(left)))
        for _ in pool.run(partial(part, pairs) for pairs in split):
            pass
        return inner


def ranks_within(sorted_keys: Indices) -> Indices:
    """Return how many equal keys come before each of the sorted keys."""
    if not len(sorted_keys):
        return sorted_keys
    begins = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]])
    lengths = np.diff(np.r_[begins, len(sorted_keys)])
    return np.asarray(np.arange(len(sorted_keys)) - np.repeat(begins, lengths))
