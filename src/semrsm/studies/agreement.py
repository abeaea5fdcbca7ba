"""Class agreement: the relation of representational similarity to the predicted classes.

For every pair of images, the similarity at a layer is compared with the Jensen–Shannon divergence
of the predicted class probabilities. The more negative their correlation, the better they agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import to_numpy
from .._internal.checks import Progress, check_progress
from .._internal.provenance import versions
from .._internal.statistics import (
    check_bootstrap,
    pair_correlations,
    percentile_interval,
    resampled_counts,
)
from ..errors import InputError
from ..features import Features
from ..kernels import KERNELS, Kernel, resolve_kernels
from ..matching.base import Matcher
from ..matching.registry import BASELINE, resolve_matchers
from ..matrices.correlations import correlation
from ..matrices.gram import Gram
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
from .result import StudyResult
from .study import Inputs, Options, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

METHODS = ("pearson", "spearman")


@dataclass(frozen=True)
class ClassAgreementResult(StudyResult):
    """The outcome of :func:`class_agreement`, with the data of its figures.

    Attributes
    ----------
    divergences : ndarray of float64, shape (N, N)
        Jensen–Shannon divergences of the class probabilities, in bits.
    grams : mapping of (str, str) to Gram
        By layer and matcher.
    """

    divergences: NDArray[np.float64] = field(repr=False)
    grams: Mapping[tuple[str, str], Gram] = field(repr=False)


def class_agreement(
    features: Features,
    *,
    layers: str | Sequence[str] | None = None,
    kernels: Sequence[str | Kernel] = tuple(KERNELS),
    matchers: Sequence[str | Matcher] = MATCHER_NAMES,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | bool | None = None,
) -> ClassAgreementResult:
    """Correlate representational similarity with the divergence of predicted classes.

    Parameters
    ----------
    features : Features
        With logits (N, K), of at least four images.
    layers : str or sequence of str, optional
        Some of the layers, as names or globs; all by default.
    kernels, matchers : sequence of str or objects
        The kernels and matchers to compare. The scatter figure shows the cosine, or the first
        kernel if the cosine is not among them.
    confidence : float, default 0.95
        The confidence of the intervals.
    resamples, seed : int
        The number of resamples of the bootstrap, and its seed.
    workers, memory, progress
        As for :func:`semrsm.gram`; progress counts the pairs of all layers and matchers.

    Returns
    -------
    ClassAgreementResult
        The table has a row per layer × kernel × matcher: Pearson and Spearman correlation over all
        pairs i < j, each with its interval, and, where the matcher "none" is among `matchers`, the
        difference of the row to that one (negative: matching agrees better with the classes) with
        its interval. A correlation is NaN where all similarities are equal.

    Raises
    ------
    InputError
        If the features have no logits or too few images, a layer is missing, all divergences are
        equal, or an option is not known.

    Notes
    -----
    Probabilities are the softmax of the logits in float64, and divergences are in bits, so that
    they lie between 0 (equal) and 1 (no class in common). Intervals are percentiles over resamples
    of the *images*, the same ones in all rows, so that differences are paired; pairs of an image
    with its own copy are left out. They show how much the result depends on the choice of images,
    for this one network.

    Kernels that are functions of the distance alone (RBF, Laplacian, rational quadratic) have the
    same Spearman correlation, and so have the linear kernel and polynomials of odd degree.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> rng = np.random.default_rng(0)
    >>> features = semrsm.Features(
    ...     {"last": rng.normal(size=(12, 8, 3, 3))}, logits=rng.normal(size=(12, 5))
    ... )
    >>> study = class_agreement(features, kernels=["cosine"], resamples=20)
    >>> [row["matcher"] for row in study.table]
    ['none', 'optimal']
    """
    progress = check_progress(progress)
    by_kernel, by_matcher = resolve_kernels(kernels), resolve_matchers(matchers)
    check_bootstrap(confidence, resamples, seed)
    features = chosen_features(features, layers, fewest=4)
    if features.logits is None:
        raise InputError("features: expected logits, the network's class scores; there are none")
    divergences = class_divergences(features.logits)
    pairs = np.triu_indices(len(divergences), k=1)
    reference = divergences[pairs]
    if np.ptp(reference) == 0:
        raise InputError(
            f"features: expected images of different classes; all divergences are {reference[0]:g}"
        )
    grams = compute_grams(
        measured_layers(features),
        features.ids,
        by_matcher,
        workers=workers,
        memory=memory,
        progress=progress,
    )

    counts = resampled_counts(len(divergences), resamples, seed)
    rows: list[dict[str, Any]] = []
    for layer in features:
        seen = {
            (kernel, matcher): grams[layer, matcher].rsm(chosen)
            for kernel, chosen in by_kernel.items()
            for matcher in by_matcher
        }
        samples = {key: rsm.values[pairs] for key, rsm in seen.items()}
        values = {
            method: {key: correlation(method)(x, reference) for key, x in samples.items()}
            for method in METHODS
        }
        drawn = {
            method: dict(
                zip(
                    samples,
                    pair_correlations(list(samples.values()), reference, pairs, counts, method),
                    strict=True,
                )
            )
            for method in METHODS
        }
        for kernel, matcher in samples:
            row: dict[str, Any] = {
                "model": model_of(features),
                "layer": layer,
                "vectors": vectors_of(features[layer]),
                "kernel": kernel,
                "matcher": matcher,
                "images": len(divergences),
                "pairs": len(reference),
                "sigma": seen[kernel, matcher].sigma,
            }
            for method in METHODS:
                value, low, high = _with_interval(
                    values[method][kernel, matcher], drawn[method][kernel, matcher], confidence
                )
                row |= {method: value, f"{method}_low": low, f"{method}_high": high}
            for method in METHODS:
                difference: tuple[float | None, ...] = (None, None, None)
                if matcher != BASELINE and BASELINE in by_matcher:
                    difference = _with_interval(
                        values[method][kernel, matcher] - values[method][kernel, BASELINE],
                        drawn[method][kernel, matcher] - drawn[method][kernel, BASELINE],
                        confidence,
                    )
                for suffix, number in zip(("", "_low", "_high"), difference, strict=True):
                    row[f"{method}_difference{suffix}"] = number
            row["largest_gap"] = grams[layer, matcher].largest_gap
            rows.append(row)
    shown = "cosine" if "cosine" in by_kernel else next(iter(by_kernel))
    return ClassAgreementResult(
        name="class-agreement",
        table=tuple(rows),
        figures={
            "scatter": partial(
                _draw_scatter, grams, divergences, shown, by_kernel[shown], list(by_matcher)
            ),
            "correlations": partial(_draw_correlations, rows),
        },
        protocol={
            "study": "class-agreement",
            "features": dict(features.provenance),
            "images": list(features.ids),
            "classes": int(features.logits.shape[1]),
            "layers": list(features),
            "kernels": {name: repr(kernel) for name, kernel in by_kernel.items()},
            "matchers": {name: repr(matcher) for name, matcher in by_matcher.items()},
            "probabilities": "softmax of the logits in float64",
            "divergence": "Jensen-Shannon, log base 2 (bits)",
            "pairs": "all pairs of images i < j",
            "intervals": {
                "method": "percentile bootstrap over images, the same resamples in all rows; "
                "pairs of identical images left out",
                "confidence": confidence,
                "resamples": resamples,
                "seed": seed,
            },
            "difference": "correlation of the matcher minus that of the matcher 'none'",
            "versions": versions(),
        },
        divergences=divergences,
        grams=grams,
    )


def class_divergences(logits: ArrayLike) -> NDArray[np.float64]:
    """Return the Jensen–Shannon divergence, in bits, of the class probabilities of all pairs.

    Parameters
    ----------
    logits : array-like, shape (N, K)
        Class scores; probabilities are their softmax in float64. A score of −∞ is a probability of
        zero, which takes part exactly: 0 log 0 = 0.

    Returns
    -------
    ndarray of float64, shape (N, N)
        Symmetric, 0 on the diagonal and at most 1 up to rounding.

    Raises
    ------
    InputError
        If there are fewer than two classes, or a score is NaN or +∞.

    Examples
    --------
    >>> class_divergences([[0.0, -np.inf], [-np.inf, 3.0]])
    array([[0., 1.],
           [1., 0.]])
    """
    scores = to_numpy(logits, "logits").astype(np.float64)
    if scores.ndim != 2 or scores.shape[0] < 1 or scores.shape[1] < 2:
        raise InputError(
            f"logits: expected shape (N, K) with at least two classes; got {scores.shape}"
        )
    highest = scores.max(axis=1, keepdims=True)
    if not np.isfinite(highest).all():
        raise InputError("logits: expected finite class scores; got NaN or infinity")
    odds = np.exp(scores - highest)
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    found = np.zeros((len(scores), len(scores)))
    for i, own in enumerate(probabilities[:-1]):
        found[i, i + 1 :] = _divergences(own, probabilities[i + 1 :])
    found += found.T
    return found


def _divergences(own: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """JSD of one distribution (K,) with each of others (M, K), shape (M,), in bits."""
    both = own + others
    # log(p / m) with m = (p + q) / 2 is log1p of this, and of its negative for q: accurate where
    # the two are nearly equal, and infinite only where the probability in front of it is zero.
    lean = np.zeros_like(both)
    np.divide(own - others, both, out=lean, where=both > 0)
    terms = np.zeros_like(both)
    for weight, sign in ((np.broadcast_to(own, both.shape), 1.0), (others, -1.0)):
        logs = np.zeros_like(both)
        np.log1p(sign * lean, out=logs, where=weight > 0)
        terms += weight * logs
    divergences: NDArray[np.float64] = terms.sum(axis=1) / (2 * np.log(2))
    return divergences


def _with_interval(
    value: float, drawn: NDArray[np.float64], confidence: float
) -> tuple[float, float, float]:
    return (float(value), *percentile_interval(drawn, confidence))


def _draw_scatter(
    grams: Mapping[tuple[str, str], Gram],
    divergences: NDArray[np.float64],
    name: str,
    kernel: Kernel,
    matchers: Sequence[str],
) -> Figure:
    from ..plot import plot_agreements

    pairs = np.triu_indices(len(divergences), k=1)
    layers = list(dict.fromkeys(layer for layer, _ in grams))
    return plot_agreements(
        {
            (layer, matcher): (grams[layer, matcher].rsm(kernel).values[pairs], divergences[pairs])
            for layer in layers
            for matcher in matchers
        },
        kernel=name,
    )


def _draw_correlations(rows: Sequence[Mapping[str, Any]]) -> Figure:
    from ..plot import plot_intervals

    panels: dict[str, dict[tuple[str, str], tuple[float, float, float]]] = {}
    for row in rows:
        for method in METHODS:
            value = (row[method], row[f"{method}_low"], row[f"{method}_high"])
            panel = panels.setdefault(f"{row['layer']}, {method.capitalize()}", {})
            panel[row["kernel"], row["matcher"]] = value
    return plot_intervals(panels, xlabel="correlation with JSD (further left is better)")


def _look(inputs: Inputs, _: Options) -> None:
    for path, features in zip(inputs.files, inputs.features, strict=True):
        if features.logits is None:
            raise InputError(
                f"--features: expected files with class scores; {str(path)!r} has none"
            )


def _run(inputs: Inputs, options: Options) -> StudyResult:
    return inputs.each(
        lambda features, progress: class_agreement(features, progress=progress, **options)
    )


STUDY = Study(
    name="class-agreement",
    help="correlate similarity with the divergence of the predicted classes",
    examples="  semrsm study class-agreement imagenet/ --dataset imagenet --limit 200 --out "
    "agreement/\n"
    "  semrsm study class-agreement photos/ --model efficientnet-lite0 efficientnet-lite1 "
    "--layer _blocks.15 --out agreement/",
    title="Similarity and predicted classes",
    question="Does a network predict similar classes for images that it represents alike? For "
    "every pair of images, the similarity at a layer is compared with the Jensen–Shannon "
    "divergence of the predicted class probabilities. The more negative their correlation, the "
    "better they agree. Differences are to the spatio-semantic RSM with the same kernel; where "
    "the interval does not contain 0, the choice of images does not explain the difference.",
    columns={
        "model": "Model",
        "layer": "Layer",
        "vectors": "Vectors",
        "kernel": "Kernel",
        "matcher": "RSM",
        "pearson": "Pearson",
        "pearson_low": "low",
        "pearson_high": "high",
        "pearson_difference": "Difference",
        "pearson_difference_low": "low",
        "pearson_difference_high": "high",
        "spearman": "Spearman",
        "spearman_difference": "Difference",
    },
    figures={
        "scatter": (
            "Similarity against divergence",
            "Every point is a pair of images; darker means more pairs.",
        ),
        "correlations": (
            "Correlations",
            "Correlation of similarity with divergence, with intervals from a bootstrap over "
            "images. Further left is better.",
        ),
    },
    run=_run,
    groups=(kernel_choice(*KERNELS), MATCHER_CHOICE, BOOTSTRAP),
    look=_look,
    fewest=lambda _: 4,
)
