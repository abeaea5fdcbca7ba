"""Translation sensitivity: the similarity of a photograph with itself, moved.

Overlapping crops of each photograph go through the network. A spatio-semantic RSM compares location
with location and loses the shifted crop; a semantic RSM matches concept vectors and keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.provenance import versions
from .._internal.statistics import auc, separation
from ..datasets.crops import ShiftedCrops
from ..errors import InputError
from ..features import Features, extract, load_model
from ..features.checkpoint import whole_square
from ..features.layer_names import middle_layer
from ..features.record import concept_vectors
from ..kernels import Kernel, resolve_kernels
from ..matching.base import Matcher
from ..matching.pair import Match, match
from ..matching.registry import resolve_matchers
from ..matrices.gram import Gram
from ..matrices.rsm import RSM
from . import translation_page
from .choices import (
    MATCHER_CHOICE,
    MATCHER_NAMES,
    compute_grams,
    kernel_choice,
    measured_layers,
    vectors_of,
)
from .result import StudyResult, joined
from .study import Explored, Inputs, Option, Options, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL.Image import Image

SHIFTS = (0.0, 0.125, 0.25, 0.5)


@dataclass(frozen=True)
class TranslationResult(StudyResult):
    """The outcome of :func:`translation`, with the data of its figures.

    Attributes
    ----------
    crops : ShiftedCrops
        The images.
    features : Features
        The features of the crops.
    grams : mapping of (str, str) to Gram
        By layer and matcher.
    """

    crops: ShiftedCrops = field(repr=False)
    features: Features = field(repr=False)
    grams: dict[tuple[str, str], Gram] = field(repr=False)


def translation(
    photos: Sequence[tuple[str, Image]],
    model: Any = "efficientnet-lite0",
    *,
    layers: str | Sequence[str] | None = None,
    shifts: Sequence[float] = SHIFTS,
    kernels: Sequence[str | Kernel] = ("cosine", "rbf"),
    matchers: Sequence[str | Matcher] = MATCHER_NAMES,
    batch_size: int = 16,
    device: str | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Any = None,
) -> TranslationResult:
    """Compare spatio-semantic and semantic RSMs of the same photographs, moved.

    Parameters
    ----------
    photos : sequence of (str, PIL.Image.Image)
        Names and photographs, at least two.
    model : str, Model or torch.nn.Module, default "efficientnet-lite0"
        As for :func:`semrsm.extract`.
    layers : str or sequence of str, optional
        Layers of the model; its recommended ones by default.
    shifts : sequence of float
        Shifts of the crops in units of their side, 0 among them.
    kernels, matchers : sequence of str or objects
        The kernels and matchers to compare; the figures show the first kernel.
    batch_size, device
        As for :func:`semrsm.extract`.
    workers, memory
        Threads and memory of the matching, as for :func:`semrsm.gram`.
    progress : callable, optional
        Called as ``progress(done, total)`` during extraction.

    Returns
    -------
    TranslationResult
        The table has a row per layer × kernel × matcher × shift: medians of the similarity of the
        photograph with itself moved by that shift and with other photographs (at any shift), the
        area under the ROC curve (the probability that the former is larger, ties counted half),
        and the separation: the difference of the means in units of the pooled standard deviation.

    Raises
    ------
    InputError
        If there are fewer than two photographs, or an argument is not known.
    """
    if len(photos) < 2:
        raise InputError(f"photos: expected at least two photographs; got {len(photos)}")
    by_kernel, by_matcher = resolve_kernels(kernels), resolve_matchers(matchers)
    if 0.0 not in shifts:
        raise InputError(f"shifts: expected 0, the crop others are compared with; got {shifts}")
    loaded = load_model(model) if isinstance(model, str) else model
    chosen = layers if layers is not None else getattr(loaded, "layers", None)
    if chosen is None:
        raise InputError("layers: expected names of layers, since the model recommends none")
    # The network sees the whole crop, and nothing around it.
    preprocess, side = whole_square(getattr(loaded, "preprocess", None))
    crops = ShiftedCrops(photos, shifts, size=side)
    features = extract(
        loaded,
        crops,
        layers=chosen,
        batch_size=batch_size,
        device=device,
        preprocess=preprocess,
        progress=progress,
    )
    grams = compute_grams(
        measured_layers(features),
        features.ids,
        by_matcher,
        workers=workers,
        memory=memory,
        progress=None,  # progress is that of the extraction
    )
    groups, offsets = np.array(crops.groups), np.array(crops.crop_shifts)
    rows: list[dict[str, Any]] = []
    for (layer, matcher), found in grams.items():
        for kernel, seen_through in by_kernel.items():
            values = found.rsm(seen_through).values
            for shift in sorted(set(crops.crop_shifts))[1:]:
                same, different = pairs_by_shift(values, groups, offsets, shift)
                rows.append(
                    {
                        "model": features.provenance.get("model", ""),
                        "layer": layer,
                        "vectors": vectors_of(features[layer]),
                        "kernel": kernel,
                        "matcher": matcher,
                        "shift": shift,
                        "same_median": float(np.median(same)),
                        "different_median": float(np.median(different)),
                        "auc": auc(same, different),
                        "separation": separation(same, different),
                        "largest_gap": found.largest_gap,
                    }
                )
    shown = next(iter(by_kernel.values()))
    rsms = {key: found.rsm(shown) for key, found in grams.items()}
    sizes = {layer: vectors_of(features[layer]) for layer in features}
    layer = middle_layer(sizes) or next(iter(sizes))
    figures = {
        "rsms": partial(_draw_rsms, rsms, list(features), list(by_matcher), crops),
        "distributions": partial(
            _draw_distributions, rsms, list(features), list(by_matcher), crops
        ),
        "match": partial(_draw_match, crops, features, layer),
    }
    return TranslationResult(
        name="translation",
        table=tuple(rows),
        figures=figures,
        protocol={
            "study": "translation",
            "features": dict(features.provenance),
            "photographs": [name for name, _ in photos],
            "shifts": list(shifts),
            "crop": "square, as large as fits with the largest shift, moved along the longer side",
            "different_pairs": "crops of two different photographs, at any shifts",
            "kernels": list(by_kernel),
            "matchers": list(by_matcher),
            "versions": versions(),
        },
        crops=crops,
        features=features,
        grams=grams,
    )


def pairs_by_shift(
    values: NDArray[np.float64],
    groups: NDArray[Any],
    shifts: NDArray[np.float64],
    shift: float | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split the pairs i < j into the same photograph moved, and different photographs.

    Parameters
    ----------
    values : ndarray, shape (N, N)
        An RSM.
    groups : ndarray, shape (N,)
        The photograph of each crop.
    shifts : ndarray, shape (N,)
        The shift of each crop.
    shift : float, optional
        Take same-photograph pairs only where the two crops are this far apart; all by default.

    Returns
    -------
    same, different : ndarray of float64
    """
    left, right = np.triu_indices(len(values), k=1)
    same = groups[left] == groups[right]
    chosen = same
    if shift is not None:
        chosen = same & np.isclose(np.abs(shifts[left] - shifts[right]), shift)
    return values[left[chosen], right[chosen]], values[left[~same], right[~same]]


