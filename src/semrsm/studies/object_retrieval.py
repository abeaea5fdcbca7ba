"""Retrieval: do the most similar images show the same objects.

Each image in turn is the query, all others are the gallery, and the k most similar ones come back.
The F1 score of the sets of annotated objects says how well they fit.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.outputs import versions
from .._internal.statistics import check_bootstrap, percentile_interval, resampled_counts
from .._internal.workers import one_blas_thread
from ..errors import InputError, did_you_mean
from ..features import Features
from ..features.photographs import Photos
from ..kernels import DistanceKernel, Kernel
from ..matching.base import Matcher
from ..matching.optimal import Optimal
from ..matrices.gram import Gram
from ..retrieval.exact import topk
from ..retrieval.ranking import Ranking
from ..tokens import measure
from .choices import (
    KERNEL_NAMES,
    MATCHER_NAMES,
    Progress,
    chosen_features,
    chosen_kernels,
    chosen_matchers,
    compute_grams,
    model_of,
    vectors_of,
    whole_number,
)
from .result import StudyResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Ways to compare that need no RSM, by the name in the table's column ``matcher``.
BASELINES = ("mean-pooled", "maxsim", "maxsim-reverse", "maxsim-symmetric")

#: How the k results of a query become one score.
SCORES = ("mean", "union")

#: Random orders of the gallery from which the chance of a union is estimated.
CHANCE_ORDERS = 200

#: Queries in the gallery figure, and results of each.
SHOWN_QUERIES, SHOWN_RESULTS = 4, 3

_PIECE = 32 << 20


@dataclass(frozen=True)
class RetrievalResult(StudyResult):
    """The outcome of :func:`retrieval`, with what the figures were drawn from.

    Attributes
    ----------
    queries : ndarray of int64, shape (Q,)
        The images that ask: those with at least one object.
    f1 : mapping of (str, str, str, str, str, int) to ndarray, shape (Q,)
        Score of each query by layer, kernel, matcher, excluded, score and k, as in the table.
    grams : mapping of (str, str) to Gram
        By layer and matcher. The optimal one is not among them where :func:`semrsm.topk` has found
        the nearest images without it.
    """

    queries: NDArray[np.int64] = field(repr=False)
    f1: Mapping[tuple[str, str, str, str, str, int], NDArray[np.float64]] = field(repr=False)
    grams: Mapping[tuple[str, str], Gram] = field(repr=False)


def retrieval(
    features: Features,
    objects: Sequence[Iterable[Hashable]] | Mapping[str, Iterable[Hashable]],
    groups: Sequence[Hashable] | Mapping[str, Hashable] | None = None,
    *,
    images: Any = None,
    layers: str | Sequence[str] | None = None,
    k: int | Sequence[int] = (1, 3, 5, 10),
    kernels: Sequence[str | Kernel] = KERNEL_NAMES,
    matchers: Sequence[str | Matcher] = MATCHER_NAMES,
    baselines: Sequence[str] = BASELINES,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | None = None,
) -> RetrievalResult:
    """Retrieve images by representational similarity and score the objects that they share.

    Parameters
    ----------
    features : Features
        Of N images, at least three.
    objects : sequence of N sets, or mapping of image id to set
        The objects that each image shows: categories, or instances.
    groups : sequence of N keys, or mapping of image id to key, optional
        What near duplicates share, such as the video. Everything is then reported twice: over the
        gallery of all other images, and over that of all images of other groups.
    images : data set or sequence of N PIL images, optional
        The photographs, for the gallery figure: an object with ``ids`` and images by index, or
        images in the order of the features. There is no such figure without them.
    layers : str or sequence of str, optional
        Some of the layers, as names or globs; all by default.
    k : int or sequence of int
        How many results are scored.
    kernels, matchers : sequence of str or objects
        What is compared.
    baselines : sequence of str
        Some of ``"mean-pooled"``: the cosine of the images' mean vectors; ``"maxsim"``: the sum,
        over the concept vectors of the query, of the largest cosine with one of the result's, as in
        late interaction; ``"maxsim-reverse"``: over those of the result; ``"maxsim-symmetric"``:
        the mean of the two.
    confidence : float, default 0.95
        Of the intervals.
    resamples, seed : int
        Of the bootstrap; the seed also draws the random orders that the chance of a union is
        estimated from, and the queries of the gallery figure.
    workers, memory, progress
        As for :func:`semrsm.gram`; progress counts the pairs of all layers and matchers.

    Returns
    -------
    RetrievalResult
        The table has a row per layer × kernel × matcher × excluded × score × k: F1 with its
        interval; what a random order (``chance``) and the best order (``best``) of the gallery
        would reach; and, where the matcher "none" is among `matchers`, the difference to that one
        with its interval. Baselines have the kernel ``"cosine"`` and their name as the matcher.

    Raises
    ------
    InputError
        If there are not as many sets or keys as images, no image has objects, k is larger than a
        gallery, or an option is not known.

    Notes
    -----
    F1 = 2 |Q ∩ R| / (|Q| + |R|) for the sets of objects of the query and of one result. With the
    score ``"mean"`` it is averaged over the k results and then over the queries; with ``"union"``
    the objects of the k results are taken together first. An image without objects asks nothing: it
    is no query, and as a result it counts 0. Ties between equally similar images go to the one that
    comes first in the data set.

    ``chance`` is exact for ``"mean"``, the mean F1 with all images of the gallery, and estimated
    from 200 random orders for ``"union"`` of more than one result. ``best`` sorts the gallery by
    the F1 with the query; for ``"union"`` it adds one image after the other, each the best at its
    turn, so that a better set of images may exist there.

    Intervals are percentiles over resamples of the queries, the same ones in all rows, so that
    differences are paired; the gallery is left as it is. They are too narrow where queries of one
    group are near duplicates of each other.

    Kernels that are increasing functions of each other rank alike: those of the distance (RBF,
    Laplacian, rational quadratic), and the linear kernel with a polynomial of odd degree. Where all
    kernels rank alike and there is one gallery, :func:`semrsm.topk` finds the nearest images under
    the optimal matching, exactly and without solving every pair.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> maps = np.random.default_rng(0).normal(size=(6, 8, 3, 3))
    >>> features = semrsm.Features({"last": np.concatenate([maps, np.roll(maps, 1, 3)])})
    >>> objects = [{"cup"}, {"dog"}, {"car"}, {"hat"}, {"jar"}, {"pen"}] * 2
    >>> study = retrieval(features, objects, k=1, kernels=["cosine"], baselines=[])
    >>> [round(row["f1"], 2) for row in study.table if row["score"] == "mean"]  # none, optimal
    [0.0, 1.0]
    """
    by_kernel, by_matcher = chosen_kernels(kernels), chosen_matchers(matchers)
    chosen_baselines = _checked_baselines(baselines, by_matcher)
    check_bootstrap(confidence, resamples, seed)
    sizes = [k] if isinstance(k, (int, np.integer)) else list(k)
    depths = sorted({whole_number(size, "k") for size in sizes})
    if not depths:
        raise InputError("k: expected at least one number of results; got none")
    features = chosen_features(features, layers, fewest=3)
    membership, vocabulary = _membership(objects, features.ids)
    queries = np.flatnonzero(membership.any(axis=1))
    if not len(queries):
        raise InputError("objects: expected at least one image with objects; all sets are empty")
    allowed = _galleries(groups, features.ids)
    for excluded, gallery in allowed.items():
        available = gallery[queries].sum(axis=1)
        if available.min() < depths[-1]:
            query = features.ids[queries[int(available.argmin())]]
            where = "" if excluded == "self" else " outside its group"
            raise InputError(
                f"k: expected at most {available.min()}, the other images{where} that the query "
                f"{query!r} has; got {depths[-1]}"
            )
    photos = None if images is None else Photos(images, features.ids)

    # One search of the nearest images needs few assignments, but serves one order and one gallery;
    # a Gram serves them all.
    searched = _searched(by_kernel, by_matcher) if len(allowed) == 1 else {}
    solved = {name: matcher for name, matcher in by_matcher.items() if name not in searched}
    grams = compute_grams(features, solved, workers=workers, memory=memory, progress=progress)
    scorer = _Scorer(membership, queries, depths)
    references = {
        excluded: _references(scorer, gallery, seed) for excluded, gallery in allowed.items()
    }
    counts = resampled_counts(len(queries), resamples, seed)
    rows: list[dict[str, Any]] = []
    f1: dict[tuple[str, str, str, str, str, int], Array] = {}
    orders: dict[tuple[str, str, str, str], NDArray[np.int64]] = {}
    for layer in features:
        similarities: dict[tuple[str, str], Array] = {
            (kernel, matcher): grams[layer, matcher].rsm(chosen).values
            for kernel, chosen in by_kernel.items()
            for matcher in solved
        }
        for name, values in baseline_similarities(features[layer], chosen_baselines).items():
            similarities["cosine", name] = values
        for excluded, gallery in allowed.items():
            most = max(depths[-1], SHOWN_RESULTS)
            found = {
                (kernel, matcher): ranking(values, queries, gallery, most)
                for (kernel, matcher), values in similarities.items()
            }
            for matcher, kernel_of_order in searched.items():
                near = _nearest(features[layer], kernel_of_order, gallery, most, workers, memory)
                found.update({(kernel, matcher): near[queries] for kernel in by_kernel})
            # Kernels and matchers in the order that was asked for, and then the baselines.
            asked = [(kernel, matcher) for kernel in by_kernel for matcher in by_matcher]
            found = {key: found[key] for key in dict.fromkeys([*asked, *found])}
            for (kernel, matcher), order in found.items():
                orders[layer, kernel, matcher, excluded] = order
                for (score, depth), scores in scorer.scores(order).items():
                    f1[layer, kernel, matcher, excluded, score, depth] = scores
            for kernel, matcher in found:
                for score in SCORES:
                    for depth in depths:
                        own = f1[layer, kernel, matcher, excluded, score, depth]
                        base = None
                        if matcher != "none" and "none" in by_matcher and kernel in by_kernel:
                            base = f1[layer, kernel, "none", excluded, score, depth]
                        rows.append(
                            {
                                "model": model_of(features),
                                "layer": layer,
                                "vectors": vectors_of(features[layer]),
                                "kernel": kernel,
                                "matcher": matcher,
                                "excluded": excluded,
                                "score": score,
                                "k": depth,
                                "queries": len(queries),
                                **_summary(own, base, counts, confidence),
                                "chance": references[excluded]["chance"][score, depth],
                                "best": references[excluded]["best"][score, depth],
                            }
                        )
    figures: dict[str, Any] = {"curves": partial(_draw_curves, rows)}
    shown = "cosine" if "cosine" in by_kernel else next(iter(by_kernel))
    drawn_queries = np.sort(np.random.default_rng(seed).permutation(len(queries))[:SHOWN_QUERIES])
    if photos is not None:
        figures["gallery"] = partial(
            _draw_gallery,
            photos,
            orders,
            (list(features)[-1], shown, list(by_matcher), list(allowed)[-1]),
            drawn_queries,
            queries,
            membership,
            vocabulary,
        )
    return RetrievalResult(
        name="retrieval",
        table=tuple(rows),
        figures=figures,
        protocol={
            "study": "retrieval",
            "features": dict(features.provenance),
            "images": list(features.ids),
            "objects": {
                features.ids[i]: [str(vocabulary[o]) for o in np.flatnonzero(found)]
                for i, found in enumerate(membership)
            },
            "queries": len(queries),
            "images_without_objects": len(membership) - len(queries),
            "groups": None if groups is None else _group_sizes(groups, features.ids),
            "layers": list(features),
            "kernels": {name: repr(kernel) for name, kernel in by_kernel.items()},
            "matchers": {name: repr(matcher) for name, matcher in by_matcher.items()},
            "baselines": chosen_baselines,
            "k": depths,
            "f1": "2 |Q & R| / (|Q| + |R|); 'mean': over the k results and then over queries; "
            "'union': of the objects of all k results; images without objects are no queries and "
            "count 0 as results",
            "ties": "the image that comes first in the data set",
            "chance": f"'mean': exact; 'union': {CHANCE_ORDERS} random orders per query",
            "best": "'mean': gallery sorted by F1; 'union': greedily, one image after the other",
            "intervals": {
                "method": "percentile bootstrap over queries, the same resamples in all rows; the "
                "gallery is fixed",
                "confidence": confidence,
                "resamples": resamples,
                "seed": seed,
            },
            "difference": "F1 of the row minus that of the matcher 'none' with the same kernel",
            "gallery_figure": "queries drawn at random by the seed",
            "versions": versions(),
        },
        queries=queries,
        f1=f1,
        grams=grams,
    )


def _searched(kernels: Mapping[str, Kernel], matchers: Mapping[str, Matcher]) -> dict[str, Kernel]:
    """Return matchers whose order one search of the nearest images gives, with a kernel for it."""
    alike: dict[str, Kernel] = {}
    for kernel in kernels.values():
        # The order does not depend on the bandwidth, which may be a rule about all pairs.
        plain = type(kernel)(sigma=1.0) if isinstance(kernel, DistanceKernel) else kernel
        try:
            alike[Ranking.of(plain).kind] = plain
        except InputError:  # a kernel that V does not order
            return {}
    if len(alike) != 1:
        return {}
    return {name: alike.popitem()[1] for name, one in matchers.items() if one == Optimal()}


def _nearest(
    maps: Any,
    kernel: Kernel,
    gallery: NDArray[np.bool_],
    depth: int,
    workers: int | None,
    memory: int | str | None,
) -> NDArray[np.int64]:
    """Return what :func:`ranking` does, for every image, under the optimal matching."""
    depth = min(depth, int(gallery.sum(axis=1).min()))
    return topk(
        maps, maps, depth, kernel=kernel, exclude=~gallery, workers=workers, memory=memory
    ).indices


def ranking(
    similarities: Array, queries: NDArray[np.int64], gallery: NDArray[np.bool_], depth: int
) -> NDArray[np.int64]:
    """Return the most similar images of each query, the first ones first.

    Parameters
    ----------
    similarities : ndarray of float64, shape (N, N)
        Of each row's image as the query with each column's as the result.
    queries : ndarray of int64, shape (Q,)
    gallery : ndarray of bool, shape (N, N)
        Which images each image may find.
    depth : int
        How many, at most; no more than the smallest gallery holds.

    Returns
    -------
    ndarray of int64, shape (Q, depth)
        Ties in the order of the data set.

    Examples
    --------
    >>> values = np.array([[9, 1, 2, 2], [1, 9, 0, 0], [2, 0, 9, 0], [2, 0, 0, 9]])
    >>> ranking(values, np.array([0, 1]), ~np.eye(4, dtype=bool), 2)
    array([[2, 3],
           [0, 2]])
    """
    smallest = int(gallery[queries].sum(axis=1).min())
    found = np.where(gallery[queries], -similarities[queries].astype(np.float64), np.inf)
    return np.argsort(found, axis=1, kind="stable")[:, : min(depth, smallest)].astype(np.int64)


def baseline_similarities(features: Any, names: Sequence[str] = BASELINES) -> dict[str, Array]:
    """Return the similarities that practitioners would try first.

    Parameters
    ----------
    features : array-like
        Feature maps (N, C, H, W) or tokens (N, T, D).
    names : sequence of str
        Some of :data:`BASELINES`; see :func:`retrieval`.

    Returns
    -------
    dict of str to ndarray of float64, shape (N, N)
        Of each row's image as the query with each column's. A vector of zeros has no direction: its
        cosine is 0.

    Notes
    -----
    All features are read into memory, and for MaxSim twice.
    """
    tokens = measure(features, "features")
    block = tokens.block(0, tokens.count)
    found: dict[str, Array] = {}
    if "mean-pooled" in names:
        sums = np.add.reduceat(block.vectors.astype(np.float64), block.starts[:-1], axis=0)
        pooled = _unit(sums / tokens.sizes[:, None])
        found["mean-pooled"] = pooled @ pooled.T
    if any(name.startswith("maxsim") for name in names):
        forward = _maxsim(_unit(block.vectors), block.starts)
        sides = {
            "maxsim": forward,
            "maxsim-reverse": forward.T,
            "maxsim-symmetric": (forward + forward.T) / 2,
        }
        found |= {name: sides[name] for name in names if name in sides}
    return found


def _maxsim(vectors: NDArray[Any], starts: NDArray[np.int64]) -> Array:
    """Σ_s max_t ⟨x_s, y_t⟩ for all ordered pairs of images, from one product for both orders."""
    count = len(starts) - 1
    found = np.zeros((count, count))
    with one_blas_thread() as guard:
        for i in range(count):
            own = vectors[starts[i] : starts[i + 1]]
            step = max(1, _PIECE // max(1, len(own) * int(np.diff(starts).max()) * own.itemsize))
            for first in range(i, count, step):
                last = min(first + step, count)
                with guard:
                    affinity = own @ vectors[starts[first] : starts[last]].T
                inner = starts[first:last] - starts[first]
                best = np.maximum.reduceat(affinity, inner, axis=1)
                found[i, first:last] = best.sum(axis=0, dtype=np.float64)
                back = affinity.max(axis=0)
                found[first:last, i] = np.add.reduceat(back.astype(np.float64), inner)
    return found


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    norms = np.sqrt(np.einsum("sc,sc->s", vectors, vectors, dtype=np.float64))[:, None]
    unit = np.zeros_like(vectors)
    np.divide(vectors, norms.astype(vectors.dtype), out=unit, where=norms > 0)
    return unit


class _Scorer:
    """F1 of ranked results, as the mean over them and of their union, for all depths at once."""

    def __init__(
        self, membership: NDArray[np.bool_], queries: NDArray[np.int64], depths: Sequence[int]
    ) -> None:
        self.membership = membership
        self.queries = queries
        self.depths = depths
        numbers = membership.astype(np.float64)
        sizes = numbers.sum(axis=1)
        #: F1 of each query with each image, shape (Q, N); a query has objects, so never 0 / 0.
        self.pairwise: Array = (
            2 * (numbers[queries] @ numbers.T) / (sizes[queries][:, None] + sizes[None, :])
        )

    def scores(self, order: NDArray[np.int64]) -> dict[tuple[str, int], Array]:
        """Score the ranked results (Q, depth) of every query: shape (Q,) by score and depth."""
        singles = np.take_along_axis(self.pairwise, order, axis=1)
        means = np.cumsum(singles, axis=1)
        unions = np.stack(
            [self.union(query, found) for query, found in zip(self.queries, order, strict=True)]
        )
        return {
            (score, depth): values[:, depth - 1] / (depth if score == "mean" else 1)
            for score, values in (("mean", means), ("union", unions))
            for depth in self.depths
        }

    def union(self, query: np.int64, found: NDArray[np.int64]) -> Array:
        """F1 of a query with the union of its first 1, 2, … results, over the last axis."""
        own = self.membership[query]
        joined = np.logical_or.accumulate(self.membership[found], axis=-2)
        f1: Array = 2 * (joined & own).sum(axis=-1) / (own.sum() + joined.sum(axis=-1))
        return f1


def _references(
    scorer: _Scorer, gallery: NDArray[np.bool_], seed: int
) -> dict[str, dict[tuple[str, int], float]]:
    """Score a random order and the best order of each query's gallery, averaged over queries."""
    rng = np.random.default_rng(seed)
    depth = scorer.depths[-1]
    chance: dict[tuple[str, int], list[float]] = {}
    best: dict[tuple[str, int], list[float]] = {}
    for q, query in enumerate(scorer.queries):
        candidates = np.flatnonzero(gallery[query])
        single = scorer.pairwise[q, candidates]
        orders = rng.permuted(np.tile(candidates, (CHANCE_ORDERS, 1)), axis=1)[:, :depth]
        random_unions = scorer.union(query, orders).mean(axis=0)
        top = np.cumsum(np.sort(single)[::-1][:depth])
        best_unions = _greedy_unions(scorer.membership, query, candidates, depth)
        for size in scorer.depths:
            chance.setdefault(("mean", size), []).append(float(single.mean()))
            union = single.mean() if size == 1 else random_unions[size - 1]
            chance.setdefault(("union", size), []).append(float(union))
            best.setdefault(("mean", size), []).append(float(top[size - 1] / size))
            best.setdefault(("union", size), []).append(float(best_unions[size - 1]))
    return {
        name: {key: float(np.mean(values)) for key, values in found.items()}
        for name, found in (("chance", chance), ("best", best))
    }


