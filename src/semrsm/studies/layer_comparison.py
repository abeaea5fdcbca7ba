"""Layers: CKA between the RSMs of all layers, spatio-semantic and semantic, of one or two networks.

The alignment (CKA) of the semantic with the spatio-semantic RSM of the same layer shows how much
locations matter to the usual RSM: not at all where a layer has a single location, and more with
more locations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._internal.checks import Progress, check_progress
from .._internal.provenance import versions
from ..errors import InputError
from ..features import Features
from ..kernels import Kernel, resolve_kernels
from ..matching.base import Matcher
from ..matching.registry import BASELINE, resolve_matchers
from ..matrices.cka import DEBIASED_IMAGES, JACKKNIFE_IMAGES, CentredKernel
from ..matrices.comparison import check_interval, kernel_matrix
from ..matrices.gram import Gram
from .choices import (
    MATCHER_CHOICE,
    MATCHER_NAMES,
    chosen_features,
    compute_grams,
    kernel_choice,
    measured_layers,
    model_of,
    shifted,
    vectors_of,
)
from .result import StudyResult
from .study import Inputs, Option, Options, Row, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Place = tuple[str, str]

#: The two estimates of every row, and whether HSIC is debiased.
SCORES = {"cka": False, "debiased_cka": True}


@dataclass(frozen=True)
class LayersResult(StudyResult):
    """The outcome of :func:`layers`, with the data of its figures.

    Attributes
    ----------
    diagonal : tuple of mapping
        Rows like those of the table, each for a layer's spatio-semantic RSM and one of its matched
        RSMs; for the layers of both networks where two are compared. Empty without the matcher
        "none".
    grams : mapping of (str, str) to Gram
        By layer and matcher.
    other_grams : mapping of (str, str) to Gram, or None
        The same of the other network, where there is one.
    """

    diagonal: tuple[Row, ...] = field(repr=False)
    grams: Mapping[tuple[str, str], Gram] = field(repr=False)
    other_grams: Mapping[tuple[str, str], Gram] | None = field(repr=False)


def layers(
    features: Features,
    other: Features | None = None,
    *,
    layers: str | Sequence[str] | None = None,
    other_layers: str | Sequence[str] | None = None,
    kernels: str | Kernel | Sequence[str | Kernel] = "cosine",
    matchers: Sequence[str | Matcher] = MATCHER_NAMES,
    interval: float | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | bool | None = None,
) -> LayersResult:
    """Align the RSMs of all layers and matchers with each other, or with those of another network.

    Parameters
    ----------
    features : Features
        Of at least four images.
    other : Features, optional
        Of the same images in the same order, by another network or the same one in another state.
        Without it, the layers of `features` are compared with each other.
    layers, other_layers : str or sequence of str, optional
        Some of the layers of either, as names or globs; all by default.
    kernels, matchers : sequence of str or objects
        The kernels and matchers of the RSMs. The heat maps show the cosine, or the first kernel if
        the cosine is not among them.
    interval : float, optional
        Also give intervals of this confidence (say 0.95), as :func:`semrsm.cka` does; they need at
        least six images.
    workers, memory, progress
        As for :func:`semrsm.gram`; progress counts the pairs of all layers and matchers.

    Returns
    -------
    LayersResult
        The table has a row per layer × matcher × layer × matcher × kernel: the biased and the
        debiased CKA of the two RSMs, with the sizes of both layers. Without `other`, every pair has
        a row in each order. An estimate is NaN where it is undefined, because an RSM is constant;
        the protocol counts such rows. An interval is NaN also where leaving out one image makes the
        estimate undefined.

    Raises
    ------
    InputError
        If there are too few images, the two networks have different ones, a layer is missing, or an
        option is not known; nothing has been matched then.

    Notes
    -----
    The biased CKA of few images is large whatever they show, since every image agrees with itself.
    Use the debiased CKA to compare different numbers of images.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> rng = np.random.default_rng(0)
    >>> features = semrsm.Features(
    ...     {"map": rng.normal(size=(8, 6, 3, 3)), "pooled": rng.normal(size=(8, 6, 1, 1))}
    ... )
    >>> study = layers(features)
    >>> [(row["layer_a"], row["cka"] < 1) for row in study.diagonal]
    [('map', True), ('pooled', False)]
    """
    progress = check_progress(progress)
    by_kernel, by_matcher = resolve_kernels(kernels), resolve_matchers(matchers)
    fewest = DEBIASED_IMAGES
    if interval is not None:
        check_interval(interval)
        fewest = JACKKNIFE_IMAGES
    features = chosen_features(features, layers, fewest=fewest)
    if other is None:
        if other_layers is not None:
            raise InputError("other_layers: expected none, since there are no other features")
        sides = [features]
    else:
        sides = [features, _chosen_other(other, other_layers, features)]

    pairs = len(features.ids) * (len(features.ids) - 1) // 2
    total = pairs * len(by_matcher) * sum(len(side) for side in sides)
    grams: list[dict[tuple[str, str], Gram]] = []
    for side in sides:
        done = pairs * sum(len(found) for found in grams)
        grams.append(
            compute_grams(
                measured_layers(side),
                side.ids,
                by_matcher,
                workers=workers,
                memory=memory,
                progress=None if progress is None else shifted(progress, done, total),
            )
        )

    rows: list[Row] = []
    diagonal: list[Row] = []
    for name, kernel in by_kernel.items():
        seen = [_Side(side, found, kernel, name) for side, found in zip(sides, grams, strict=True)]
        rows += _table(seen[0], seen[-1], interval)
        diagonal += [
            _row(side, (layer, BASELINE), side, (layer, matcher), interval)
            for side in seen
            for layer in side.features
            for matcher in by_matcher
            if matcher != BASELINE and BASELINE in by_matcher
        ]
    shown = "cosine" if "cosine" in by_kernel else next(iter(by_kernel))
    figures = {"heatmaps": partial(_draw_heatmaps, rows, shown)}
    if diagonal:
        figures["diagonal"] = partial(_draw_diagonal, diagonal, shown)
    protocol: dict[str, Any] = {
        "study": "layers",
        "features": dict(features.provenance),
        "other": None if other is None else dict(sides[1].provenance),
        "images": list(features.ids),
        "layers": list(features),
        "other_layers": None if other is None else list(sides[1]),
        "kernels": {name: repr(kernel) for name, kernel in by_kernel.items()},
        "matchers": {name: repr(matcher) for name, matcher in by_matcher.items()},
        "cka": "HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), biased (cka) and debiased (debiased_cka)",
        "intervals": None
        if interval is None
        else {"method": "delete-one jackknife over images", "confidence": interval},
        "undefined": {score: sum(bool(np.isnan(row[score])) for row in rows) for score in SCORES},
        "versions": versions(),
    }
    if other is not None:  # otherwise it is a part of the table
        protocol["diagonal"] = [_without_nan(row) for row in diagonal]
    return LayersResult(
        name="layers",
        table=tuple(rows),
        figures=figures,
        protocol=protocol,
        diagonal=tuple(diagonal),
        grams=grams[0],
        other_grams=None if other is None else grams[1],
    )


class _Side:
    """One network's RSMs under one kernel, centred once for all comparisons."""

    def __init__(
        self, features: Features, grams: Mapping[Place, Gram], kernel: Kernel, name: str
    ) -> None:
        self.features = features
        self.kernel = name
        self.places = list(grams)
        self._grams = grams
        self._sigmas: dict[Place, float | None] = {}
        self._centred: dict[tuple[Place, bool], CentredKernel] = {}
        for place, found in grams.items():
            rsm = found.rsm(kernel)
            matrix = kernel_matrix(rsm, f"kernels: {name}")
            self._sigmas[place] = rsm.sigma
            for debiased in SCORES.values():
                self._centred[place, debiased] = CentredKernel.of(matrix, debiased=debiased)

    def centred(self, place: Place, *, debiased: bool) -> CentredKernel:
        return self._centred[place, debiased]

    def facts(self, place: Place) -> dict[str, Any]:
        layer, matcher = place
        return {
            "model": model_of(self.features),
            "layer": layer,
            "vectors": vectors_of(self.features[layer]),
            "matcher": matcher,
            "sigma": self._sigmas[place],
            "largest_gap": self._grams[place].largest_gap,
        }


