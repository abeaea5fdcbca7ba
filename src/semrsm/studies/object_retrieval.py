"""Retrieval: do the most similar images show the same objects.

Each image in turn is the query, all others are the gallery, and the k most similar ones are the
results. The F1 score compares the annotated objects of the query and of the results.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import Progress, check_progress, whole_number
from .._internal.labels import listed
from .._internal.provenance import versions
from .._internal.statistics import check_bootstrap, resampled_counts
from ..errors import InputError
from ..features import Features
from ..features.photographs import Photos
from ..kernels import KERNELS, Kernel, resolve_kernels
from ..matching.base import Matcher
from ..matching.registry import BASELINE, resolve_matchers
from ..matrices.gram import Gram
from ..retrieval.exact import topk
from ..retrieval.ranking import Ranking
from ..tokens import Tokens
from .baselines import BASELINES, baseline_similarities, checked_baselines
from .choices import (
    BOOTSTRAP,
    MATCHER_CHOICE,
    MATCHER_NAMES,
    chosen_features,
    compute_grams,
    kernel_choice,
    measured_layers,
    model_of,
    vectors_of,
)
from .object_figures import SHOWN_QUERIES, SHOWN_RESULTS, draw_curves, draw_gallery
from .object_galleries import (
    check_depth,
    galleries_of,
    group_sizes,
    known_objects,
    membership_of,
    of_ids,
    ranking,
)
from .object_scores import CHANCE_ORDERS, SCORES, Scorer, references_of, summary_of
from .result import StudyResult
from .study import Inputs, Option, Options, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class RetrievalResult(StudyResult):
    """The outcome of :func:`retrieval`, with the data of its figures.

    Attributes
    ----------
    queries : ndarray of int64, shape (Q,)
        The queries: images with at least one object.
    f1 : mapping of (str, str, str, str, str, int) to ndarray, shape (Q,)
        Score of each query by layer, kernel, matcher, excluded, score and k, as in the table.
    grams : mapping of (str, str) to Gram
        By layer and matcher; without the optimal matcher where :func:`semrsm.topk` found the
        nearest images.
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
    kernels: Sequence[str | Kernel] = tuple(KERNELS),
    matchers: Sequence[str | Matcher] = MATCHER_NAMES,
    baselines: Sequence[str] = BASELINES,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | bool | None = None,
) -> RetrievalResult:
    """Retrieve images by representational similarity and score the objects that they share.

    Parameters
    ----------
    features : Features
        Of N images, at least three.
    objects : sequence of N sets, or mapping of image id to set
        The objects that each image shows: categories, or instances.
    groups : sequence of N keys, or mapping of image id to key, optional
        The key that near duplicates share, such as the video. All scores are then reported twice:
        over the gallery of all other images, and over that of all images of other groups.
    images : data set or sequence of N PIL images, optional
        The photographs, for the gallery figure: an object with ``ids`` and images by index, or
        images in the order of the features. There is no such figure without them.
    layers : str or sequence of str, optional
        Some of the layers, as names or globs; all by default.
    k : int or sequence of int
        The numbers of results that are scored.
    kernels, matchers : sequence of str or objects
        The kernels and matchers to compare.
    baselines : sequence of str
        Some of ``"mean-pooled"``: the cosine of the images' mean vectors; ``"maxsim"``: the sum,
        over the concept vectors of the query, of the largest cosine with one of the result's, as in
        late interaction; ``"maxsim-reverse"``: over those of the result; ``"maxsim-symmetric"``:
        the mean of the two.
    confidence : float, default 0.95
        The confidence of the intervals.
    resamples, seed : int
        The number of resamples of the bootstrap, and its seed. The seed also draws the random
        orders for the chance of a union, and the queries of the gallery figure.
    workers, memory, progress
        As for :func:`semrsm.gram`; progress counts the pairs of all layers and matchers.

    Returns
    -------
    RetrievalResult
        The table has a row per layer × kernel × matcher × excluded × score × k: F1 with its
        interval; the F1 of a random order (``chance``) and of the best order (``best``) of the
        gallery; and, where the matcher "none" is among `matchers`, the difference to that one with
        its interval. Baselines have the kernel ``"cosine"`` and their name as the matcher.

    Raises
    ------
    InputError
        If there are not as many sets or keys as images, no image has objects, k is larger than a
        gallery, or an option is not known.

    Notes
    -----
    F1 = 2 |Q ∩ R| / (|Q| + |R|) for the sets of objects of the query and of one result. With the
    score ``"mean"`` it is averaged over the k results and then over the queries; with ``"union"``
    the objects of the k results are taken together first. An image without objects is not a query;
    as a result it counts 0. Ties between equally similar images go to the one that comes first in
    the data set.

    ``chance`` is exact for ``"mean"``, the mean F1 with all images of the gallery, and estimated
    from 200 random orders for ``"union"`` of more than one result. ``best`` sorts the gallery by
    the F1 with the query; for ``"union"`` it adds images greedily, each the best at its turn, so
    that a better set may exist.

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
    progress = check_progress(progress)
    by_kernel, by_matcher = resolve_kernels(kernels), resolve_matchers(matchers)
    chosen_baselines = checked_baselines(baselines, by_matcher)
    check_bootstrap(confidence, resamples, seed)
    depths = sorted({whole_number(size, "k") for size in listed(k)})
    if not depths:
        raise InputError("k: expected at least one number of results; got none")
    features = chosen_features(features, layers, fewest=3)
    membership, vocabulary = membership_of(objects, features.ids)
    queries = np.flatnonzero(membership.any(axis=1))
    if not len(queries):
        raise InputError("objects: expected at least one image with objects; all sets are empty")
    allowed = galleries_of(groups, features.ids)
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

    # A search of the nearest images needs few assignments, but serves one order and one gallery; a
    # Gram serves all.
    searched = _searched(by_kernel, by_matcher) if len(allowed) == 1 else {}
    solved = {name: matcher for name, matcher in by_matcher.items() if name not in searched}
    tokens = measured_layers(features)
    grams = compute_grams(
        tokens, features.ids, solved, workers=workers, memory=memory, progress=progress
    )
    scorer = Scorer(membership, queries, depths)
    references = {
        excluded: references_of(scorer, gallery, seed) for excluded, gallery in allowed.items()
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
        for name, values in baseline_similarities(tokens[layer], chosen_baselines).items():
            similarities["cosine", name] = values
        for excluded, gallery in allowed.items():
            most = max(depths[-1], SHOWN_RESULTS)
            found = {
                (kernel, matcher): ranking(values, queries, gallery, most)
                for (kernel, matcher), values in similarities.items()
            }
            for matcher, kernel_of_order in searched.items():
                one = by_matcher[matcher]
                near = _nearest(tokens[layer], kernel_of_order, one, gallery, most, workers, memory)
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
                        if matcher != BASELINE and BASELINE in by_matcher and kernel in by_kernel:
                            base = f1[layer, kernel, BASELINE, excluded, score, depth]
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
                                **summary_of(own, base, counts, confidence),
                                "chance": references[excluded]["chance"][score, depth],
                                "best": references[excluded]["best"][score, depth],
                            }
                        )
    figures: dict[str, Any] = {"curves": partial(draw_curves, rows)}
    shown = "cosine" if "cosine" in by_kernel else next(iter(by_kernel))
    drawn_queries = np.sort(np.random.default_rng(seed).permutation(len(queries))[:SHOWN_QUERIES])
    if photos is not None:
        figures["gallery"] = partial(
            draw_gallery,
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
            "groups": None if groups is None else group_sizes(groups, features.ids),
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
    """Return the matchers whose order one search gives, each with the kernel of the search."""
    alike: dict[str, Kernel] = {}
    for kernel in kernels.values():
        # The order does not depend on the bandwidth, which may be a rule about all pairs.
        plain: Any = kernel
        if kernel.takes_sigma:
            plain = replace(plain, sigma=1.0)
        try:
            alike[Ranking.of(plain).kind] = plain
        except InputError:  # a kernel that V does not order, or with a rule over all pairs
            return {}
    if len(alike) != 1:
        return {}
    [kernel] = alike.values()
    return {name: kernel for name, one in matchers.items() if one.is_searched}


def _nearest(
    tokens: Tokens,
    kernel: Kernel,
    matcher: Matcher,
    gallery: NDArray[np.bool_],
    depth: int,
    workers: int | None,
    memory: int | str | None,
) -> NDArray[np.int64]:
    """Return the ranking of every image under a matcher, as :func:`ranking` does."""
    depth = min(depth, int(gallery.sum(axis=1).min()))
    return topk(
        tokens,
        tokens,
        depth,
        kernel=kernel,
        matcher=matcher,
        exclude=~gallery,
        workers=workers,
        memory=memory,
    ).indices


def _check(options: Options) -> None:
    checked_baselines(options["baselines"], resolve_matchers(options["matchers"]))
    for k in options["k"]:
        whole_number(k, "-k")


def _look(inputs: Inputs, options: Options) -> None:
    check_depth(inputs.data, known_objects(inputs.data, inputs.dataset), max(options["k"]))


def _run(inputs: Inputs, options: Options) -> StudyResult:
    data = inputs.data
    objects = known_objects(data, inputs.dataset)
    return inputs.each(
        lambda features, progress: retrieval(
            features,
            of_ids(objects, data, features),
            of_ids(data.groups, data, features),
            images=data,
            progress=progress,
            **options,
        )
    )


STUDY = Study(
    name="retrieval",
    help="retrieve images by similarity and score the objects that they share",
    examples="  semrsm study retrieval EgoObjects/ --dataset egoobjects --split eval --out "
    "retrieval/\n"
    "  semrsm study retrieval cityscapes/ --dataset cityscapes --objects things -k 1 5 "
    "--out retrieval/",
    title="Retrieval of images that show the same objects",
    question="Each image in turn is the query; the F1 score compares its annotated objects with "
    "those of the k most similar images. Chance is a random order of the gallery, best the best "
    "possible one. Differences are to the spatio-semantic RSM. The gallery of a query excludes "
    "the query itself, or all images of its group.",
    columns={
        "model": "Model",
        "layer": "Layer",
        "matcher": "RSM",
        "excluded": "Excluded",
        "k": "k",
        "f1": "F1",
        "f1_low": "low",
        "f1_high": "high",
        "difference": "Difference",
        "difference_low": "low",
        "difference_high": "high",
        "chance": "Chance",
        "best": "Best",
    },
    figures={
        "curves": (
            "F1 by the number of results",
            "With intervals from a bootstrap over queries.",
        ),
        "gallery": (
            "Retrieved images",
            "Queries on the left, their three most similar images on the right, with the "
            "objects shared.",
        ),
    },
    run=_run,
    groups=(kernel_choice(*KERNELS), MATCHER_CHOICE, BOOTSTRAP),
    options=(
        Option(
            "-k", "numbers of results scored (default: 1 3 5 10)", int, [1, 3, 5, 10], nargs="+"
        ),
        Option(
            "--baselines",
            f"similarities without an RSM, any of {', '.join(BASELINES)}; an empty list for none "
            "(default: all)",
            default=list(BASELINES),
            nargs="*",
            metavar="BASELINE",
        ),
    ),
    check=_check,
    look=_look,
    fewest=lambda _: 3,
    needs_images=True,
    shown={"kernel": "cosine", "score": "mean"},
    apart=BASELINES,
)
