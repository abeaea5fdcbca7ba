"""Approximate retrieval: mean vectors choose candidates, and only these are matched.

The exact search (:func:`semrsm.topk`) does not depend on anything here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import is_whole_number, whole_number
from ..errors import InputError, require
from ..kernels import Kernel
from ..matching.assignment import Stage
from .exact import TopK
from .index import mean_vectors
from .question import Question, check_question
from .results import entries_of, neighbours_html, table_of, write_neighbours
from .search import Search

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ApproximateTopK:
    """The most similar images among some candidates; more similar images may have been missed.

    Attributes
    ----------
    indices : ndarray of int64, shape (Q, k)
        Images of the gallery, the most similar first.
    values : ndarray of float64, shape (Q, k)
        Their similarities under the kernel, by optimal matching.
    query_ids, gallery_ids : tuple of str
        The names of the images.
    kernel : str
        The kernel's label.
    candidates : int
        How many images were compared with each query.
    solved : int
        How many pairs of all queries together needed an assignment.
    """

    indices: NDArray[np.int64]
    values: NDArray[np.float64]
    query_ids: tuple[str, ...]
    gallery_ids: tuple[str, ...]
    kernel: str
    candidates: int
    solved: int

    def __repr__(self) -> str:
        queries, k = self.indices.shape
        return (
            f"ApproximateTopK({queries} queries, k={k} of {len(self.gallery_ids)}, "
            f"kernel={self.kernel!r}, the best of {self.candidates} candidates)"
        )

    def _repr_html_(self) -> str:
        return neighbours_html(self)

    def names(self, query: int) -> list[str]:
        """Return the names of the results of one query."""
        return [self.gallery_ids[i] for i in self.indices[query]]

    def certificate(self) -> dict[str, Any]:
        """Return how sure the results are, and how many assignments they took."""
        return {
            "exact": False,
            "approximate": True,
            "candidates": self.candidates,
            "solved": self.solved,
        }

    def certainty(self) -> str:
        """Return the certificate as a sentence."""
        return f"approximate: the best of {self.candidates} candidates for each query"

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each query and rank: names and similarity."""
        return table_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values: kernel, certificate, and the results of each query."""
        return {"kernel": self.kernel, **self.certificate(), "queries": entries_of(self)}

    def write(
        self,
        out: str | Path,
        *,
        facts: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        extra: Callable[[Path], object] | None = None,
    ) -> Path:
        """Write ``neighbours.json`` and ``neighbours.csv`` into a new folder.

        Parameters
        ----------
        out : str or Path
            The folder; it appears when it is complete.
        facts : mapping, optional
            Additional entries for the JSON file, such as the command; they come first.
        overwrite : bool, default False
            Whether a folder that has files in it may be replaced.
        extra : callable, optional
            Called with the unfinished folder, to write more files into it.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InputError
            If the folder may not be written.
        """
        return write_neighbours(self, out, facts=facts, overwrite=overwrite, extra=extra)


def approximate_topk(
    queries: Any,
    gallery: Any,
    k: int,
    *,
    candidates: int = 100,
    kernel: str | Kernel = "cosine",
    ids: Sequence[Any] | None = None,
    gallery_ids: Sequence[Any] | None = None,
    exclude: ArrayLike | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> ApproximateTopK:
    """Find similar images among those whose mean vectors are most like the query's.

    The images found are ordered exactly; images outside the candidates are missed, and nothing says
    whether it was. :func:`semrsm.topk` misses nothing.

    Parameters
    ----------
    queries, gallery, k, kernel, ids, gallery_ids, exclude, workers, memory, progress
        As for :func:`semrsm.topk`.
    candidates : int, default 100
        How many images are compared with each query, or all of a smaller gallery.

    Returns
    -------
    ApproximateTopK

    Raises
    ------
    InputError
        If an argument is invalid; nothing has been matched then.
    MissingDependencyError
        If FAISS is not installed.

    Notes
    -----
    Two images that are constant have V = m ⟨x̄, ȳ⟩ with m = min(S, T). The candidates are those
    with the largest m ⟨x̄, ȳ⟩ for the linear kernel and m ⟨x̄, ȳ⟩ / ‖Y‖ for the cosine. For kernels
    of the distance they are those with the largest 2S ⟨x̄, ȳ⟩ − ‖Y‖²: where sizes differ, m in
    place of S finds fewer neighbours, since ‖Y‖² includes the spread of vectors about their mean
    and the estimate of V does not. For queries of one size these are inner products with one vector
    for each image, which FAISS [1]_ searches. Its flat index compares all of them. For up to
    millions of images this takes little time compared with one assignment for each candidate. FAISS
    was chosen as the engine with the most users and maintainers.

    References
    ----------
    .. [1] M. Douze et al., "The Faiss library", arXiv:2401.08281, 2024.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> maps = np.random.default_rng(0).normal(size=(50, 16, 4, 4))
    >>> found = semrsm.approximate_topk(maps[:2], maps, k=3, candidates=20)
    >>> found
    ApproximateTopK(2 queries, k=3 of 50, kernel='cosine', the best of 20 candidates)
    >>> semrsm.recall(found, semrsm.topk(maps[:2], maps, k=3)) > 0.3
    True
    """
    whole_number(k, "k")
    if not is_whole_number(candidates) or candidates < k:
        raise InputError(f"candidates: expected a whole number >= k = {k}; got {candidates!r}")
    faiss = require("faiss", extra="faiss", purpose="Approximate retrieval")
    asked = check_question(
        queries, gallery, k, kernel, "optimal", ids, gallery_ids, exclude, workers, memory, progress
    )
    found = Search(asked, candidates=_candidates(asked, int(candidates), faiss)).run()
    return ApproximateTopK(
        indices=found.indices,
        values=found.values,
        query_ids=asked.ids,
        gallery_ids=asked.index.ids,
        kernel=asked.kernel.label,
        candidates=min(int(candidates), asked.index.count),
        solved=int(found.counts[Stage.SOLVED]),
    )


def recall(
    found: ApproximateTopK | TopK | ArrayLike, exact: ApproximateTopK | TopK | ArrayLike
) -> float:
    """Return the share of the exact results that were found, over all queries.

    Parameters
    ----------
    found, exact : ApproximateTopK, TopK or array-like of int, shape (Q, k)
        Results for the same queries in the same gallery; their order does not count.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    InputError
        If the two are for different numbers of queries, or of different galleries.

    Examples
    --------
    >>> recall([[3, 1]], [[1, 2]])
    0.5
    """
    both = []
    for name, result in (("found", found), ("exact", exact)):
        try:
            array = np.asarray(getattr(result, "indices", result))
        except ValueError as error:  # rows of different lengths
            raise InputError(
                f"{name}: expected results, or indices of shape (Q, k); {error}"
            ) from None
        if array.ndim != 2 or not array.size or not np.issubdtype(array.dtype, np.integer):
            raise InputError(
                f"{name}: expected results, or indices of shape (Q, k); got {array.dtype} of shape "
                f"{array.shape}"
            )
        both.append(array)
    if len(both[0]) != len(both[1]):
        raise InputError(
            f"exact: expected results for {len(both[0])} queries as in found; got {len(both[1])}"
        )
    for attribute in ("query_ids", "gallery_ids"):
        names = [getattr(result, attribute, None) for result in (found, exact)]
        if None not in names and names[0] != names[1]:
            raise InputError(f"exact: expected results with the {attribute} of found; they differ")
    shares = [len(np.intersect1d(a, b)) / len(set(b.tolist())) for a, b in zip(*both, strict=True)]
    return float(np.mean(shares))


def _candidates(asked: Question, count: int, faiss: Any) -> Indices:
    """Return images for each query by their mean vectors, shape (Q, count); −1 where excluded."""
    sizes = asked.index.tokens.sizes
    left_out = 0 if asked.exclude is None else int(asked.exclude.sum(axis=1).max())
    depth = min(count + left_out, len(sizes))
    found: Indices = np.empty((asked.rows.count, depth), dtype=np.int64)
    # Queries with the same min(S, T) for each image of the gallery are searched together. These are
    # all queries if the queries or the images have one size, or if only S counts.
    groups = np.clip(asked.rows.sizes, sizes.min(), sizes.max())
    if asked.ranking.kind == "distance":
        groups = np.zeros_like(groups)
    means = mean_vectors(asked.rows)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(asked.workers)
    try:
        for group in np.unique(groups):
            queries = np.flatnonzero(groups == group)
            rows, columns = _vectors(asked, queries, means[queries], np.minimum(group, sizes))
            index = faiss.IndexFlatIP(columns.shape[1])
            index.add(columns)
            found[queries] = index.search(rows, depth)[1]
    finally:
        faiss.omp_set_num_threads(threads)
    if asked.exclude is not None:
        found[np.take_along_axis(asked.exclude, found, axis=1)] = -1
        # The allowed images come first, in their order.
        order = np.argsort(found < 0, axis=1, kind="stable")
        found = np.take_along_axis(found, order, axis=1)
    return found[:, :count]


def _vectors(
    asked: Question, queries: Indices, means: NDArray[Any], matched: Indices
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a vector for each query and image, whose inner products estimate the similarity.

    `means` are those of the queries; `matched` is min(S, T) for each image, which kernels of the
    distance do not use.
    """
    gallery = asked.index.tokens
    # Everything is in units of the largest image, so that it is in the range of float32.
    top = int(max(asked.rows.exponents.max(), gallery.exponents.max()))
    rows = _scaled(means, asked.rows.exponents[queries] - top)
    columns = _scaled(asked.index.means, gallery.exponents - top)
    norms = np.ldexp(np.sqrt(gallery.squared_norms), -top)[:, None]
    if asked.ranking.kind == "distance":
        sizes = asked.rows.sizes[queries, None]
        rows = np.concatenate([2 * sizes * rows, np.ones((len(rows), 1))], axis=1)
        columns = np.concatenate([columns, -(norms**2)], axis=1)
    else:
        columns *= matched[:, None]
    if asked.ranking.kind == "cosine":
        columns = np.divide(columns, norms, out=np.zeros_like(columns), where=norms > 0)
    largest = max(float(np.abs(columns).max()), float(np.finfo(np.float64).tiny))
    own = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return (
        np.ascontiguousarray(rows / own, dtype=np.float32),
        np.ascontiguousarray(columns / largest, dtype=np.float32),
    )


def _scaled(means: NDArray[Any], exponents: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.ldexp(means.astype(np.float64), exponents[:, None])