def _table(side: _Side, other: _Side, interval: float | None) -> list[Row]:
    """Compare every RSM of one side with every RSM of the other."""
    if other is not side:
        return [_row(side, a, other, b, interval) for a in side.places for b in other.places]
    found: dict[tuple[Place, Place], Row] = {}
    for a, b in combinations_with_replacement(side.places, 2):
        found[a, b] = _row(side, a, side, b, interval)
        found[b, a] = {_turned(column): value for column, value in found[a, b].items()}
    columns = list(found[side.places[0], side.places[0]])
    return [
        {column: found[a, b][column] for column in columns}
        for a in side.places
        for b in side.places
    ]


def _row(side: _Side, a: Place, other: _Side, b: Place, interval: float | None) -> Row:
    left, right = side.facts(a), other.facts(b)
    row: dict[str, Any] = {}
    for name in ("model", "layer", "vectors", "matcher"):
        row[f"{name}_a"] = left[name]
    for name in ("model", "layer", "vectors", "matcher"):
        row[f"{name}_b"] = right[name]
    row |= {"kernel": side.kernel, "images": len(side.features.ids)}
    for score, debiased in SCORES.items():
        k, kernel = side.centred(a, debiased=debiased), other.centred(b, debiased=debiased)
        row[score] = k.alignment(kernel)
        if interval is not None:
            undefined = bool(np.isnan(row[score]))
            bounds = (float("nan"),) * 2 if undefined else k.jackknife(kernel, interval)
            row[f"{score}_low"], row[f"{score}_high"] = bounds
    for name in ("sigma", "largest_gap"):
        row |= {f"{name}_a": left[name], f"{name}_b": right[name]}
    return row


