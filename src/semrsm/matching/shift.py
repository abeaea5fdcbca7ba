"""One cyclic translation for a pair, found by Fourier transforms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..tokens import Block, Tokens
from .assignment import NotFiniteError
from .base import Matched, Matcher, PairTile, clipped_side
from .grids import grid_of, wrapped
from .recompute import inner_products

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The rounding of a transform of S values is below this times ε log₂ S, in the 2-norm; for S with
#: large prime factors too.
TRANSFORM_ROUNDING = 8.0

#: Bytes of the spectra of the images on one side of a tile.
SPECTRA_BYTES = 2 << 20


#: Bytes for each place of each pair: products in two orders, correlations and their transforms.
PAIR_BYTES = 48


def spectra_side(image: int, pair: int) -> int:
    """Return a side for tiles with so many bytes for each image and for each pair."""
    return clipped_side(min(SPECTRA_BYTES / image, (SPECTRA_BYTES / pair) ** 0.5))


@dataclass(frozen=True)
class Variant:
    """The other image, turned or mirrored: y'(a, b) = y(±a, ±b), or y(±b, ±a), cyclically."""

    down: int = 1
    across: int = 1
    transposed: bool = False


@dataclass(frozen=True)
class Shift(Matcher):
    """One cyclic translation for all vectors of a pair: the one of largest inner product.

    A rung of the ladder none ≤ shift ≤ shift with flips and quarter turns ≤ optimal. With it,
    ‖X‖² + ‖Y‖² − 2V is a squared pseudometric. It costs a small part of a matching: every image is
    transformed once, and a pair takes one product over the frequencies. V is computed again in
    float64 at the best shift. The upper bound is the largest value of the transform plus its
    rounding.

    Parameters
    ----------
    flips : bool, default False
        Whether the other image may also be mirrored up–down and left–right.
    quarter_turns : bool, default False
        Whether it may also be turned by 90°, 180° and 270°; the grid must be square. With `flips`,
        these are the eight symmetries of the square (D4).

    Notes
    -----
    V(τ) = Σ_s ⟨x_s, y_(s+τ)⟩ for all τ at once is the inverse transform of Σ_c conj(X̂_c) Ŷ_c.
    A transform of n values is rounded by a multiple of ε log₂ n in the 2-norm [1]_.

    References
    ----------
    .. [1] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., theorem 24.2.
    """

    flips: bool = False
    quarter_turns: bool = False

    name = "shift"
    solves = False
    costs_one_pass = True
    bounds = "own"
    needs_equal_sizes = True
    needs_positions = True

    def __post_init__(self) -> None:
        for option in ("flips", "quarter_turns"):
            if not isinstance(getattr(self, option), (bool, np.bool_)):
                raise InputError(f"{option}: expected True or False; got {getattr(self, option)!r}")

    @property
    def variants(self) -> list[Variant]:
        """The forms of the other image that are compared."""
        found = [Variant()]
        if self.flips:
            found += [Variant(-1, 1), Variant(1, -1), Variant(-1, -1)]
        elif self.quarter_turns:
            found += [Variant(-1, -1)]
        if self.quarter_turns:
            # The transpositions that turn have one sign changed; the others mirror.
            found += [Variant(-1, 1, True), Variant(1, -1, True)]
            if self.flips:
                found += [Variant(1, 1, True), Variant(-1, -1, True)]
        return found

    def refusal(self, tokens: Tokens) -> str | None:
        """See :meth:`Matcher.refusal`: quarter turns exchange height and width."""
        grid = tokens.grid
        if not self.quarter_turns or grid is None or grid[0] == grid[1]:
            return None
        return f"expects a square grid, since quarter turns exchange its sides; got {grid}"

    def prepare(self, block: Block) -> Block:
        """Add the spectrum of each image: (n, frequencies, C)."""
        grid = grid_of(block)
        vectors = block.vectors
        dtype = np.result_type(vectors.dtype, np.complex64)
        height, half = grid[0], grid[1] // 2 + 1
        spectra = np.empty((len(block), height * half, vectors.shape[1]), dtype=dtype)
        for i in range(len(block)):
            image = block.image(i).reshape(*grid, -1)
            spectra[i] = np.fft.rfft2(image, axes=(0, 1)).reshape(height * half, -1)
        return replace(block, derived={**block.derived, "spectra": spectra})

    def prepared_bytes(self, size: int, channels: int, item: int) -> int:
        """Return the bytes of a spectrum: about those of the image (see :meth:`Matcher`)."""
        # H (W // 2 + 1) frequencies, at most S where W = 1; and one transform in double precision.
        return (size // 2 + size) * channels * 2 * item

    def tile_side(self, size: int, channels: int) -> int:
        """Return how many spectra, and correlations of pairs, fit into a few megabytes."""
        return spectra_side(size * channels * 8, size * PAIR_BYTES)

    def tile_bytes(
        self, images: tuple[int, int], sizes: tuple[int, int], channels: int, item: int
    ) -> int:
        """Return the bytes of the products of a tile, in two orders, and of their transforms."""
        pairs = images[0] * images[1]
        spectra = images[1] * sizes[1] * channels * 2 * item
        return pairs * sizes[0] * PAIR_BYTES + spectra

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`."""
        grid = grid_of(tile.rows)
        size, channels = grid[0] * grid[1], tile.rows.vectors.shape[1]
        variants = self.variants
        highest = np.full(len(tile), -np.inf)
        spread = np.zeros(len(tile))
        place = np.zeros(len(tile), dtype=np.int64)
        which = np.zeros(len(tile), dtype=np.int64)
        for n, variant in enumerate(variants):
            found = correlations(tile, variant)
            best = found.argmax(axis=1)
            value = np.take_along_axis(found, best[:, None], axis=1)[:, 0]
            spread = np.maximum(spread, np.einsum("pt,pt->p", found, found, dtype=np.float64))
            better = value > highest
            highest[better], place[better], which[better] = value[better], best[better], n
        if not np.isfinite(highest).all():
            raise NotFiniteError(int(np.isfinite(highest).argmin()))
        matchings = np.empty((len(tile), size), dtype=np.int32)
        for n in np.unique(which):
            chosen = which == n
            matchings[chosen] = cyclic_matchings(grid, variants[n], place[chosen])
        values = inner_products(tile, matchings, channels)
        eps = float(np.finfo(tile.rows.vectors.dtype).eps)
        one = TRANSFORM_ROUNDING * max(1.0, np.log2(size))
        norms = np.sqrt(squares_of(tile.rows)[tile.left] * squares_of(tile.columns)[tile.right])
        rounding = eps * ((2 * one + channels + 8) * norms + one * np.sqrt(spread))
        bounds = np.maximum(highest + rounding, values)
        extras: dict[str, NDArray[Any]] = {}
        if tile.keep_matchings:
            extras = _described(grid, [variants[n] for n in which], place)
        return Matched(values, bounds, matchings if tile.keep_matchings else None, extras)


def squares_of(block: Block) -> NDArray[np.float64]:
    """Return the squared norms of the images of a block of one S, shape (n,)."""
    images = block.vectors.reshape(len(block), -1)
    return np.asarray(np.einsum("nk,nk->n", images, images, dtype=np.float64))


def correlations(tile: PairTile, variant: Variant) -> NDArray[Any]:
    """Return Σ_s ⟨x_s, y'_(s+τ)⟩ of every pair for all τ, shape (P, S)."""
    grid = grid_of(tile.rows)
    left, right = tile.rows.derived["spectra"], tile.columns.derived["spectra"]
    if variant != Variant():
        index, mirrored = _frequencies(grid, variant)
        right = right[:, index]
        right[:, mirrored] = right[:, mirrored].conj()
    # One product for each frequency: (n, C) conj times (C, m).
    products = np.matmul(left.conj().swapaxes(0, 1), right.transpose(1, 2, 0))
    chosen = products[:, tile.left, tile.right].T.reshape(len(tile), grid[0], -1)
    found = np.fft.irfft2(chosen, s=grid, axes=(1, 2))
    return np.asarray(found.reshape(len(tile), -1))


@lru_cache(maxsize=64)
def _frequencies(
    grid: tuple[int, int], variant: Variant
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where a variant's spectrum lies in the half spectrum, and where it is conjugated.

    The transform of y(±a, ±b) is ŷ(±f, ±g), that of a transposed image ŷ with f and g exchanged;
    ŷ(−f, −g) is the conjugate of ŷ(f, g).
    """
    height, width = grid
    half = width // 2 + 1
    down, across = np.indices((height, half))
    if variant.transposed:  # y'(a, b) = y(±b, ±a)
        down, across = variant.down * across, variant.across * down
    else:
        down, across = variant.down * down, variant.across * across
    down, across = down % height, across % width
    mirrored = across >= half
    down = np.where(mirrored, -down % height, down)
    across = np.where(mirrored, -across % width, across)
    return (down * half + across).reshape(-1), mirrored.reshape(-1)


def cyclic_matchings(
    grid: tuple[int, int], variant: Variant, shifts: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Return the place of y that meets each place of x under shifts τ (flat, cyclic), (P, S)."""
    height, width = grid
    down, across = (part.reshape(-1) for part in np.indices(grid))
    rows = (down + (shifts // width)[:, None]) % height
    columns = (across + (shifts % width)[:, None]) % width
    if variant.transposed:
        rows, columns = variant.down * columns, variant.across * rows
    else:
        rows, columns = variant.down * rows, variant.across * columns
    return np.asarray((rows % height) * width + columns % width, dtype=np.int32)


def _described(
    grid: tuple[int, int], variants: list[Variant], places: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Return the shifts in cells, (P, 2), and how the other image was turned and mirrored.

    The other image is first mirrored up–down if so, then turned by quarters counter-clockwise
    (:func:`numpy.rot90`), and then read `shift` cells further down and to the right.
    """
    shifts, flipped, turns = [], [], []
    identity = np.arange(grid[0] * grid[1]).reshape(grid)
    for variant, place in zip(variants, places.tolist(), strict=True):
        met = cyclic_matchings(grid, variant, np.array([place])).reshape(grid)
        flip, turn, shift = _explained(met, identity)
        flipped.append(flip)
        turns.append(turn)
        shifts.append(shift)
    return {
        "shift": wrapped(np.array(shifts, dtype=np.int64), np.array(grid)),
        "flipped": np.array(flipped),
        "quarter_turns": np.array(turns),
    }


def _explained(
    met: NDArray[np.int32], identity: NDArray[np.int64]
) -> tuple[bool, int, tuple[int, int]]:
    """Find the flip, quarter turns and shift that give the places that are met."""
    height, width = met.shape
    for flip in (False, True):
        for turn in range(4):
            turned = np.rot90(identity[::-1] if flip else identity, turn)
            if turned.shape != met.shape:
                continue
            [at] = np.argwhere(turned == met[0, 0])
            if (np.roll(turned, tuple(-at), axis=(0, 1)) == met).all():
                return flip, turn, (int(at[0]) % height, int(at[1]) % width)
    raise ValueError("not a symmetry of the grid")
