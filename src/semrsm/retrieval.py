"""Exact top-k retrieval: the k most similar images, without solving every assignment.

Every pair of images has a cheap upper bound on its similarity, from the same product of concept
vectors that the assignment starts from. An image whose bound is below the k-th best similarity
that has been found so far cannot be among the k best, and is not solved. Nothing is estimated: the
result is that of solving everything.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._workers import Cancellation, cancel_on_interrupt, one_blas_thread, worker_count
from .assignment import NotFiniteError, Stage, search, solve
from .errors import InputError
from .index import Index
from .kernels import Kernel, resolve_kernel
from .matchers import Optimal, Workspace, check_comparable, overflow_error
from .plan import format_bytes, memory_budget
from .ranking import Ranking
from .tokens import PIECE, Block, Tokens, image_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

#: Affinities of a tile of pairs in bytes: large enough that bookkeeping costs little beside the
#: product, small enough to stay near the processor until the bounds have read them.
TILE_BYTES = 4 << 20

_POLL = 0.1


@dataclass(frozen=True, eq=False)
class TopK:
    """The most similar images of a gallery for each query.

    Attributes
    ----------
    indices : ndarray of int64, shape (Q, k)
        Images of the gallery, the most similar first. Of equally similar ones, the one that comes
        first in the gallery comes first.
    values : ndarray of float64, shape (Q, k)
        Their similarities under the kernel.
    missed_at_most : ndarray of float64, shape (Q,)
        No image of the gallery that is not among the results is more similar than this: the
        certificate. Without a budget it is at most the last of the values.
    query_ids, gallery_ids : tuple of str
        The names of the images.
    kernel : str
        The kernel's name.
    pairs : int
        Pairs of a query and an image of its gallery.
    solved : int
        How many of them needed an assignment.
    removed : mapping of str to int
        How many each bound removed: ``"maxima"``, ``"reduced"``, ``"prices"``, ``"auction"``, in
        order of what they cost (see :class:`semrsm.assignment.Stage`).
    exact : bool
        Whether the results of all queries are certainly the best ones. Without a budget they are.
    """

    indices: NDArray[np.int64]
    values: NDArray[np.float64]
    missed_at_most: NDArray[np.float64]
    query_ids: tuple[str, ...]
    gallery_ids: tuple[str, ...]
    kernel: str
    pairs: int
    solved: int
    removed: Mapping[str, int]
    exact: bool

    def __repr__(self) -> str:
        queries, k = self.indices.shape
        exact = "exact" if self.exact else "the best within a budget"
        share = self.solved / self.pairs if self.pairs else 0.0
        return (
            f"TopK({queries} queries, k={k} of {len(self.gallery_ids)}, kernel={self.kernel!r}, "
            f"{exact}, {share:.1%} of the pairs solved)"
        )

    def names(self, query: int) -> list[str]:
        """Return the names of the results of one query."""
        return [self.gallery_ids[i] for i in self.indices[query]]


def topk(
    queries: Any,
    gallery: Any,
    k: int,
    *,
    kernel: str | Kernel = "cosine",
    ids: Sequence[Any] | None = None,
    gallery_ids: Sequence[Any] | None = None,
    exclude: ArrayLike | None = None,
    budget: int | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> TopK:
    """Find the k most similar images of a gallery under the semantic similarity, exactly.

    Parameters
    ----------
    queries : array-like, torch.Tensor or list of arrays
        Q images, in any form that :func:`semrsm.gram` takes.
    gallery : Index, or like queries
        N images with the same number of channels. An :class:`Index` is measured once for many
        calls.
    k : int
        How many results each query gets.
    kernel : str or Kernel, default "cosine"
        ``"linear"``, ``"cosine"``, or a kernel of the distance with a bandwidth in numbers, such as
        ``semrsm.kernels.RBF(sigma=3.0)``. The bandwidth does not change the order.
    ids, gallery_ids : sequence, optional
        Names of the images; their indices by default.
    exclude : array-like of bool, shape (Q, N), optional
        True where an image of the gallery is none for that query, such as the query itself.
    budget : int, optional
        Solve at most so many assignments for each query: those with the highest bounds. The results
        are then the best of those, and ``missed_at_most`` says what the others may reach.
    workers, memory, progress
        As for :func:`semrsm.gram`; progress counts pairs.

    Returns
    -------
    TopK

    Raises
    ------
    InputError
        If an argument is not what it must be; nothing has been matched then.

    Notes
    -----
    The ladder of bounds, each a dual bound of the assignment (see
    :func:`semrsm.assignment.search`): the sums of row maxima (MaxSim) and of column maxima; the
    same, less what columns lack that lead in no row; the prices of an auction after each of its
    phases. They are evaluated after subtracting each image's mean vector, which changes V by
    exactly S⟨x̄, ȳ⟩ where both images have S vectors, and makes the bounds much tighter.

    Rounding drops no neighbour: pairs are removed only where their bound is below the k-th best by
    more than the inner products of C channels can be wrong by, and what is left near it is solved
    again in float64, by which results are ordered.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> maps = np.random.default_rng(0).normal(size=(50, 16, 4, 4))
    >>> moved = np.roll(maps[:2], 1, axis=3)
    >>> found = semrsm.topk(moved, maps, k=3)
    >>> found.indices[:, 0]
    array([0, 1])
    >>> found.exact
    True
    """
    chosen = resolve_kernel(kernel)
    ranking = Ranking.of(chosen)
    threads = worker_count(workers)
    limit = memory_budget(memory)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InputError(f"k: expected a whole number >= 1; got {k!r}")
    if budget is not None and (
        isinstance(budget, bool) or not isinstance(budget, int) or budget < k
    ):
        raise InputError(f"budget: expected a whole number >= k = {k}; got {budget!r}")
    if progress is not None and not callable(progress):
        raise InputError(f"progress: expected a function of (done, total); got {progress!r}")
    rows = Tokens(queries, "queries")
    if isinstance(gallery, Index):
        if gallery_ids is not None:
            raise InputError("gallery_ids: expected None, since an Index has its own")
        index = gallery
    else:
        index = Index(gallery, ids=gallery_ids)
    check_comparable(rows, index.tokens, Optimal(), "queries", "gallery")
    names = image_ids(ids, rows.count, "ids")
    left_out = _excluded(exclude, rows.count, index.count)
    available = index.count - (0 if left_out is None else left_out.sum(axis=1))
    if np.min(available) < k:
        raise InputError(
            f"k: expected at most {int(np.min(available))}, the images that a query has to choose "
            f"from; got {k}"
        )
    job = _Job(rows, index, int(k), ranking, left_out, budget, threads, limit, progress)
    try:
        return job.result(names, chosen)
    except NotFiniteError:
        raise overflow_error("queries", "gallery") from None


class _Job:
    """One call of :func:`topk`."""

    def __init__(
        self,
        rows: Tokens,
        index: Index,
        k: int,
        ranking: Ranking,
        exclude: NDArray[np.bool_] | None,
        budget: int | None,
        workers: int,
        memory: int,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        self.rows = rows
        self.index = index
        self.k = k
        self.ranking = ranking
        self.exclude = exclude
        self.budget = budget
        self.workers = workers
        self.progress = progress
        columns = index.tokens
        self.dtype = np.promote_types(rows.dtype, columns.dtype)
        #: Whether each image's mean may be subtracted: a matching uses every vector of both then.
        one_size = rows.uniform and columns.uniform
        self.centred = one_size and bool(rows.sizes[0] == columns.sizes[0])
        # |fl(⟨x, y⟩) − ⟨x, y⟩| ≤ γ ‖x‖ ‖y‖ for C channels, and so for a matching by Cauchy–Schwarz;
        # twice, for the value and for the threshold; and the rounding of the subtracted means.
        self.slack = 2 * (rows.channels + 8) * float(np.finfo(self.dtype).eps)
        self.query_panel, self.gallery_panel = self._panels(memory)
        size, width = int(rows.sizes.max()), int(columns.sizes.max())
        pairs = max(1, TILE_BYTES // (size * width * self.dtype.itemsize))
        self.tile_rows = max(1, min(int(pairs**0.5), rows.count))
        self.tile_columns = max(1, min(pairs // self.tile_rows, columns.count))

    def _panels(self, memory: int) -> tuple[int, int]:
        """Return how many queries, and how many images of the gallery, are in memory at a time."""
        rows, columns = self.rows, self.index.tokens
        item = self.dtype.itemsize
        query = int(rows.sizes.max()) * rows.channels * item * 2 + 64 * self.k
        if self.budget is not None:
            query += columns.count * 8
        image = int(columns.sizes.max()) * rows.channels * item * 2
        fixed = self.workers * 2 * TILE_BYTES + 3 * PIECE
        smallest = fixed + query + image
        if memory < smallest:
            raise InputError(
                f"memory: expected at least {format_bytes(smallest, up=True)} for one query and "
                f"one image of the gallery on {self.workers} threads; got {format_bytes(memory)}"
            )
        free = memory - fixed
        queries = max(1, min(rows.count, free // (2 * query)))
        return queries, max(1, min(columns.count, (free - queries * query) // image))

    def result(self, names: tuple[str, ...], kernel: Kernel) -> TopK:
        queries = self.rows.count
        indices = np.empty((queries, self.k), dtype=np.int64)
        values = np.empty((queries, self.k))
        missed = np.empty(queries)
        counts = np.zeros(len(Stage), dtype=np.int64)
        total = queries * self.index.count
        if self.exclude is not None:
            total -= int(self.exclude.sum())
        with (
            one_blas_thread() as guard,
            ThreadPoolExecutor(self.workers, thread_name_prefix="semrsm") as pool,
            cancel_on_interrupt() as cancellation,
        ):
            done = 0
            for first in range(0, queries, self.query_panel):
                panel = _Panel(self, first, min(first + self.query_panel, queries))
                for start in range(0, self.index.count, self.gallery_panel):
                    stop = min(start + self.gallery_panel, self.index.count)
                    panel.scan(start, stop, pool, cancellation, guard, (done, total))
                done += int(panel.counts.sum())
                at = slice(first, first + panel.queries.count)
                indices[at], values[at], missed[at] = panel.finish(kernel, pool, cancellation)
                counts += panel.counts
        return TopK(
            indices=indices,
            values=values,
            missed_at_most=missed,
            query_ids=names,
            gallery_ids=self.index.ids,
            kernel=kernel.name,
            pairs=total,
            solved=int(counts[Stage.SOLVED]),
            removed={
                stage.name.lower(): int(counts[stage]) for stage in Stage if stage != Stage.SOLVED
            },
            exact=bool((missed <= values[:, -1]).all()),
        )


class _Panel:
    """Some queries, and what is known of their best images so far."""

    def __init__(self, job: _Job, first: int, last: int) -> None:
        self.job = job
        self.first = first
        self.queries = job.rows.part(first, last)
        self.block, self.means = _centred(self.queries, job)
        self.norms = np.sqrt(self.queries.squared_norms)
        self.counts = np.zeros(len(Stage), dtype=np.int64)
        #: The k best scores of each query, ascending: the first is the one to reach.
        self.best = np.full((self.queries.count, job.k), -np.inf)
        self.found: list[tuple[Indices, Indices, Array]] = []
        self.bounds = None
        if job.budget is not None:
            self.bounds = np.full((self.queries.count, job.index.count), -np.inf)
        self._lock = threading.Lock()

    def scan(
        self,
        start: int,
        stop: int,
        pool: ThreadPoolExecutor,
        cancellation: Cancellation,
        guard: Any,
        progress: tuple[int, int],
    ) -> None:
        """Bound, and solve where needed, the pairs with some images of the gallery."""
        job = self.job
        images = job.index.tokens.part(start, stop)
        block, means = _centred(images, job)
        norms = np.sqrt(images.squared_norms)
        tiles = self._tiles(stop - start)
        local = threading.local()

        def consume() -> None:
            if not hasattr(local, "workspace"):
                local.workspace = Workspace(cancellation, guard)
            while not cancellation.is_set:
                with self._lock:
                    tile = next(tiles, None)
                if tile is None:
                    return
                self._tile(tile, start, block, means, norms, images.exponents, local.workspace)

        pending = {pool.submit(consume) for _ in range(job.workers)}
        while pending:
            finished, pending = wait(pending, timeout=_POLL, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
            if job.progress is not None:
                job.progress(progress[0] + int(self.counts.sum()), progress[1])

    def _tiles(self, columns: int) -> Iterator[tuple[slice, slice]]:
        for first in range(0, columns, self.job.tile_columns):
            for top in range(0, self.queries.count, self.job.tile_rows):
                yield (
                    slice(top, min(top + self.job.tile_rows, self.queries.count)),
                    slice(first, min(first + self.job.tile_columns, columns)),
                )

    def _tile(
        self,
        tile: tuple[slice, slice],
        start: int,
        block: Block,
        means: Array | None,
        norms: Array,
        exponents: NDArray[np.int64],
        workspace: Workspace,
    ) -> None:
        rows, columns = tile
        pairs = _Pairs(self, rows, columns, start, block, means, norms, exponents, workspace)
        if not len(pairs.left):
            return
        if self.bounds is not None:
            bounds = pairs.bounds()
            self.bounds[pairs.left, start + pairs.right] = bounds
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
            self.found.append((left, pairs.start + pairs.right[chosen], scores))
            for query in np.unique(left):
                together = np.concatenate([self.best[query], scores[left == query]])
                together.sort()
                self.best[query] = together[-self.job.k :]

    def finish(
        self, kernel: Kernel, pool: ThreadPoolExecutor, cancellation: Cancellation
    ) -> tuple[Indices, Array, Array]:
        """Solve again, in float64, what may be among the best, and order it."""
        job = self.job
        if self.bounds is not None:
            left, right, beyond = self._by_bound()
            self.counts[Stage.SOLVED] += len(left)
            self.counts[Stage.MAXIMA] -= len(left)
        else:
            left, right = self._near_best()
            beyond = None
        inner = self._exactly(left, right, pool, cancellation)
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

    def _exactly(
        self, left: Indices, right: Indices, pool: ThreadPoolExecutor, cancellation: Cancellation
    ) -> Array:
        """Return V of pairs in float64."""
        inner = np.empty(len(left))
        tokens = self.job.index.tokens
        order = np.argsort(right, kind="stable")
        pieces = np.array_split(order, max(1, min(len(order), len(order) // 64)))

        def part(chosen: Indices) -> None:
            wanted, place = np.unique(right[chosen], return_inverse=True)
            images = tokens.take(wanted)
            block = images.block(0, images.count)
            own = self.queries.block(0, self.queries.count)
            for n, (query, image) in enumerate(zip(left[chosen], place, strict=True)):
                x = own.image(int(query)).astype(np.float64)
                y = block.image(int(image)).astype(np.float64)
                affinity = x @ y.T
                value, _, _ = solve(
                    affinity.reshape(-1),
                    np.zeros(1, dtype=np.int64),
                    affinity.shape[0],
                    affinity.shape[1],
                    row_stride=affinity.shape[1],
                    cancellation=cancellation,
                )
                exponent = self.queries.exponents[query] + images.exponents[image]
                inner[chosen[n]] = np.ldexp(value[0], exponent)

        cancellation.wait([pool.submit(part, piece) for piece in pieces if len(piece)])
        return inner


class _Pairs:
    """The pairs of one tile, with their affinities."""

    def __init__(
        self,
        panel: _Panel,
        rows: slice,
        columns: slice,
        start: int,
        block: Block,
        means: Array | None,
        norms: Array,
        exponents: NDArray[np.int64],
        workspace: Workspace,
    ) -> None:
        job = panel.job
        self.start = start
        self.workspace = workspace
        own = panel.block.part(rows.start, rows.stop)
        other = block.part(columns.start, columns.stop)
        wanted = np.ones((len(own), len(other)), dtype=bool)
        if job.exclude is not None:
            at = slice(panel.first + rows.start, panel.first + rows.stop)
            wanted = ~job.exclude[at, start + columns.start : start + columns.stop]
        left, right = np.nonzero(wanted)
        #: Queries of the panel, and images of the gallery's panel.
        self.left, self.right = left + rows.start, right + columns.start
        if not len(left):
            return
        affinity = workspace.product(own.vectors, other.vectors)
        self._flat, self._width = affinity.reshape(-1), affinity.shape[1]
        self._offsets = own.starts[left] * self._width + other.starts[right]
        self._rows = own.sizes[left].astype(np.int32)
        self._columns = other.sizes[right].astype(np.int32)
        self._norms = panel.norms[self.left], norms[self.right]
        self._slack = job.slack
        self._ranking = job.ranking
        self._exponents = panel.queries.exponents[self.left] + exponents[self.right]
        self._shift = np.zeros(len(left))
        if panel.means is not None and means is not None:
            size = float(own.sizes[0])
            shift = panel.means[rows] @ means[columns].T
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


def _centred(tokens: Tokens, job: _Job) -> tuple[Block, Array | None]:
    """Return images in memory in the dtype of the job, and the means that were subtracted."""
    block = tokens.block(0, tokens.count)
    vectors = block.vectors.astype(job.dtype, copy=False)
    if not job.centred:
        return Block(vectors, block.starts), None
    images = vectors.reshape(tokens.count, -1, tokens.channels)
    means = images.mean(axis=1, dtype=np.float64)
    centred = images - means[:, None, :].astype(job.dtype)
    # What was subtracted is the rounded mean: the shift must be made with that.
    rounded = means.astype(job.dtype).astype(np.float64)
    exact = rounded * np.exp2(tokens.exponents)[:, None]
    return Block(centred.reshape(-1, tokens.channels), block.starts), exact


def _ranks(sorted_keys: Indices) -> Indices:
    """Return how many equal keys stand before each, in keys that are sorted."""
    if not len(sorted_keys):
        return sorted_keys
    begins = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]])
    lengths = np.diff(np.r_[begins, len(sorted_keys)])
    return np.asarray(np.arange(len(sorted_keys)) - np.repeat(begins, lengths))


def _excluded(exclude: ArrayLike | None, rows: int, columns: int) -> NDArray[np.bool_] | None:
    if exclude is None:
        return None
    found = np.asarray(exclude)
    if found.dtype != bool or found.shape != (rows, columns):
        raise InputError(
            f"exclude: expected booleans of shape ({rows}, {columns}), queries by images of the "
            f"gallery; got {found.dtype} of shape {found.shape}"
        )
    return found