def _greedy_unions(
    membership: NDArray[np.bool_], query: np.int64, candidates: NDArray[np.int64], depth: int
) -> Array:
    """F1 of unions of 1, 2, … images, each added as the one that leaves the largest F1."""
    own = membership[query]
    joined = np.zeros_like(own)
    left = candidates
    found = np.empty(depth)
    for d in range(depth):
        unions = joined | membership[left]
        f1 = 2 * (unions & own).sum(axis=1) / (own.sum() + unions.sum(axis=1))
        chosen = int(f1.argmax())
        found[d] = f1[chosen]
        joined = unions[chosen]
        left = np.delete(left, chosen)
    return found


def _summary(
    own: Array, base: Array | None, counts: NDArray[np.int64], confidence: float
) -> dict[str, float | None]:
    resampled = counts / len(own)
    low, high = percentile_interval(resampled @ own, confidence)
    row: dict[str, float | None] = {"f1": float(own.mean()), "f1_low": low, "f1_high": high}
    if base is None:
        return row | {"difference": None, "difference_low": None, "difference_high": None}
    low, high = percentile_interval(resampled @ (own - base), confidence)
    return row | {
        "difference": float((own - base).mean()),
        "difference_low": low,
        "difference_high": high,
    }


# ------------------------------------------------------------------------------------ arguments


