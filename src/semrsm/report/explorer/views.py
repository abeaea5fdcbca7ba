"""The heat maps of a page: similarities of images by layer, matcher and kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...kernels import Kernel, resolve_kernels
from ...matrices.gram import Gram, kernel_values
from ...matrices.results import Results
from ...matrices.rsm import RSM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...runs import Run, StoredGram

#: The largest number of images in a heat map that fits into a page and can be read.
MOST_IMAGES = 2000


@dataclass(frozen=True, eq=False)
class View:
    """One RSM.

    Attributes
    ----------
    values : ndarray, shape (N, M), float64
    upper_bound : ndarray, shape (N, M), or None
        The kernel at the upper bound of V: no matching of the two images gives more, or no one
        that the matcher allows.
    kernel : Kernel or None
        With its bandwidth found; None where only the values are known.
    sigma, largest_gap : float or None
    bounds : {"optimal", "own"}
        Whether upper bound and gap are those of the optimal matching, or of the best one that the
        matcher's own constraints allow.
    """

    values: NDArray[np.float64]
    upper_bound: NDArray[np.float64] | None = None
    kernel: Kernel | None = None
    sigma: float | None = None
    largest_gap: float | None = None
    bounds: str = "optimal"


@dataclass(frozen=True, eq=False)
class Views:
    """The RSMs of one page, all of the same images.

    Attributes
    ----------
    views : dict of (str, str, str) to View
        By layer, matcher and kernel.
    row_ids, column_ids : tuple of str
    is_symmetric : bool
    whole : (int, int)
        The number of images of the source; the page shows the first ones.
    grids : mapping of str to (int, int)
    facts : mapping
    """

    views: dict[tuple[str, str, str], View]
    row_ids: tuple[str, ...]
    column_ids: tuple[str, ...]
    is_symmetric: bool
    whole: tuple[int, int]
    grids: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> list[str]:
        """The layers, in order."""
        return list(dict.fromkeys(layer for layer, _, _ in self.views))

    @property
    def matchers(self) -> list[str]:
        """The matchers, in order."""
        return list(dict.fromkeys(matcher for _, matcher, _ in self.views))

    @property
    def kernels(self) -> list[str]:
        """The kernels, in order."""
        return list(dict.fromkeys(kernel for _, _, kernel in self.views))


def views_of(
    source: Results | Run | Mapping[tuple[str, str], Gram | StoredGram] | Sequence[RSM],
    *,
    kernels: Sequence[str | Kernel] | None = None,
    sigma: float | str | None = None,
    most: int = MOST_IMAGES,
) -> Views:
    """Return the RSMs of results, of a run, of Grams, or of RSMs.

    Parameters
    ----------
    source : Results, Run, mapping of (str, str) to Gram, or sequence of RSM
        The results or the run of ``semrsm rsm``; Grams by layer and matcher; or RSMs of the same
        images.
    kernels : sequence of str or Kernel, optional
        The kernels of the views of Grams; those of the results, or the cosine. RSMs have their own.
    sigma : float or str
        As for :meth:`semrsm.Gram.rsm`; results and RSMs have their own.
    most : int
        The largest number of images on a side; the first ones are taken.

    Returns
    -------
    Views

    Raises
    ------
    InputError
        If there is nothing to show, the RSMs are not of the same images, or nothing takes `sigma`.
    """
    if isinstance(source, Results):
        _refuse_sigma(sigma, "results")
        # Their bandwidth is for those of their kernels that take one, and there may be none.
        chosen = source.kernels if kernels is None else kernels
        by_label = resolve_kernels(chosen, source.sigma, required=False)
        return _of_grams(source.grams, by_label, source.grids, source.facts, most)
    if isinstance(source, Mapping):
        path = getattr(source, "path", None)
        facts = {} if path is None else {"source": path.name}
        by_label = resolve_kernels(kernels or ("cosine",), sigma)
        return _of_grams(source, by_label, {}, facts, most)
    _refuse_sigma(sigma, "RSMs")
    if kernels is not None:
        raise InputError("kernels: expected None, since RSMs have theirs; pass Grams for others")
    return _of_rsms(list(source), most)


def _refuse_sigma(sigma: float | str | None, owners: str) -> None:
    if sigma is not None:
        raise InputError(f"sigma: expected None, since {owners} have theirs; got {sigma!r}")


def _of_grams(
    grams: Mapping[tuple[str, str], Gram | StoredGram],
    by_label: Mapping[str, Kernel],
    grids: Mapping[str, tuple[int, int]],
    facts: Mapping[str, Any],
    most: int,
) -> Views:
    if not grams:
        raise InputError("source: expected at least one Gram; got none")
    views: dict[tuple[str, str, str], View] = {}
    _check_same_images(list(grams.values()))
    first = next(iter(grams.values()))
    rows, columns = slice(0, most), slice(0, most)
    for (layer, matcher), gram in grams.items():
        part = gram.part(rows, columns)
        for label, kernel in by_label.items():
            # The bandwidth is that of all images, also where the page shows some of them.
            fixed = kernel.resolved(gram)
            values = kernel_values(fixed, part)
            bound = None
            if fixed.increases:
                bound = kernel_values(fixed, replace(part, values=part.upper_bound))
                bound = np.maximum(bound, values)  # may differ by rounding
            found = None if fixed.sigma is None else float(fixed.sigma)
            views[layer, matcher, label] = View(
                values, bound, fixed, found, float(gram.largest_gap), gram.bounds
            )
    told = {"matching": dict(first.provenance)}
    return Views(
        views,
        first.row_ids[rows],
        first.column_ids[columns],
        first.is_symmetric,
        (len(first.row_ids), len(first.column_ids)),
        grids,
        {**told, **facts},
    )


def _of_rsms(rsms: list[RSM], most: int) -> Views:
    if not rsms or not all(isinstance(rsm, RSM) for rsm in rsms):
        got = "none" if not rsms else ", ".join(type(rsm).__name__ for rsm in rsms)
        raise InputError(f"source: expected results, a run, Grams by layer, or RSMs; got {got}")
    _check_same_images(rsms)
    views: dict[tuple[str, str, str], View] = {}
    names: dict[tuple[str, str], int] = {}
    for rsm in rsms:
        if not np.isfinite(rsm.values).all():
            raise InputError(f"source: expected finite values; {rsm} has NaN or infinity")
        # RSMs do not name their layer: those of one matcher and kernel are numbered.
        key = (rsm.matcher, rsm.kernel)
        names[key] = names.get(key, 0) + 1
        layer = "RSM" if names[key] == 1 else f"RSM {names[key]}"
        values = rsm.values[:most, :most]
        views[layer, rsm.matcher, rsm.kernel] = View(values, sigma=rsm.sigma)
    first = rsms[0]
    return Views(
        views,
        first.row_ids[:most],
        first.column_ids[:most],
        first.is_symmetric,
        (len(first.row_ids), len(first.column_ids)),
        facts=dict(first.provenance),
    )


def _check_same_images(given: Sequence[Any]) -> None:
    first = given[0]
    for other in given[1:]:
        if (other.row_ids, other.column_ids) != (first.row_ids, first.column_ids):
            raise InputError(
                "source: expected RSMs of the same images in the same order; their ids differ"
            )
        if other.is_symmetric != first.is_symmetric:
            raise InputError(
                "source: expected RSMs of one set of images, or of two; got both kinds"
            )
