"""Representational similarity matrices that see what is in an image, not where."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import kernels, matchers
from ._version import __version__
from .api import gram, rsm, spectrum
from .matching.assigning import assign
from .matching.pair import Match, match
from .matching.solution import Assignment
from .matrices.cka import cka
from .matrices.comparison import Comparison
from .matrices.gram import Gram
from .matrices.rsa import rsa
from .matrices.rsm import RSM
from .tokens import Tokens, measure

if TYPE_CHECKING:
    from .engine.forecast import Forecast, forecast
    from .features import Features, extract, layers, load_features, load_model
    from .matrices.loading import load_rsms
    from .retrieval.approximate import ApproximateTopK, approximate_topk, recall
    from .retrieval.exact import TopK, topk
    from .retrieval.index import Index
    from .runs import Run, StoredGram, compute_run, merge_runs, open_run

__all__ = [
    "RSM",
    "ApproximateTopK",
    "Assignment",
    "Comparison",
    "Features",
    "Forecast",
    "Gram",
    "Index",
    "Match",
    "Run",
    "StoredGram",
    "Tokens",
    "TopK",
    "__version__",
    "approximate_topk",
    "assign",
    "cka",
    "compute_run",
    "extract",
    "forecast",
    "gram",
    "kernels",
    "layers",
    "load_features",
    "load_model",
    "load_rsms",
    "match",
    "matchers",
    "measure",
    "merge_runs",
    "open_run",
    "recall",
    "rsa",
    "rsm",
    "spectrum",
    "topk",
]

#: Names that are loaded when they are first used, by module: the start stays short, and features
#: and runs need more than NumPy.
_LATER = {
    name: module
    for module, names in {
        "engine.forecast": ("Forecast", "forecast"),
        "features": ("Features", "extract", "layers", "load_features", "load_model"),
        "matrices.loading": ("load_rsms",),
        "retrieval.approximate": ("ApproximateTopK", "approximate_topk", "recall"),
        "retrieval.exact": ("TopK", "topk"),
        "retrieval.index": ("Index",),
        "runs": ("Run", "StoredGram", "compute_run", "merge_runs", "open_run"),
    }.items()
    for name in names
}


#: Public modules, for ``semrsm.datasets.ImageFolder`` after ``import semrsm``.
_MODULES = ("datasets", "errors", "features", "plot", "report", "runs", "studies")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _LATER:
        return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module 'semrsm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
