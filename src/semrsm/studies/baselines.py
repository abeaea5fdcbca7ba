"""Simple similarities of images, which need no RSM: the usual first choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.workers import one_blas_thread
from ..errors import InputError, did_you_mean
from ..matching.base import Matcher
from ..tokens import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Similarities that need no RSM, by their name in the table's column ``matcher``.
BASELINES = ("mean-pooled", "maxsim", "maxsim-reverse", "maxsim-symmetric")

_PIECE = 32 << 20


def checked_baselines(names: Sequence[str], matchers: Mapping[str, Matcher]) -> list[str]:
    """Return the names of baselines, or refuse unknown ones and the names of matchers."""
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


def baseline_similarities(features: Any, names: Sequence[str] = BASELINES) -> dict[str, Array]:
    """Return the similarities of all pairs of images under some baselines.

    Parameters
    ----------
    features : array-like
        Feature maps (N, C, H, W) or tokens (N, T, D).
    names : sequence of str
        Some of :data:`BASELINES`; see :func:`semrsm.studies.retrieval`.

    Returns
    -------
    dict of str to ndarray of float64, shape (N, N)
        Each row's image is the query, each column's the result. A vector of zeros has no direction:
        its cosine is 0.

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