def _checked_baselines(names: Sequence[str], matchers: Mapping[str, Matcher]) -> list[str]:
    chosen = [names] if isinstance(names, str) else list(names)
    for name in chosen:
        if name not in BASELINES:
            raise InputError(
                f"baselines: expected some of {', '.join(BASELINES)}; got {name!r}."
                f"{did_you_mean(str(name), BASELINES)}"
            )
    twice = [name for name in chosen if chosen.count(name) > 1 or name in matchers]
    if twice:
        raise InputError(f"baselines: expected each once; got {twice[0]!r} more than once")
    return chosen


def _aligned(values: Any, ids: Sequence[str], name: str, what: str) -> list[Any]:
    """Return one entry for each image, of a sequence or a mapping by id."""
    if isinstance(values, Mapping):
        missing = [i for i in ids if i not in values]
        if missing:
            raise InputError(
                f"{name}: expected {what} for each image; there is none for {missing[0]!r}"
                + (f" and {len(missing) - 1} more" if missing[1:] else "")
            )
        return [values[i] for i in ids]
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name}: expected {what} for each image; got {type(values).__name__}")
    listed = list(values)
    if len(listed) != len(ids):
        raise InputError(
            f"{name}: expected {len(ids)}, {what} for each image of the features; got {len(listed)}"
        )
    return listed


