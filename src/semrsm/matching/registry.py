"""Matchers by name and label: the registry, and the syntax of labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from .._internal.labels import by_label, from_label, listed, registered
from ..errors import InputError
from ..tokens import Tokens
from .align import Align
from .base import Matcher
from .displacement import Displacement
from .greedy import Greedy, TopKGreedy
from .maxsim import MaxSim
from .none import NoMatch
from .optimal import Optimal
from .partial import Partial
from .shift import Shift
from .window import Window
from .windows import BatchOptimal

MATCHERS: dict[str, type[Matcher]] = {
    matcher.name: matcher
    for matcher in (
        NoMatch,
        Optimal,
        Greedy,
        TopKGreedy,
        BatchOptimal,
        Displacement,
        Window,
        Shift,
        Align,
        Partial,
        MaxSim,
    )
}

#: The label of the spatio-semantic baseline, which other matchers are compared with.
BASELINE = NoMatch.name

Made = TypeVar("Made", bound=type[Matcher])


def register(matcher: Made) -> Made:
    """Register a matcher by its name, for every function that takes names; usable as a decorator.

    Parameters
    ----------
    matcher : type
        A subclass of :class:`Matcher` with a name, a frozen dataclass whose options have defaults.

    Raises
    ------
    InputError
        If it is not such a class, another matcher has the name, or an option has no default.
    """
    registered(MATCHERS, matcher, Matcher, "matcher")
    return matcher


def resolve_matcher(matcher: str | Matcher) -> Matcher:
    """Return the matcher object for a name or label.

    Parameters
    ----------
    matcher : str or Matcher
        A name such as ``"optimal"``, a label such as ``"batch-optimal:window=64"``, or an object.

    Raises
    ------
    InputError
        If the name or an option is unknown, or the object is not a matcher.

    Examples
    --------
    >>> resolve_matcher("batch-optimal:window=64")
    BatchOptimal(window=64)
    """
    if isinstance(matcher, Matcher):
        return matcher
    if isinstance(matcher, str):
        return from_label(matcher, MATCHERS, "matcher", ", or an object of semrsm.matchers")
    raise InputError(
        f"matcher: expected one of {', '.join(MATCHERS)}, or an object of semrsm.matchers; got "
        f"{type(matcher).__name__}."
    )


def resolve_matchers(matchers: str | Matcher | Sequence[str | Matcher]) -> dict[str, Matcher]:
    """Return several matchers by label, in order.

    Raises
    ------
    InputError
        If there are no matchers, one is unknown, or two have the same label.

    Examples
    --------
    >>> list(resolve_matchers(["none", BatchOptimal(window=256)]))
    ['none', 'batch-optimal:window=256']
    """
    return by_label([resolve_matcher(one) for one in listed(matchers)], "matchers")


def is_optimal(label: str) -> bool:
    """Tell whether a label is that of the optimal matcher, with whatever options.

    Examples
    --------
    >>> is_optimal("optimal:tolerance=0.01"), is_optimal("batch-optimal")
    (True, False)
    """
    # By the label, so that it answers for matchers that are not registered here too.
    return label.partition(":")[0] == Optimal.name


def semantic_of(labels: Iterable[str]) -> str | None:
    """Return the label of the matcher whose RSM is compared with the baseline.

    Parameters
    ----------
    labels : iterable of str
        Labels of matchers.

    Returns
    -------
    str or None
        ``"optimal"``, else the optimal matcher with other options, else the first matcher that is
        not the baseline. None where there is no such matcher.

    Examples
    --------
    >>> semantic_of(["none", "greedy", "optimal:tolerance=0.01"])
    'optimal:tolerance=0.01'
    """
    others = [label for label in labels if label != BASELINE]
    exact = [label for label in others if is_optimal(label)]
    if Optimal.name in exact:
        return Optimal.name
    return next(iter(exact or others), None)


def check_comparable(
    left: Tokens, right: Tokens, matcher: Matcher, left_name: str, right_name: str
) -> None:
    """Refuse inputs whose images cannot be compared.

    Raises
    ------
    InputError
        If the channels differ, the matcher needs images of one S and they have several, it needs
        positions and the grid of one input is not known, or it refuses the images.
    """
    if left.channels != right.channels:
        raise InputError(
            f"{right_name}: expected {left.channels} channels as in {left_name}; got "
            f"{right.channels}"
        )
    if matcher.needs_equal_sizes:
        sizes = np.unique(np.concatenate([left.sizes, right.sizes]))
        if len(sizes) > 1:
            raise InputError(
                f"matcher {matcher.label!r}: expected images with one number of concept vectors, "
                f"since it compares location with location; got S = {sizes[0]} and {sizes[-1]}"
            )
    if matcher.needs_positions:
        for tokens, name in ((left, left_name), (right, right_name)):
            if tokens.grid is None:
                raise InputError(
                    f"{name}: expected features whose grid is known, feature maps (N, C, H, W) or "
                    f"semrsm.measure(features, grid=(H, W)), for the matcher {matcher.label!r}"
                )
        if matcher.needs_equal_sizes and left.grid != right.grid:
            raise InputError(
                f"{right_name}: expected images with the grid of {left_name}, {left.grid}, for the "
                f"matcher {matcher.label!r}; got {right.grid}"
            )
    for tokens, name in ((left, left_name), (right, right_name)):
        if reason := matcher.refusal(tokens):
            raise InputError(f"{name}: the matcher {matcher.label!r} {reason}")


def overflow_error(left_name: str, right_name: str) -> InputError:
    """Return the error for inner products beyond the range of the compute dtype."""
    return InputError(
        f"{left_name}, {right_name}: inner products leave the range of the floating type; scale "
        "the features down or pass float64"
    )
