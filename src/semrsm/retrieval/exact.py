"""Exact top-k retrieval: the k most similar images, without solving every assignment.

Every pair of images has a cheap upper bound on its similarity, from the same product of concept
vectors that the assignment starts from. An image whose bound is below the k-th best similarity that
has been found so far cannot be among the k best, and is not solved. Nothing is estimated: the
result is the same as if every pair were solved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import is_whole_number, whole_number
from ..errors import InputError
from ..kernels import Kernel
from ..matching.assignment import LADDER, Stage
from ..matching.base import Matcher, numbers_found
from ..matching.registry import resolve_matcher
from .every import search_every
from .question import check_question
from .results import entries_of, neighbours_html, table_of, write_neighbours
from .search import Search

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class TopK:
    """The most similar images of a gallery for each query.

    Attributes
    ----------
    indices : ndarray of int64, shape (Q, k)
        Images of the gallery, the most similar first. Equally similar images are in the order of
        the gallery.
    values : ndarray of float64, shape (Q, k)
        Their similarities under the kernel.
    missed_at_most : ndarray of float64, shape (Q,)
        The certificate: no image of the gallery outside the results is more similar than this.
        Without a budget it is at most the last of the values.
    query_ids, gallery_ids : tuple of str
        The names of the images.
    kernel : str
        The kernel's label.
    pairs : int
        Pairs of a query and an image of its gallery.
    solved : int
        How many of them needed an assignment.
    removed : mapping of str to int
        How many pairs each bound removed: ``"maxima"``, ``"reduced"``, ``"auction"``, in the order
        of their cost (see :class:`semrsm.matching.assignment.Stage`).
    matcher : str
        The label of the matcher.
    resolved : mapping
        The numbers that its rules found over the gallery, by option.
    exact : bool
        Whether the results of all queries are certainly the best ones. Without a budget they are;
        with one, if no image that was not matched can reach the last value.
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
    matcher: str = "optimal"
    resolved: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        queries, k = self.indices.shape
        exact = "exact" if self.exact else "the best within a budget"
        share = self.solved / self.pairs if self.pairs else 0.0
        return (
            f"TopK({queries} queries, k={k} of {len(self.gallery_ids)}, kernel={self.kernel!r}, "
            f"{exact}, {share:.1%} of the pairs solved)"
        )

    def _repr_html_(self) -> str:
        return neighbours_html(self)

    def names(self, query: int) -> list[str]:
        """Return the names of the results of one query."""
        return [self.gallery_ids[i] for i in self.indices[query]]

    def certificate(self) -> dict[str, Any]:
        """Return how sure the results are, and how many assignments they took."""
        return {
            "exact": self.exact,
            "approximate": False,
            "pairs": self.pairs,
            "solved": self.solved,
            "removed": dict(self.removed),
        }

    def certainty(self) -> str:
        """Return the certificate as a sentence."""
        share = self.solved / self.pairs if self.pairs else 0.0
        if self.exact:
            return f"exact; {share:.1%} of {self.pairs:,} pairs needed an assignment"
        return (
            f"the best of {share:.1%} of {self.pairs:,} pairs; neighbours.json has a bound for the "
            "missed images of each query"
        )

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each query and rank: names and similarity."""
        return table_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values: kernel, certificate, and the results of each query."""
        return {
            "kernel": self.kernel,
            "matcher": self.matcher,
            "resolved": dict(self.resolved),
            **self.certificate(),
            "queries": entries_of(self, {"missed_at_most": self.missed_at_most}),
        }

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


def topk(
    queries: Any,
    gallery: Any,
    k: int,
    *,
    kernel: str | Kernel = "cosine",
    matcher: str | Matcher = "optimal",
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
        N images with the same number of channels. A :class:`semrsm.Index` is measured once for
        many calls.
    k : int
        The number of results for each query.
    kernel : str or Kernel, default "cosine"
        ``"linear"``, ``"cosine"``, or a kernel of the distance with a bandwidth in numbers, such as
        ``semrsm.kernels.RBF(sigma=3.0)``. The bandwidth does not change the order.
    matcher : str or Matcher, default "optimal"
        ``"optimal"``, ``"displacement"`` or ``"maxsim"``, with options. A penalty such as ``"2x"``
        is resolved over the gallery. For other matchers :func:`semrsm.gram` gives every pair.
    ids, gallery_ids : sequence, optional
        Names of the images; their indices by default.
    exclude : array-like of bool, shape (Q, N), optional
        True where an image of the gallery must not be a result of that query, such as the query
        itself.
    budget : int, optional
        Solve at most so many assignments for each query: those with the highest bounds. The results
        are then the best of those, and ``missed_at_most`` bounds the values of the others.
    workers, memory, progress
        As for :func:`semrsm.gram`; progress counts pairs.

    Returns
    -------
    TopK

    Raises
    ------
    InputError
        If an argument is invalid; nothing has been matched then.

    Notes
    -----
    The ladder of bounds, each a dual bound of the assignment (see
    :func:`semrsm.matching.assignment.search`): the sums of row maxima (MaxSim) and of column
    maxima; the same, less the losses of columns that lead in no row; the prices of an auction after
    each of its phases. They are evaluated after subtracting each image's mean vector, which changes
    V by exactly S⟨x̄, ȳ⟩ where both images have S vectors, and makes the bounds much tighter.

    Rounding drops no neighbour. A pair is removed only if its bound is below the k-th best by more
    than the rounding of inner products of C channels. The remaining pairs near the k-th best are
    solved again in float64, and the results are ordered by these values.

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
    whole_number(k, "k")
    if budget is not None and (not is_whole_number(budget) or budget < k):
        raise InputError(f"budget: expected a whole number >= k = {k}; got {budget!r}")
    asked = check_question(
        queries, gallery, k, kernel, matcher, ids, gallery_ids, exclude, workers, memory, progress
    )
    if asked.matcher.searched_by == "values":
        if budget is not None:
            raise InputError(
                f"budget: expected None for the matcher {asked.label!r}, which solves no "
                f"assignments; got {budget!r}"
            )
        found = search_every(asked)
    else:
        found = Search(asked, budget=None if budget is None else int(budget)).run()
    return TopK(
        indices=found.indices,
        values=found.values,
        missed_at_most=found.missed_at_most,
        query_ids=asked.ids,
        gallery_ids=asked.index.ids,
        kernel=asked.kernel.label,
        pairs=asked.pairs,
        solved=int(found.counts[Stage.SOLVED]),
        removed={stage.name.lower(): int(found.counts[stage]) for stage in LADDER},
        exact=bool(found.exact.all()),
        matcher=asked.label,
        resolved=numbers_found(resolve_matcher(matcher), asked.matcher),
    )
