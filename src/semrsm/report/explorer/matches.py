"""The pairs of images that a page can show patch by patch, and their matches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...features.record import concept_vectors
from ...matching.greedy import Greedy
from ...matching.optimal import Optimal
from ...matching.pair import match
from ...matching.registry import BASELINE, is_optimal, semantic_of
from ...matrices.changes import most_raised
from ...plot.overlay import on_grid, strongest_apart
from .pack import as_base64, pack_signed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...features import Features
    from ...kernels import Kernel
    from .views import Views

#: The largest number of patches of an image: finer grids cannot be seen on a photograph.
MOST_PATCHES = 4096

#: Patches of all matches of a page, in equal shares for the layers; eight bytes each.
MOST_VECTORS = 400_000

#: Entries of the affinity matrices of all matches, shared likewise: about ten seconds on one core.
MOST_AFFINITIES = 1_200_000_000

#: The number of pairs that matching changes most, for each layer.
CHANGED = 12

#: The number of lines that join the strongest pairs of patches.
LINES = 12

_FREE = 65535

Pair = tuple[int, int]


@dataclass(frozen=True)
class Wanted:
    """The match of the images `left` and `right` at one layer."""

    layer: str
    left: int
    right: int


def wanted_matches(
    views: Views, layers: Sequence[str], chosen: Sequence[Pair], *, nearest: int = 3
) -> Iterator[Wanted]:
    """Name the matches that a reader will ask for, the most wanted first.

    First the chosen pairs, then the pairs that matching changes most, then every image with its
    nearest neighbours under every RSM: the first neighbours of all images before the second ones.

    Parameters
    ----------
    views : Views
        Of one set of images.
    layers : sequence of str
        The layers whose patches are known.
    chosen : sequence of (int, int)
        The pairs that the user chose.
    nearest : int
        The number of neighbours of each image.

    Yields
    ------
    Wanted
        Each once, the earlier image on the left.
    """
    seen: set[Wanted] = set()

    def new(layer: str, i: int, j: int) -> Iterator[Wanted]:
        one = Wanted(layer, min(i, j), max(i, j))
        if i != j and one not in seen:
            seen.add(one)
            yield one

    for i, j in chosen:
        for layer in layers:
            yield from new(layer, i, j)
    kernel = views.kernels[0]
    for layer in layers:
        for i, j in most_changed(views, layer, kernel, CHANGED):
            yield from new(layer, i, j)
    ranked = {}
    for layer in layers:
        for matcher in views.matchers:
            if (layer, matcher, kernel) in views.views:
                values = views.views[layer, matcher, kernel].values.copy()
                np.fill_diagonal(values, -np.inf)
                ranked[layer, matcher] = np.argsort(-values, axis=1, kind="stable")[:, :nearest]
    for rank in range(min(nearest, len(views.row_ids) - 1)):
        for (layer, _), order in ranked.items():
            for i in range(len(order)):
                yield from new(layer, i, int(order[i, rank]))


def most_changed(views: Views, layer: str, kernel: str, most: int) -> list[Pair]:
    """Return the pairs that matching raises most, strongest first; empty without both RSMs."""
    keys = [(layer, matcher or "", kernel) for matcher in (BASELINE, semantic_of(views.matchers))]
    if not views.is_symmetric or any(key not in views.views for key in keys):
        return []
    before, after = (views.views[key].values for key in keys)
    return most_raised(before, after, most)


def _exact(matchers: Sequence[str]) -> str:
    """Return the label of the optimal matcher: with the options that the page has, if any."""
    semantic = semantic_of(matchers)
    return semantic if semantic is not None and is_optimal(semantic) else Optimal.name


def compute_matches(
    views: Views,
    features: Features,
    wanted: Iterator[Wanted],
    *,
    progress: Callable[[int, int], object] | None = None,
) -> list[dict[str, Any]]:
    """Match pairs until the page is full.

    Parameters
    ----------
    views : Views
        For the kernels through which values are seen.
    features : Features
        The concept vectors, by the ids of the views.
    wanted : iterator of Wanted
        The most wanted first.
    progress : callable, optional
        Called as ``progress(done, total)`` in parts of the limit of a page.

    Returns
    -------
    list of dict
        For the page: layer, images, the partner of each patch, its contribution, its contribution
        at its own place, the strongest pairs, the label of the matcher, and the values with and
        without matching.
    """
    places = {name: place for place, name in enumerate(features.ids)}
    found: list[dict[str, Any]] = []
    shares: dict[str, tuple[float, float]] = {}  # used by each layer: of vectors, of time
    layers = max(1, len(views.layers))
    for one in wanted:
        chosen = [places[views.row_ids[image]] for image in (one.left, one.right)]
        left, right = (concept_vectors(features[one.layer][place]) for place in chosen)
        grid = views.grids[one.layer]
        mask = features.masks.get(one.layer)
        kept = None if mask is None else (mask[chosen[0]], mask[chosen[1]])
        whole = kept is not None or len(left) == len(right) == grid[0] * grid[1]
        if not whole or grid[0] * grid[1] > MOST_PATCHES:
            continue  # vectors that stand for no place are among them
        used = shares.get(one.layer, (0.0, 0.0))
        used = (
            used[0] + layers * len(left) / MOST_VECTORS,
            used[1] + layers * 2 * len(left) ** 2 / MOST_AFFINITIES,  # exact and greedy
        )
        if max(used) > 1:
            continue
        shares[one.layer] = used
        found.append(_matched(views, one, left, right, grid, kept))
        if progress is not None:
            progress(round(1000 * sum(map(max, shares.values())) / layers), 1000)
    return found


def _matched(
    views: Views,
    one: Wanted,
    left: NDArray[Any],
    right: NDArray[Any],
    grid: tuple[int, int],
    kept: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None,
) -> dict[str, Any]:
    exact = _exact(views.matchers)
    best, greedy = (
        match(left, right, matcher=matcher, grid=grid if kept is None else None)
        for matcher in (exact, Greedy.name)
    )
    partner, contributions = on_grid(best, (None, None) if kept is None else kept)
    stayed = _stayed(left, right, kept)
    found = {Greedy.name: greedy.value, exact: best.value}
    # Without matching, images that keep different patches cannot be compared.
    if kept is None or np.array_equal(*kept):
        found[BASELINE] = float(stayed.sum())
    norms = [float(np.einsum("sc,sc->", x, x, dtype=np.float64)) for x in (left, right)]
    size = float(np.sqrt(norms[0]) * np.sqrt(norms[1])) or 1.0
    given = contributions / size
    target = np.where(partner >= 0, partner, _FREE)
    gained = np.where(partner >= 0, np.maximum(given, 0.0), 0.0)
    return {
        "layer": one.layer,
        "pair": [one.left, one.right],
        "target": as_base64(target.astype("<u2")),
        # In units of the cosine: they add up to it.
        "given": pack_signed(given),
        "stayed": pack_signed(stayed / size),
        # The patches that a mask leaves out, of both images.
        "out": None if kept is None else [as_base64((~k).astype("u1")) for k in kept],
        "lines": strongest_apart(gained, grid, LINES).tolist(),
        "cosine": best.value / size,
        "matcher": exact,
        "values": {
            kernel: _values(views, one.layer, kernel, found, best.upper_bound, norms)
            for kernel in views.kernels
        },
    }


def _stayed(
    left: NDArray[Any],
    right: NDArray[Any],
    kept: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None,
) -> NDArray[np.float64]:
    """Return the inner product of each patch with the same one; 0 where one is left out."""
    if kept is not None:
        sides = []
        for vectors, places in zip((left, right), kept, strict=True):
            whole = np.zeros((places.size, vectors.shape[1]), dtype=vectors.dtype)
            whole[places.ravel()] = vectors
            sides.append(whole)
        left, right = sides
    stayed: NDArray[np.float64] = np.einsum("sc,sc->s", left, right, dtype=np.float64)
    return stayed


def _values(
    views: Views,
    layer: str,
    kernel: str,
    found: Mapping[str, float],
    upper_bound: float,
    norms: Sequence[float],
) -> dict[str, float]:
    """Return the values of one pair under one kernel, by matcher, and their upper bound."""
    values = {}
    semantic = views.views.get((layer, semantic_of(views.matchers) or "", kernel))
    for matcher, value in found.items():
        # Where the results lack a matcher, the bandwidth is that of the semantic RSM.
        view = views.views.get((layer, matcher, kernel), semantic)
        if view is not None and view.kernel is not None:
            values[matcher] = _through(view.kernel, value, norms)
    if semantic is not None and semantic.kernel is not None and semantic.upper_bound is not None:
        values["bound"] = _through(semantic.kernel, upper_bound, norms)
    return values


def _through(kernel: Kernel, value: float, norms: Sequence[float]) -> float:
    inner, row, column = (np.array([number]) for number in (value, *norms))
    return float(kernel.values(inner, row, column, np.dtype(np.float32))[0])
