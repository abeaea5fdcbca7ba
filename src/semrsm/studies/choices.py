"""Options that studies share: kernels, matchers, layers, resamples; checked before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import Progress
from .._internal.statistics import check_bootstrap
from ..api import gram
from ..errors import InputError
from ..features import Features
from ..kernels import KERNELS, resolve_kernels
from ..matching.base import Matcher
from ..matching.registry import BASELINE, MATCHERS, resolve_matchers
from ..matrices.gram import Gram
from ..tokens import Tokens
from .study import Group, Option

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Spatio-semantic and semantic.
MATCHER_NAMES = (BASELINE, "optimal")


def kernel_choice(*default: str) -> Group:
    """Return the option ``--kernel`` with its default, and its check."""
    option = Option(
        "--kernel",
        lambda: (
            f"some of {', '.join(KERNELS)}, with options as in polynomial:degree=2 "
            f"(default: {' '.join(default)})"
        ),
        default=list(default),
        nargs="+",
        metavar="KERNEL",
        keyword="kernels",
    )
    return Group((option,), lambda options: resolve_kernels(options["kernels"]))


MATCHER_CHOICE = Group(
    (
        Option(
            "--matcher",
            lambda: (
                f"some of {', '.join(MATCHERS)}, with options as in "
                f"batch-optimal:window=64 (default: {' '.join(MATCHER_NAMES)})"
            ),
            default=list(MATCHER_NAMES),
            nargs="+",
            metavar="MATCHER",
            keyword="matchers",
        ),
    ),
    lambda options: resolve_matchers(options["matchers"]),
)

BOOTSTRAP = Group(
    (
        Option("--confidence", "(default: %(default)s)", float, 0.95),
        Option("--resamples", "(default: %(default)s)", int, 1000),
        Option(
            "--random-seed", "seed of the resamples (default: %(default)s)", int, 0, keyword="seed"
        ),
    ),
    lambda options: check_bootstrap(options["confidence"], options["resamples"], options["seed"]),
)


def chosen_features(features: Any, layers: str | Sequence[str] | None, *, fewest: int) -> Features:
    """Return the layers that were asked for.

    Raises
    ------
    InputError
        If `features` is not a Features, has too few images, or lacks a layer.
    """
    if not isinstance(features, Features):
        raise InputError(
            "features: expected what semrsm.extract or semrsm.load_features returns; got "
            f"{type(features).__name__}"
        )
    if len(features.ids) < fewest:
        raise InputError(f"features: expected at least {fewest} images; got {len(features.ids)}")
    return features if layers is None else features.select(layers)


def compute_grams(
    layers: Mapping[str, Tokens],
    ids: Sequence[str],
    matchers: dict[str, Matcher],
    *,
    workers: int | None,
    memory: int | str | None,
    progress: Progress | None,
) -> dict[tuple[str, str], Gram]:
    """Match every layer with every matcher; by layer and the matcher's label.

    Progress counts the pairs of all of them together.
    """
    pairs = len(ids) * (len(ids) - 1) // 2
    total = pairs * len(layers) * len(matchers)
    found: dict[tuple[str, str], Gram] = {}
    for layer, tokens in layers.items():
        for name, matcher in matchers.items():
            base = pairs * len(found)
            found[layer, name] = gram(
                tokens,
                matcher=matcher,
                ids=ids,
                workers=workers,
                memory=memory,
                progress=None if progress is None else shifted(progress, base, total),
            )
    return found


def measured_layers(features: Features) -> dict[str, Tokens]:
    """Return the tokens of each layer, checked and measured once for all matchers."""
    return {layer: features.tokens(layer) for layer in features}


def vectors_of(array: NDArray[Any]) -> int:
    """Return S, the number of concept vectors of an image, of maps (N, C, H, W) or tokens."""
    return int(np.prod(array.shape[2:])) if array.ndim == 4 else int(array.shape[1])


def model_of(features: Features) -> str:
    """Return the name of the model, empty where it is not known."""
    return str(features.provenance.get("model", ""))


def shifted(progress: Progress, base: int, total: int) -> Progress:
    """Return a progress callback for a part of the work, after `base` of `total` pairs."""
    return lambda done, _: progress(min(base + done, total), total)
