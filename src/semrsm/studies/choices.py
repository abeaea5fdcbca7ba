"""The choices that studies share: kernels, matchers, layers, resamples; checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .._internal.statistics import check_bootstrap
from ..api import gram
from ..errors import InputError
from ..features import Features
from ..kernels import KERNELS, Kernel, resolve_kernel
from ..matching.base import Matcher
from ..matching.registry import MATCHERS, resolve_matcher
from ..matrices.gram import Gram
from .study import Group, Option, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

Thing = TypeVar("Thing", Kernel, Matcher)

#: Spatio-semantic and semantic.
MATCHER_NAMES = ("none", "optimal")


def kernel_choice(*default: str) -> Group:
    """Return the option ``--kernel`` with its default, and its check."""
    option = Option(
        "--kernel",
        lambda: f"some of {', '.join(KERNELS)} (default: {' '.join(default)})",
        default=list(default),
        nargs="+",
        metavar="KERNEL",
        keyword="kernels",
    )
    return Group((option,), lambda options: chosen_kernels(options["kernels"]))


MATCHER_CHOICE = Group(
    (
        Option(
            "--matcher",
            lambda: f"some of {', '.join(MATCHERS)} (default: {' '.join(MATCHER_NAMES)})",
            default=list(MATCHER_NAMES),
            nargs="+",
            metavar="MATCHER",
            keyword="matchers",
        ),
    ),
    lambda options: chosen_matchers(options["matchers"]),
)

BOOTSTRAP = Group(
    (
        Option("--confidence", "(default: %(default)s)", float, 0.95),
        Option("--resamples", "(default: %(default)s)", int, 1000),
        Option("--random-seed", "of the resamples (default: %(default)s)", int, 0, keyword="seed"),
    ),
    lambda options: check_bootstrap(options["confidence"], options["resamples"], options["seed"]),
)


def chosen_kernels(kernels: str | Kernel | Sequence[str | Kernel]) -> dict[str, Kernel]:
    """Return the kernels by the name that the table shows.

    Raises
    ------
    InputError
        If there is none, one is unknown, or two are the same.
    """
    return _by_label(kernels, resolve_kernel, "kernels")


def chosen_matchers(matchers: str | Matcher | Sequence[str | Matcher]) -> dict[str, Matcher]:
    """Return the matchers by the name that the table shows, those with options with them.

    Raises
    ------
    InputError
        As :func:`chosen_kernels`.

    Examples
    --------
    >>> from semrsm.matchers import BatchOptimal
    >>> list(chosen_matchers(["none", BatchOptimal(window=256)]))
    ['none', 'batch-optimal (window=256)']
    """
    return _by_label(matchers, resolve_matcher, "matchers")


def chosen_features(features: Any, layers: str | Sequence[str] | None, *, fewest: int) -> Features:
    """Return the layers that were asked for.

    Raises
    ------
    InputError
        If `features` are none, have too few images, or lack a layer.
    """
    if not isinstance(features, Features):
        raise InputError(
            "features: expected what semrsm.extract or semrsm.load_features returns; got "
            f"{type(features).__name__}"
        )
    if len(features.ids) < fewest:
        raise InputError(f"features: expected at least {fewest} images; got {len(features.ids)}")
    return features if layers is None else features.select(layers)


def whole_number(value: Any, name: str, least: int = 1) -> int:
    """Return `value` as an int, or refuse it by name."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name}: expected a whole number >= {least}; got {value!r}")
    return int(value)


def compute_grams(
    features: Features,
    matchers: dict[str, Matcher],
    *,
    workers: int | None,
    memory: int | str | None,
    progress: Progress | None,
) -> dict[tuple[str, str], Gram]:
    """Match every layer with every matcher; by layer and the matcher's name in the table.

    Progress counts the pairs of all of them together.
    """
    pairs = len(features.ids) * (len(features.ids) - 1) // 2
    total = pairs * len(features) * len(matchers)
    found: dict[tuple[str, str], Gram] = {}
    for layer in features:
        for name, matcher in matchers.items():
            base = pairs * len(found)
            found[layer, name] = gram(
                features[layer],
                matcher=matcher,
                ids=features.ids,
                workers=workers,
                memory=memory,
                progress=None if progress is None else shifted(progress, base, total),
            )
    return found


def vectors_of(array: NDArray[Any]) -> int:
    """Return S, the number of concept vectors of an image, of maps (N, C, H, W) or tokens."""
    return int(np.prod(array.shape[2:])) if array.ndim == 4 else int(array.shape[1])


def model_of(features: Features) -> str:
    """Return the name of the model, empty where it is not known."""
    return str(features.provenance.get("model", ""))


def shifted(progress: Progress, base: int, total: int) -> Progress:
    """Return a progress callback for a part of the work, after `base` of `total` pairs."""
    return lambda done, _: progress(min(base + done, total), total)


def _by_label(things: Any, resolve: Callable[[Any], Thing], argument: str) -> dict[str, Thing]:
    listed = [things] if isinstance(things, str) or not isinstance(things, Iterable) else things
    found: dict[str, Thing] = {}
    for thing in listed:
        resolved = resolve(thing)
        label = thing if isinstance(thing, str) else _label(resolved)
        if label in found:
            raise InputError(f"{argument}: expected each once; got {label!r} more than once")
        found[label] = resolved
    if not found:
        raise InputError(f"{argument}: expected at least one; got none")
    return found


def _label(thing: Kernel | Matcher) -> str:
    """Name an object with its options; a tolerance is none that a reader of tables asks for."""
    declared: Any = thing  # a protocol says nothing about dataclasses
    names: list[str] = [f.name for f in fields(declared)] if is_dataclass(declared) else []
    options = [f"{name}={getattr(thing, name)}" for name in names if name != "tolerance"]
    return f"{thing.name} ({', '.join(options)})" if options else thing.name