def _draw_rsms(
    rsms: dict[tuple[str, str], RSM],
    layers: list[str],
    matchers: Sequence[str],
    crops: ShiftedCrops,
) -> Figure:
    from ..plot import plot_rsms

    return plot_rsms(
        {layer: [rsms[layer, matcher] for matcher in matchers] for layer in layers},
        groups=crops.groups,
    )


def _draw_distributions(
    rsms: dict[tuple[str, str], RSM],
    layers: list[str],
    matchers: Sequence[str],
    crops: ShiftedCrops,
) -> Figure:
    from ..plot import plot_distributions

    groups, shifts = np.array(crops.groups), np.array(crops.crop_shifts)
    kernel = next(iter(rsms.values())).kernel
    panels: dict[Any, Any] = {
        (layer, matcher): pairs_by_shift(rsms[layer, matcher].values, groups, shifts)
        for layer in layers
        for matcher in matchers
    }
    return plot_distributions(panels, kernel=kernel)


def _draw_match(crops: ShiftedCrops, features: Features, layer: str) -> Any:
    from ..plot import plot_match

    found, left, right, grid = example_match(crops, features, layer)
    names = (crops.ids[left], crops.ids[right])
    ax = plot_match(crops[left], crops[right], found, grid, grid, names=names)
    return ax.figure


