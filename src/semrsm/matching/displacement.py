"""The optimal matching under a price for moving: between semantic and spatio-semantic."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from .._internal.checks import is_real_number
from .._internal.workers import Cancellation, interruptible
from ..errors import InputError
from ..tokens import Block, Tokens
from .affinities import solve_pairs
from .base import Matched, Matcher, PairTile, Workspace, as_dtype
from .grids import grid_of, positions, squared_distances
from .recompute import inner_products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array

#: The most pairs that the unit of the penalty is found from, and the most entries of their matrices
#: (a few seconds).
UNIT_PAIRS, UNIT_ENTRIES = 1000, 2_000_000_000


@dataclass(frozen=True)
class Displacement(Matcher):
    """Moving costs: W = max over permutations π of V(π) − (μ/2) Σ_s |p_s − p_π(s)|².

    Images are first scaled to ‖X‖² = S. Positions p are the centres of the cells, each axis divided
    by the longer side of the grid. The Gram holds W, and S as every squared norm: linear is W,
    cosine W / S, and the RBF a function of that. μ = 0 gives the optimal matching of the scaled
    images, μ → ∞ no matching. 2S − 2W is a squared pseudometric. The upper bound is that of W.

    Parameters
    ----------
    penalty : float or str, default "1x"
        μ, or a multiple of the unit of the data set, such as ``"2x"``: μ* = 2 (V₀ − V_none) /
        (S D₀), where V₀ and D₀ are the similarity and the mean squared displacement of the optimal
        matching. μ does not compare across layers; multiples of μ* do.

    Notes
    -----
    Σ|p|² is the same under every permutation, so that W + μ Σ|p|² is the optimal matching of the
    vectors [x, √μ p]: two more channels. V and the displacements are then computed again in float64
    from the matching, since that sum drowns W at a large μ. The bound is the solver's, less
    μ Σ|p|², plus the rounding of the product.

    μ* is found from the pairs of at most 45 images, evenly spread over the data set (fewer where S
    is large).
    """

    penalty: float | str = "1x"

    name = "displacement"
    bounds = "own"
    needs_equal_sizes = True
    needs_positions = True
    copies_blocks = True
    rescales = True
    searched_by = "bounds"

    def __post_init__(self) -> None:
        multiple = _multiple(self.penalty)
        if multiple is not None:
            canonical: float | str = f"{multiple:.12g}x"
        elif is_real_number(self.penalty) and 0 <= float(self.penalty) < np.inf:
            number = float(self.penalty)
            canonical = int(number) if number.is_integer() else number
        else:
            raise InputError(
                "penalty: expected a finite number >= 0, or a multiple of the unit of the data set "
                f"such as '2x'; got {self.penalty!r}"
            )
        object.__setattr__(self, "penalty", canonical)  # one label for one penalty

    @property
    def strength(self) -> float:
        """μ as a number.

        Raises
        ------
        InputError
            If it is a multiple of a unit that has not been found.
        """
        if isinstance(self.penalty, str):
            raise InputError(
                f"penalty: expected a number; the rule {self.penalty!r} needs all images "
                "(matcher.resolved(rows, columns) finds the number)"
            )
        return float(self.penalty)

    def resolved(self, rows: Tokens, columns: Tokens | None) -> Displacement:
        """Return the matcher with μ as a number; see :meth:`Matcher.resolved`."""
        multiple = _multiple(self.penalty)
        return self if multiple is None else replace(self, penalty=multiple * unit(rows, columns))

    def squared_norms(self, tokens: Tokens) -> NDArray[np.float64]:
        """Return S for every image, and 0 for images of zeros."""
        return np.where(tokens.squared_norms > 0, tokens.sizes.astype(np.float64), 0.0)

    def prepare(self, block: Block) -> Block:
        """Add two channels, √μ p ‖X‖ / √S, and the scale √S / ‖X‖ of each image."""
        size = int(block.starts[1])
        images = block.vectors.reshape(len(block), size, -1)
        squares = np.einsum("nsc,nsc->n", images, images, dtype=np.float64)
        norms = np.sqrt(squares / size)
        scales = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        places = positions(grid_of(block)) * np.sqrt(self.strength)
        added = (norms[:, None, None] * places).astype(block.vectors.dtype)
        vectors = np.concatenate([images, added], axis=2)
        return replace(
            block,
            vectors=vectors.reshape(len(block) * size, -1),
            derived={**block.derived, "scales": scales},
        )

    def searched(self, tokens: Tokens) -> Tokens:
        """Return the scaled images with two more channels; see :meth:`Matcher.searched`."""
        if tokens.grid is None:
            raise ValueError("the images have no grid")
        size, places = int(tokens.sizes[0]), positions(tokens.grid) * np.sqrt(self.strength)

        def read(first: int, last: int) -> Array:
            images = tokens.block(first, last).vectors.reshape(-1, size, tokens.channels)
            squares = np.ldexp(tokens.squared_norms[first:last], -2 * tokens.exponents[first:last])
            norms = np.sqrt(squares / size)
            scales = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
            scaled = images * scales.astype(images.dtype)[:, None, None]
            added = np.broadcast_to(places.astype(images.dtype), (len(images), size, 2))
            return np.concatenate([scaled, added], axis=2).reshape(-1, tokens.channels + 2)

        return replace(
            tokens,
            channels=tokens.channels + 2,
            squared_norms=self.squared_norms(tokens) + self.searched_constant(tokens),
            exponents=np.zeros_like(tokens.exponents),
            read=read,
            is_scaled=True,
            in_place=False,
            origin=None,
        )

    def searched_constant(self, tokens: Tokens) -> float:
        """Return μ Σ|p|²; see :meth:`Matcher.searched_constant`."""
        return self.strength * float((positions(tokens.grid or (1, 1)) ** 2).sum())

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`."""
        grid, size = grid_of(tile.rows), int(tile.rows.starts[1])
        channels = tile.rows.vectors.shape[1] - 2
        found = solve_pairs(replace(tile, keep_matchings=True), tile.affinities())
        scale = tile.rows.derived["scales"][tile.left] * tile.columns.derived["scales"][tile.right]
        matchings = found.matchings
        if matchings is None:
            raise ValueError("the matchings were not kept")
        zero = scale == 0  # an image of zeros: nothing to gain by moving
        matchings[zero] = np.arange(size)
        inner = scale * inner_products(tile, matchings, channels)
        moved = squared_distances(grid, matchings).sum(axis=1)
        values = inner - self.strength / 2 * moved
        constant = self.strength * float((positions(grid) ** 2).sum())
        # γ_C ‖a‖ ‖b‖ bounds the rounding of the products of the extended vectors, by Cauchy–Schwarz
        # also summed over a matching; their squared norms are S + μ Σ|p|².
        rounding = (channels + 10) * float(np.finfo(tile.rows.vectors.dtype).eps)
        bounds = found.upper_bounds * scale - constant + rounding * (size + constant)
        bounds = np.where(zero, values, np.maximum(bounds, values))
        return Matched(values, bounds, matchings, {"inner": inner, "displacement": moved / size})


