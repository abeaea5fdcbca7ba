"""The search for the k best images of each query: bounds first, assignments where they are needed.

Queries are taken in panels and the gallery in panels, as the memory allows; inside, threads compare
all queries with one strip of the gallery after the other. The k best similarities of a query so far
say what the bound of an image must reach to be worth solving. Images whose mean vectors are most
like the query's are solved first, so that this is nearly right from the beginning.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.units import format_bytes
from .._internal.workers import Cancellation, cancel_on_interrupt, one_blas_thread
from ..engine.plan import TILES_PER_WORKER
from ..errors import InputError
from ..kernels import Kernel
from ..matching.assignment import NotFiniteError, Stage, search, solve
from ..matching.base import Workspace
from ..matching.registry import overflow_error
from ..tokens import PIECE, Block, Tokens
from .index import Index, mean_vectors
from .ranking import Ranking

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

#: Affinities of a tile of pairs in bytes: large enough that bookkeeping costs little beside the
#: product, small enough to stay near the processor until the bounds have read them.
TILE_BYTES = 4 << 20

#: Concept vectors of the images of a gallery that a thread has centred at a time, in bytes.
STRIP_BYTES = 8 << 20

_POLL = 0.1  # seconds between two calls of the progress callback


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found: the attributes of TopK, and the pairs that ended at each stage."""

    indices: Indices
    values: Array
    missed_at_most: Array
    counts: Indices


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of a search; everything has been checked.

    Attributes
    ----------
    rows : Tokens
        The queries.
    index : Index
        The gallery.
    k : int
    kernel : Kernel
    ranking : Ranking
        That of the kernel.
    ids : tuple of str
        Names of the queries.
    exclude : ndarray of bool, shape (Q, N), or None
    workers : int
    memory : int
        In bytes.
    progress : callable, optional
    """

    rows: Tokens
    index: Index
    k: int
    kernel: Kernel
    ranking: Ranking
    ids: tuple[str, ...]
    exclude: NDArray[np.bool_] | None
    workers: int
    memory: int
    progress: Callable[[int, int], object] | None

    @property
    def pairs(self) -> int:
        """Pairs of a query and an image of its gallery."""
        left_out = 0 if self.exclude is None else int(self.exclude.sum())
        return self.rows.count * self.index.count - left_out


class Search:
    """One search of the k best images of each query.

    Parameters
    ----------
    question : Question
    budget : int, optional
        Solve only so many images for each query: those with the highest bounds.
    candidates : ndarray of int64, shape (Q, c), optional
        Solve only these images for each query, at least k of them; −1 where there are fewer.
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
        rows, columns = self.rows, self.index.tokens
        self.dtype = np.promote_types(rows.dtype, columns.dtype)
        #: Whether each image's mean may be subtracted: a matching uses every vector of both then.
        one_size = rows.uniform and columns.uniform
        self.centred = one_size and bool(rows.sizes[0] == columns.sizes[0])
        # |fl(⟨x, y⟩) − ⟨x, y⟩| ≤ γ ‖x‖ ‖y‖ for C channels, and so for a matching by Cauchy–Schwarz;
        # twice, for the value and for the threshold; and the rounding of the subtracted means.
        self.slack = 2 * (rows.channels + 8) * float(np.finfo(self.dtype).eps)
        self._choose_tiles()
        self.query_panel, self.gallery_panel = self._panels(question.memory)

    @property
    def pairs(self) -> int:
        """Pairs that are looked at."""
        if self.candidates is not None:
            return int((self.candidates >= 0).sum())
        return self.question.pairs

    def _choose_tiles(self) -> None:
        """Choose the sides of a tile, and how many images are looked at first for each query."""
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
        """Return how many queries, and how many images of the gallery, are in memory at a time."""
        rows, columns = self.rows, self.index.tokens
        item = self.dtype.itemsize
        query = int(rows.sizes.max()) * rows.channels * item * 2 + 64 * self.k + 8 * self.seeds
        if self.budget is not None:
            query += columns.count * 8
        image = int(columns.sizes.max()) * rows.channels * item * 2  # as read, and in its dtype
        own = self.strip if self.candidates is not None else 0
        strip = max(self.tile_columns, self.seeds, own) * image
        pair = int(rows.sizes.max()) * int(columns.sizes.max()) * 8
        tile = 2 * max(TILE_BYTES, pair)  # the product, and what the solver copies of it
        fixed = self.workers * (tile + strip) + 3 * PIECE + self.index.means.nbytes
        smallest = fixed + query + image
        if memory < smallest:
            raise InputError(
                f"memory: expected at least {format_bytes(smallest, up=True)} for one query and "
                f"one image of the gallery on {self.workers} threads; got {format_bytes(memory)}"
            )
        free = memory - fixed
        queries = max(1, min(rows.count, free // (2 * query)))
        return queries, max(1, min(columns.count, (free - queries * query) // image))

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
            np.zeros(len(Stage), dtype=np.int64),
        )
        with (
            one_blas_thread() as guard,
            ThreadPoolExecutor(self.workers, thread_name_prefix="semrsm") as pool,
            cancel_on_interrupt() as cancellation,
        ):
            threads = _Threads(pool, self.workers, cancellation, guard)
            try:
                for first in range(0, queries, self.query_panel):
                    self._panel(first, min(first + self.query_panel, queries), threads, found)
            except NotFiniteError:
                raise overflow_error("queries", "gallery") from None
        return found

    def _panel(self, first: int, last: int, threads: _Threads, found: Found) -> None:
        """Search for some of the queries."""
        panel = _Panel(self, first, last)
        progress = self.question.progress
        for tasks in self._parts(panel, first, last):
            for _ in threads.run(tasks):
                if progress is not None:
                    done = found.counts.sum() + panel.counts.sum()
                    progress(int(done), self.pairs)
        at = slice(first, last)
        found.indices[at], found.values[at], found.missed_at_most[at] = panel.finish(threads)
        found.counts[:] += panel.counts

    def _parts(
        self, panel: _Panel, first: int, last: int
    ) -> Iterator[Iterator[Callable[[Workspace], None]]]:
        """Yield the tasks of the candidates, or of one panel of the gallery after the other."""
        if self.candidates is not None:
            yield panel.candidates(self.candidates[first:last])
            return
        for start in range(0, self.index.count, self.gallery_panel):
            yield panel.tasks(start, min(start + self.gallery_panel, self.index.count))


class _Threads:
    """Threads, each with a workspace of its own, that share the tasks of an iterator."""

    def __init__(
        self, pool: ThreadPoolExecutor, workers: int, cancellation: Cancellation, guard: Any
    ) -> None:
        self.cancellation = cancellation
        self._pool = pool
        self._workers = workers
        self._guard = guard
        self._local = threading.local()
        self._lock = threading.Lock()

    def run(self, tasks: Iterator[Callable[[Workspace], None]]) -> Iterator[None]:
        """Do all tasks, in order; yield now and then until they are done."""

        def work() -> None:
            if not hasattr(self._local, "workspace"):
                self._local.workspace = Workspace(self.cancellation, self._guard)
            while not self.cancellation.is_set:
                with self._lock:
                    task = next(tasks, None)
                if task is None:
                    return
                task(self._local.workspace)

        pending = {self._pool.submit(work) for _ in range(self._workers)}
        while pending:
            finished, pending = wait(pending, timeout=_POLL, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
            yield


class _Panel:
    """Some queries, and what is known of their best images so far."""

    def __init__(self, job: Search, first: int, last: int) -> None:
        self.job = job
        self.first = first
        self.queries = job.rows.part(first, last)
        means = mean_vectors(self.queries)
        block = self.queries.block(0, last - first)
        self.block, self.means = _centred(block, means, self.queries.exponents, job)
        self.norms = np.sqrt(self.queries.squared_norms)
        self.counts = np.zeros(len(Stage), dtype=np.int64)
        #: The k best scores of each query, ascending: the first is the one to reach.
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

        V of two images that are constant is min(S, T) ⟨x̄, ȳ⟩: no bound, but a good guess.
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
        """Yield what is to be done with the images ``start:stop`` of the gallery, seeds first."""
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
        """Yield what is to be done where only some images are looked at."""
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
        strip = _Strip.of(self.job, taken.block(0, taken.count), images)
        wanted = np.ones((1, len(images)), dtype=bool)
        self._tile(slice(query, query + 1), strip, wanted, workspace)

    def _strip(self, block: Block, first: int, last: int, start: int, workspace: Workspace) -> None:
        """Compare the images ``first:last`` of the gallery with all queries."""
        job = self.job
        part = block.part(first - start, last - start)
        strip = _Strip.of(job, part, np.arange(first, last))
        for top in range(0, self.queries.count, job.tile_rows):
            if workspace.cancellation.is_set:
                return
            rows = slice(top, min(top + job.tile_rows, self.queries.count))
            wanted = np.ones((rows.stop - rows.start, last - first), dtype=bool)
            if job.exclude is not None:
                at = slice(self.first + rows.start, self.first + rows.stop)
                wanted = ~job.exclude[at, first:last]
            # What was looked at first is not looked at again.
            query, nth = np.nonzero((self.seeds[rows] >= first) & (self.seeds[rows] < last))
            wanted[query, self.seeds[rows][query, nth] - first] = False
            self._tile(rows, strip, wanted, workspace)

    def _tile(
        self, rows: slice, strip: _Strip, wanted: NDArray[np.bool_], workspace: Workspace
    ) -> None:
        """Bound the wanted pairs, and solve those that may be among the best."""
        pairs = _Pairs(self, rows, strip, wanted, workspace)
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
        # Most promising first, a few for each query at a time: they raise what others must reach.
        order = open_pairs[np.lexsort((-bounds[open_pairs], pairs.left[open_pairs]))]
        ranks = _ranks(pairs.left[order])
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

    def _keep(self, pairs: _Pairs, chosen: Indices, values: Array) -> None:
        """Take new scores among the best."""
        left = pairs.left[chosen]
        scores = pairs.scores(values, chosen)
        with self._lock:
            self.found.append((left, pairs.right[chosen], scores))
            for query in np.unique(left):
                together = np.concatenate([self.best[query], scores[left == query]])
                together.sort()
                self.best[query] = together[-self.job.k :]

    def finish(self, threads: _Threads) -> tuple[Indices, Array, Array]:
        """Solve again, in float64, what may be among the best, and order it."""
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
        inner = self._exactly(left, right, threads)
        squared = job.index.tokens.squared_norms
        scores = job.ranking.scores(inner, self.queries.squared_norms[left], squared[right])
        order = np.lexsort((right, -scores, left))
        left, right, inner = left[order], right[order], inner[order]
        kept = _ranks(left) < job.k
        indices = right[kept].reshape(-1, job.k)
        values = job.ranking.values(
            kernel,
            inner[kept].reshape(-1, job.k),
            self.queries.squared_norms,
            squared[indices],
            self.job.dtype,
        )
        if beyond is None:
            return indices, values, values[:, -1].copy()
        missed = job.ranking.bound_values(kernel, beyond, self.queries.squared_norms)
        # What was solved and is not among the results is no better than the last of them.
        return indices, values, np.maximum(missed, values[:, -1])

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

    def _exactly(self, left: Indices, right: Indices, threads: _Threads) -> Array:
        """Return V of pairs, ordered by query, in float64."""
        job, tokens = self.job, self.job.index.tokens
        inner = np.empty(len(left))
        largest = int(tokens.sizes.max())
        image = largest * tokens.channels * tokens.dtype.itemsize
        pieces = max(job.workers, -(-len(left) * image // STRIP_BYTES))
        together = max(1, TILE_BYTES // (8 * largest * int(job.rows.sizes.max())))
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
        for _ in threads.run(partial(part, pairs) for pairs in split):
            pass
        return inner


@dataclass(frozen=True, eq=False)
class _Strip:
    """Some images of the gallery, as they are compared with queries."""

    images: Indices
    block: Block
    means: Array | None
    norms: Array
    exponents: NDArray[np.int64]

    @classmethod
    def of(cls, job: Search, block: Block, images: Indices) -> _Strip:
        """Return images of the gallery, of which `block` holds the vectors."""
        gallery = job.index.tokens
        exponents = gallery.exponents[images]
        part, means = _centred(block, job.index.means[images], exponents, job)
        return cls(images, part, means, np.sqrt(gallery.squared_norms[images]), exponents)


class _Pairs:
    """The wanted pairs of one tile, with their affinities."""

    def __init__(
        self,
        panel: _Panel,
        rows: slice,
        strip: _Strip,
        wanted: NDArray[np.bool_],
        workspace: Workspace,
    ) -> None:
        job = panel.job
        self.workspace = workspace
        left, right = np.nonzero(wanted)
        #: Queries of the panel, and images of the gallery.
        self.left, self.right = left + rows.start, strip.images[right]
        if not len(left):
            return
        own, other = panel.block.part(rows.start, rows.stop), strip.block
        affinity = workspace.product(own.vectors, other.vectors)
        self._flat, self._width = affinity.reshape(-1), affinity.shape[1]
        self._offsets = own.starts[left] * self._width + other.starts[right]
        self._rows = own.sizes[left].astype(np.int32)
        self._columns = other.sizes[right].astype(np.int32)
        self._norms = panel.norms[self.left], strip.norms[right]
        self._slack = job.slack
        self._ranking = job.ranking
        self._exponents = panel.queries.exponents[self.left] + strip.exponents[right]
        self._shift = np.zeros(len(left))
        if panel.means is not None and strip.means is not None:
            size = float(own.sizes[0])
            shift = panel.means[rows] @ strip.means.T
            self._shift = size * shift[left, right]

    def goal(self, goals: Array, chosen: Any) -> Array:
        """Return what V must reach, less what rounding can hide."""
        left, right = self._norms[0][chosen], self._norms[1][chosen]
        needed = self._ranking.inner(goals[self.left[chosen]], left, right)
        return np.asarray(needed - self._slack * left * right)

    def scores(self, values: Array, chosen: Indices) -> Array:
        left, right = self._norms[0][chosen], self._norms[1][chosen]
        return self._ranking.scores(values, left * left, right * right)

    def bounds(self) -> Array:
        """Return the cheapest bound on V of every pair."""
        _, bounds, _ = self._search(np.full(len(self.left), np.inf), slice(None))
        return self._outside(bounds, slice(None))

    def search(self, goals: Array, chosen: Indices) -> tuple[Array, NDArray[np.uint8]]:
        """Return V of the chosen pairs, NaN where a bound is below the goal, and which."""
        inside = np.ldexp(self.goal(goals, chosen) - self._shift[chosen], -self._exponents[chosen])
        values, _, stages = self._search(inside, chosen)
        return self._outside(values, chosen), stages

    def _search(self, stop_below: Array, chosen: Any) -> tuple[Array, Array, NDArray[np.uint8]]:
        return search(
            self._flat,
            self._offsets[chosen],
            self._rows[chosen],
            self._columns[chosen],
            stop_below,
            row_stride=self._width,
            cancellation=self.workspace.cancellation,
        )

    def _outside(self, values: Array, chosen: Any) -> Array:
        """Return V of the images as they were given: not centred, not scaled."""
        return np.asarray(np.ldexp(values, self._exponents[chosen]) + self._shift[chosen])


def _centred(
    block: Block, means: NDArray[Any], exponents: NDArray[np.int64], job: Search
) -> tuple[Block, Array | None]:
    """Return images in the dtype of the job, less their means, and the means in their own units."""
    vectors = block.vectors.astype(job.dtype, copy=False)
    if not job.centred:
        return Block(vectors, block.starts), None
    images = vectors.reshape(len(block), -1, vectors.shape[1])
    centred = images - means.astype(job.dtype, copy=False)[:, None, :]
    shifts = np.ldexp(means.astype(np.float64), exponents[:, None])
    return Block(centred.reshape(vectors.shape), block.starts), shifts


def _ranks(sorted_keys: Indices) -> Indices:
    """Return how many equal keys stand before each, in keys that are sorted."""
    if not len(sorted_keys):
        return sorted_keys
    begins = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]])
    lengths = np.diff(np.r_[begins, len(sorted_keys)])
    return np.asarray(np.arange(len(sorted_keys)) - np.repeat(begins, lengths))