def example_match(
    crops: ShiftedCrops, features: Features, layer: str
) -> tuple[Match, int, int, tuple[int, int]]:
    """Match the first photograph's first crop with its second largest shift at one layer.

    Returns
    -------
    match : Match
    left, right : int
        The crops' indices.
    grid : (int, int)
        Height and width of the grid of concept vectors.
    """
    shifts = sorted(set(crops.crop_shifts))
    left = 0
    right = list(crops.crop_shifts).index(shifts[-2] if len(shifts) > 2 else shifts[-1])
    a, b = (concept_vectors(features[layer][i]) for i in (left, right))
    return match(a, b), left, right, features.grids.get(layer, (1, len(a)))


def _check(options: Options) -> None:
    if 0.0 not in options["shifts"]:
        raise InputError("--shifts: expected 0, the crop others are compared with, among them")


def _run(inputs: Inputs, options: Options) -> StudyResult:
    photos = [(name, inputs.data[i]) for i, name in enumerate(inputs.data.ids)]
    ShiftedCrops(photos, options["shifts"], size=1)  # checks the shifts; no crop is made
    results = []
    for network in inputs.networks:
        with inputs.watch("Extracting", "images") as progress:
            results.append(
                translation(photos, network(), progress=progress, **inputs.extraction, **options)
            )
    return joined(results)


def _explored(result: StudyResult) -> Explored | None:
    found = {}
    for n, part in enumerate(result.parts, start=1):
        if not isinstance(part, TranslationResult):  # read from a folder: only the table
            return None
        name = str(part.protocol["features"].get("model", "a network"))
        found[name if name not in found else f"{name} ({n})"] = part
    return translation_page.explored(found)


STUDY = Study(
    name="translation",
    help="compare how RSMs see the same photographs moved",
    examples="  semrsm study translation photos/ --out translation/\n"
    "  semrsm study translation photos/ --model resnet18 --limit 30 --out translation/",
    title="The same photographs, moved",
    question="Is a photograph that has moved more similar to itself than to other photographs? AUC "
    "is the probability that it is; a half is chance.",
    columns={
        "model": "Model",
        "layer": "Layer",
        "vectors": "Vectors",
        "kernel": "Kernel",
        "matcher": "RSM",
        "shift": "Shift",
        "same_median": "Same, median",
        "different_median": "Different, median",
        "auc": "AUC",
        "separation": "Separation",
    },
    figures={
        "rsms": ("RSMs", "Crops of one photograph are neighbours, framed by white lines."),
        "distributions": (
            "Distributions",
            "Similarity of the same photograph moved, and of different photographs.",
        ),
        "match": ("What matched what", "Patches that were matched share a colour."),
    },
    run=_run,
    groups=(kernel_choice("cosine", "rbf"), MATCHER_CHOICE),
    options=(
        Option(
            "--shifts",
            "shifts of the crops, in units of their side, 0 among them (default: 0 0.125 0.25 0.5)",
            float,
            list(SHIFTS),
            nargs="+",
        ),
    ),
    check=_check,
    takes_features=False,
    needs_images=True,
    # Each photograph becomes several crops, and all of them are in memory at once.
    limit=16,
    shown={"kernel": "cosine"},
    explored=_explored,
)