def _multiple(penalty: Any) -> float | None:
    """Return the factor of a penalty such as "2x", or None."""
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)x", penalty) if isinstance(penalty, str) else None
    return float(found[1]) if found else None


def unit(rows: Tokens, columns: Tokens | None) -> float:
    """Return μ* = 2 (V₀ − V_none) / (S D₀) of a data set, 0 if its matchings move nothing.

    Parameters
    ----------
    rows, columns : Tokens
        Images of one S with a grid; pairs of `rows` if `columns` is None.

    Returns
    -------
    float
    """
    known = _units.get(rows) if columns is None else None
    if known is not None:
        return known
    found = _unit(rows, columns)
    if columns is None:
        _units[rows] = found
    return found


#: The units of images that were measured once, for the many values of a spectrum.
_units: WeakKeyDictionary[Tokens, float] = WeakKeyDictionary()


def _unit(rows: Tokens, columns: Tokens | None) -> float:
    size = int(rows.sizes[0])
    most = max(1, min(UNIT_PAIRS, UNIT_ENTRIES // size**2))
    if columns is None:
        count = int((1 + np.sqrt(1 + 8 * most)) / 2)
        left = _spread(rows, count)
        i, j = np.triu_indices(left.count, k=1)
        right = left
    else:
        left, right = (_spread(tokens, int(np.sqrt(most))) for tokens in (rows, columns))
        i, j = (part.reshape(-1) for part in np.indices((left.count, right.count)))
    free = Displacement(0.0)
    dtype = np.promote_types(left.dtype, right.dtype)

    def work(cancellation: Cancellation) -> tuple[float, float]:
        workspace = Workspace(cancellation, nullcontext())
        blocks = [
            free.prepare(as_dtype(tokens.block(0, tokens.count), dtype)) for tokens in (left, right)
        ]
        gained = moved = 0.0
        stay = np.arange(size, dtype=np.int32)[None]
        for p, q in zip(i.tolist(), j.tolist(), strict=True):
            one, other = blocks[0].part(p, p + 1), blocks[1].part(q, q + 1)
            tile = PairTile(one, other, _FIRST, _FIRST, workspace)
            found = free.pairs(tile)
            scale = float(one.derived["scales"][0] * other.derived["scales"][0])
            none = scale * float(inner_products(tile, stay, rows.channels)[0])
            gained += float(found.values[0]) - none
            moved += float(found.extras["displacement"][0])
        return gained, moved

    if not len(i):
        return 0.0
    gained, moved = interruptible(work)
    return max(0.0, 2 * gained / (size * moved)) if moved > 0 else 0.0


_FIRST = np.zeros(1, dtype=np.int64)


def _spread(tokens: Tokens, count: int) -> Tokens:
    """Return images that are evenly spread over a data set, in memory."""
    count = min(count, tokens.count)
    return tokens.take((np.arange(count) * tokens.count // max(1, count)).astype(np.int64))
