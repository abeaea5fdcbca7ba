"""The search by matchers whose values cost no more than bounds: every pair is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._internal.pool import pool_of
from ..engine.plan import make_plan
from ..engine.threads import THREADS
from ..matching.assignment import NotFiniteError, Stage
from ..matching.base import Workspace
from ..matching.registry import overflow_error
from .exactly import TILE_BYTES, exact_values
from .question import Found, Question
from .ranking import Ranking

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Queries that are compared with the gallery at a time, at most.
QUERIES = 256


def search_every(question: Question) -> Found:
    """Compare every query with every image, and order those near the best in float64.

    Parameters
    ----------
    question : Question

    Returns
    -------
    Found

    Raises
    ------
    InputError
        If an affinity overflows, or the memory does not suffice.
    """
    rows, gallery = question.given
    k, matcher, kernel = question.k, question.matcher, question.kernel
    ranking = Ranking.of(kernel)
    norms = matcher.squared_norms(rows), matcher.squared_norms(gallery)
    dtype = np.promote_types(rows.dtype, gallery.dtype)
    # |fl(⟨x, y⟩) − ⟨x, y⟩| ≤ γ ‖x‖ ‖y‖. A sum of S maxima is off by at most γ Σ ‖x_s‖ max ‖y_t‖ ≤
    # γ √S ‖X‖ ‖Y‖, and no norm of a matcher is smaller than ‖X‖; twice, for value and threshold.
    widest = int(max(rows.sizes.max(), gallery.sizes.max()))
    slack = 2 * (rows.channels + 8) * float(np.finfo(dtype).eps) * widest**0.5
    step = max(1, min(QUERIES, rows.count, question.memory // (64 * gallery.count)))
    indices = np.empty((rows.count, k), dtype=np.int64)
    values = np.empty((rows.count, k))
    total, done = question.pairs, 0

    def advance(count: int, _: int) -> None:
        if question.progress is not None:
            question.progress(min(total, done + count), total)

    for first in range(0, rows.count, step):
        queries = rows.part(first, min(first + step, rows.count))
        plan = make_plan(
            queries,
            gallery,
            matcher,
            workers=question.workers,
            memory=question.memory,
            results=4,
        )
        own = norms[0][first : first + queries.count]
        try:
            inner, _ = THREADS.matched(queries, gallery, matcher, plan, advance)
        except NotFiniteError:
            raise overflow_error("queries", "gallery") from None
        scores = ranking.scores(inner, own[:, None], np.broadcast_to(norms[1], inner.shape))
        if question.exclude is not None:
            scores[question.exclude[first : first + queries.count]] = -np.inf
        last = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k, None]
        near = scores >= last - ranking.slack(slack, own[:, None], norms[1][None])
        left, right = np.nonzero(near & ~np.isneginf(scores))
        with pool_of(question.workers, Workspace) as pool:
            exact = exact_values(
                matcher, queries, gallery, (left, right), pool, question.workers, TILE_BYTES
            )
        found = kernel.values(exact, own[left], norms[1][right], dtype)
        order = np.lexsort((right, -found, left))
        starts = np.searchsorted(left[order], np.arange(queries.count))
        best = order[(starts[:, None] + np.arange(k)).reshape(-1)].reshape(-1, k)
        place = slice(first, first + queries.count)
        indices[place], values[place] = right[best], found[best]
        done += queries.count * gallery.count
    counts: NDArray[np.int64] = np.zeros(len(Stage), dtype=np.int64)
    return Found(indices, values, values[:, -1].copy(), np.ones(rows.count, dtype=bool), counts)
