"""Representational similarity matrices that see what is in an image, not where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import kernels, matchers
from ._version import __version__
from .assignment import Assignment, assign
from .compare import Comparison, cka, rsa
from .gram import Gram, gram, rsm
from .matchers import Match, match
from .rsm import RSM

if TYPE_CHECKING:
    from .features import Features, extract, load_features, load_model

__all__ = [
    "RSM",
    "Assignment",
    "Comparison",
    "Features",
    "Gram",
    "Match",
    "__version__",
    "assign",
    "cka",
    "extract",
    "gram",
    "kernels",
    "load_features",
    "load_model",
    "match",
    "matchers",
    "rsa",
    "rsm",
]

_FEATURES = ("Features", "extract", "load_features", "load_model")


def __getattr__(name: str) -> Any:
    if name in _FEATURES:  # loaded when first used: they are not part of the NumPy-only core
        from . import features

        return getattr(features, name)
    raise AttributeError(f"module 'semrsm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