def _turned(column: str) -> str:
    """Return the name of the same column for the other side."""
    return {"_a": f"{column[:-2]}_b", "_b": f"{column[:-2]}_a"}.get(column[-2:], column)


def _chosen_other(other: Any, layers: str | Sequence[str] | None, features: Features) -> Features:
    if not isinstance(other, Features):
        raise InputError(
            "other: expected what semrsm.extract or semrsm.load_features returns; got "
            f"{type(other).__name__}"
        )
    if len(other.ids) != len(features.ids):
        raise InputError(
            f"other: expected the {len(features.ids)} images of the features; got {len(other.ids)}"
        )
    for i, (own, theirs) in enumerate(zip(features.ids, other.ids, strict=True)):
        if own != theirs:
            raise InputError(
                "other: expected the images of the features in the same order; image "
                f"{i} is {theirs!r} and not {own!r}"
            )
    return other if layers is None else other.select(layers)


def _without_nan(row: Row) -> dict[str, Any]:
    """Return a row for JSON, which has no NaN."""
    return {
        column: None if isinstance(value, float) and np.isnan(value) else value
        for column, value in row.items()
    }


def _draw_heatmaps(rows: Sequence[Row], kernel: str) -> Figure:
    from ..plot.layers import plot_layers

    return plot_layers(rows, kernel=kernel)


def _draw_diagonal(rows: Sequence[Row], kernel: str) -> Figure:
    from ..plot.layers import plot_extents

    return cast("Figure", plot_extents(rows, kernel=kernel).figure)


def _check(options: Options) -> None:
    if options["interval"] is not None:
        check_interval(options["interval"])


def _fewest(options: Options) -> int:
    return DEBIASED_IMAGES if options["interval"] is None else JACKKNIFE_IMAGES


def _run(inputs: Inputs, options: Options) -> StudyResult:
    with inputs.watch("Matching", "pairs") as progress:
        return layers(*inputs.features, progress=progress, **options)


def _rows(result: StudyResult) -> Sequence[Row]:
    """Return the rows of the two RSMs of one layer, or, of two networks, of one kind of RSM."""
    if result.protocol.get("other") is None:
        found = [
            row
            for row in result.table
            if (row["model_a"], row["layer_a"]) == (row["model_b"], row["layer_b"])
            and row["matcher_a"] == BASELINE != row["matcher_b"]
        ]
    else:
        found = [row for row in result.table if row["matcher_a"] == row["matcher_b"]]
    return found or result.table


STUDY = Study(
    name="layers",
    help="compare the RSMs of all layers of one network or two by CKA",
    examples="  semrsm study layers photos/ --out layers/\n"
    "  semrsm study layers photos/ --model resnet18 resnet50 --out layers/",
    title="RSMs of all layers compared",
    question="Centred kernel alignment (CKA) of the RSMs of all layers, spatio-semantic and "
    "semantic. Where the two RSMs of one layer differ, the usual RSM depends on location.",
    columns={
        "model_a": "Model",
        "layer_a": "Layer",
        "matcher_a": "RSM",
        "model_b": "Model",
        "layer_b": "Layer",
        "matcher_b": "RSM",
        "kernel": "Kernel",
        "cka": "CKA",
        "debiased_cka": "debiased",
    },
    figures={
        "heatmaps": (
            "CKA of all layers",
            "One colour scale; biased and debiased estimates are both in table.csv.",
        ),
        "diagonal": (
            "The two RSMs of one layer against its spatial extent",
            "CKA of the semantic and the spatio-semantic RSM of the same layer.",
        ),
    },
    run=_run,
    groups=(kernel_choice("cosine"), MATCHER_CHOICE),
    options=(
        Option(
            "--interval",
            "add intervals over images with this confidence, such as 0.95",
            float,
            metavar="CONFIDENCE",
        ),
    ),
    check=_check,
    fewest=_fewest,
    several_help="; two are compared with each other",
    most_networks=2,
    rows=_rows,
)