def _membership(objects: Any, ids: Sequence[str]) -> tuple[NDArray[np.bool_], list[Any]]:
    """Return which image shows which object, shape (N, O), and the objects."""
    sets = []
    for i, found in enumerate(_aligned(objects, ids, "objects", "a set")):
        if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
            raise InputError(f"objects: expected a set for image {ids[i]!r}; got {found!r}")
        sets.append(set(found))
    vocabulary = sorted(set().union(*sets), key=str)
    places = {name: o for o, name in enumerate(vocabulary)}
    membership = np.zeros((len(sets), len(vocabulary)), dtype=bool)
    for i, found in enumerate(sets):
        membership[i, [places[name] for name in found]] = True
    return membership, vocabulary


def _galleries(groups: Any, ids: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Return what each image may find, shape (N, N), by what is excluded."""
    found = {"self": ~np.eye(len(ids), dtype=bool)}
    if groups is not None:
        keys = _aligned(groups, ids, "groups", "a key")
        numbers = {key: g for g, key in enumerate(dict.fromkeys(keys))}
        own = np.array([numbers[key] for key in keys])
        found["group"] = own[:, None] != own[None, :]
    return found


def _group_sizes(groups: Any, ids: Sequence[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for key in _aligned(groups, ids, "groups", "a key"):
        sizes[str(key)] = sizes.get(str(key), 0) + 1
    return sizes


# ------------------------------------------------------------------------------------ figures


def _draw_curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    from ..plot import plot_retrieval

    return plot_retrieval(rows)


def _draw_gallery(
    photos: Photos,
    orders: Mapping[tuple[str, str, str, str], NDArray[np.int64]],
    what: tuple[str, str, list[str], str],
    drawn: NDArray[np.int64],
    queries: NDArray[np.int64],
    membership: NDArray[np.bool_],
    vocabulary: Sequence[Any],
) -> Figure:
    from ..plot import plot_gallery

    layer, kernel, matchers, excluded = what

    def names(which: NDArray[np.bool_]) -> list[str]:
        return [str(vocabulary[o]) for o in np.flatnonzero(which).tolist()]

    entries = []
    for q in drawn:
        own = membership[queries[q]]
        results = {
            matcher: [
                (photos[int(i)], names(own & membership[i]), int(membership[i].sum()))
                for i in orders[layer, kernel, matcher, excluded][q, :SHOWN_RESULTS]
            ]
            for matcher in matchers
        }
        entries.append((photos[int(queries[q])], names(own), results))
    return plot_gallery(entries, title=f"{layer}, {kernel}")
