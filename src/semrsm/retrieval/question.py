"""The question put to a search, with all arguments checked, and the findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import Progress, check_progress, whole_number
from .._internal.units import memory_budget
from .._internal.workers import worker_count
from ..errors import InputError
from ..kernels import Kernel, resolve_kernel
from ..matching.base import Matcher
from ..matching.registry import MATCHERS, check_comparable, resolve_matcher
from ..tokens import Tokens, ids_of, measure
from .index import Index, mean_vectors
from .ranking import Ranking

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Found:
    """The findings of a search: the attributes of TopK, and the pairs that ended at each stage."""

    indices: Indices
    values: Array
    missed_at_most: Array
    exact: NDArray[np.bool_]
    counts: Indices


@dataclass(frozen=True, eq=False)
class Question:
    """The question put to a search; everything has been checked.

    Attributes
    ----------
    rows : Tokens
        The queries, in the form in which they are searched.
    index : Index
        The gallery, likewise.
    given : (Tokens, Tokens)
        The queries and the gallery as they were given.
    matcher : Matcher
        Its rules are resolved, over the gallery.
    label : str
        The matcher as it was asked for.
    k : int
    kernel : Kernel
    ranking : Ranking
        The ranking of the kernel.
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
    given: tuple[Tokens, Tokens]
    matcher: Matcher
    label: str
    k: int
    kernel: Kernel
    ranking: Ranking
    ids: tuple[str, ...]
    exclude: NDArray[np.bool_] | None
    workers: int
    memory: int
    progress: Progress | None

    @property
    def pairs(self) -> int:
        """Pairs of a query and an image of its gallery."""
        left_out = 0 if self.exclude is None else int(self.exclude.sum())
        return self.rows.count * self.index.count - left_out


def check_question(
    queries: Any,
    gallery: Any,
    k: int,
    kernel: str | Kernel,
    matcher: str | Matcher,
    ids: Sequence[Any] | None,
    gallery_ids: Sequence[Any] | None,
    exclude: ArrayLike | None,
    workers: int | None,
    memory: int | str | None,
    progress: Progress | None,
) -> Question:
    """Check the arguments of a search, first those that do not depend on features.

    Raises
    ------
    InputError
        If one is invalid.
    """
    chosen = resolve_kernel(kernel)
    ranking = Ranking.of(chosen)
    asked = searchable(matcher)
    threads = worker_count(workers)
    limit = memory_budget(memory)
    whole_number(k, "k")
    progress = check_progress(progress)
    rows = measure(queries, "queries")
    if isinstance(gallery, Index):
        if gallery_ids is not None:
            raise InputError("gallery_ids: expected None, since an Index has its own")
        index = gallery
    else:
        # If the queries are the gallery, they are measured once.
        tokens = rows if gallery is queries else measure(gallery, "gallery")
        index = Index.from_tokens(tokens, gallery_ids, mean_vectors(tokens), {})
    check_comparable(rows, index.tokens, asked, "queries", "gallery")
    names = ids_of(rows, ids, "ids")
    left_out = _excluded(exclude, rows.count, index.count)
    available = index.count - (0 if left_out is None else left_out.sum(axis=1))
    if np.min(available) < k:
        raise InputError(
            f"k: expected at most {int(np.min(available))}, the images that a query has to choose "
            f"from; got {k}"
        )
    given = rows, index.tokens
    working = asked.resolved(index.tokens, None)
    stand_in = working.searched(index.tokens)
    if stand_in is not index.tokens:
        ranking = ranking.standing_in(working.searched_constant(index.tokens))
        rows = stand_in if rows is index.tokens else working.searched(rows)
        index = Index.from_tokens(stand_in, index.ids, mean_vectors(stand_in), {})
    return Question(
        rows,
        index,
        given,
        working,
        asked.label,
        int(k),
        chosen,
        ranking,
        names,
        left_out,
        threads,
        limit,
        progress,
    )


def searchable(matcher: str | Matcher) -> Matcher:
    """Return a matcher by which images can be searched.

    Raises
    ------
    InputError
        If a search cannot tell the best images of this matcher without matching every pair.
    """
    chosen = resolve_matcher(matcher)
    if chosen.searched_by is None:
        names = [name for name, made in MATCHERS.items() if made().is_searched]
        raise InputError(
            f"matcher: expected one that topk can search by ({', '.join(names)}); got "
            f"{chosen.label!r}, for which semrsm.gram(queries, gallery, matcher=...) gives the "
            "similarity of every pair"
        )
    return chosen


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
