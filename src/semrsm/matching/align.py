"""One translation and one scale for a pair: the cosine over the overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import is_real_number
from ..errors import InputError
from ..tokens import Block
from .assignment import NotFiniteError
from .base import Matched, Matcher, PairTile
from .grids import grid_of
from .overlaps import Overlaps, overlaps_of, padded_grid, scaled_grid, shrinking
from .shift import PAIR_BYTES, TRANSFORM_ROUNDING, spectra_side, squares_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


#: A placement whose cosine could be off by more than this is computed in float64.
COARSE = 1e-3


@dataclass(frozen=True)
class Align(Matcher):
    """One translation and one scale for all vectors of a pair, the cosine taken over the overlap.

    One of the two images is laid over the other, as it is or shrunk by one of the `scales`, at
    every place where enough of it lies inside. Similarity c is the largest inner product over the
    overlap, divided by the norms of both images over the overlap. The Gram holds c ‖X‖ ‖Y‖, so that
    the cosine kernel gives c.

    It can exceed the optimal matching, which must match everything, so it is not a rung of the
    ladder; and d² is not a metric. The upper bound is that of the best placement.

    Parameters
    ----------
    overlap : float, default 0.5
        The least share of the smaller image that must lie inside the other. Below one half, a
        single quadrant passes for a match.
    scales : tuple of float, default (1, 0.79, 0.63, 0.5)
        The scales that are tried, for either image: 1 and smaller ones. In labels
        ``scales=1+0.5``.

    Notes
    -----
    Products over all placements come from transforms of the images, padded with zeros; every image
    is transformed once for each scale. Images are shrunk by averaging areas. At the best placement
    c is computed again in float64.
    """

    overlap: float = 0.5
    scales: tuple[float, ...] = (1.0, 0.79, 0.63, 0.5)

    name = "align"
    solves = False
    bounds = "own"
    needs_equal_sizes = True
    needs_positions = True

    def __post_init__(self) -> None:
        if not (is_real_number(self.overlap) and 0 < float(self.overlap) <= 1):
            raise InputError(f"overlap: expected a number in (0, 1]; got {self.overlap!r}")
        given: Any = self.scales
        given = (given,) if is_real_number(given) else given
        if (
            not isinstance(given, (tuple, list))
            or not all(is_real_number(one) and 0 < float(one) <= 1 for one in given)
            or 1.0 not in given
            or len(set(given)) < len(given)
        ):
            raise InputError(
                f"scales: expected distinct numbers in (0, 1], 1 among them; got {self.scales!r}"
            )
        object.__setattr__(self, "overlap", float(self.overlap))
        object.__setattr__(self, "scales", tuple(sorted((float(s) for s in given), reverse=True)))

    def prepare(self, block: Block) -> Block:
        """Add for each scale the shrunk image, its spectrum and the sums of its squares."""
        grid = grid_of(block)
        padded = padded_grid(grid, self.overlap)
        frequencies = padded[0] * (padded[1] // 2 + 1)
        vectors, count = block.vectors, len(block)
        dtype = np.result_type(vectors.dtype, np.complex64)
        derived: dict[str, NDArray[Any]] = dict(block.derived)
        for k, scale in enumerate(self.scales):
            height, width = scaled_grid(grid, scale)
            spectra = np.empty((count, frequencies, vectors.shape[1]), dtype=dtype)
            sums = np.zeros((count, height + 1, width + 1))
            shrunk = np.empty((count, height, width, vectors.shape[1]), dtype=vectors.dtype)
            down, across = shrinking(grid[0], height), shrinking(grid[1], width)
            for i in range(count):
                image = block.image(i).reshape(*grid, -1)
                if k:
                    image = np.einsum("ha,abc->hbc", down, image, optimize=True)
                    image = np.einsum("wb,hbc->hwc", across, image, optimize=True)
                shrunk[i] = image
                squares = np.einsum("hwc,hwc->hw", shrunk[i], shrunk[i], dtype=np.float64)
                sums[i, 1:, 1:] = squares.cumsum(0).cumsum(1)
                spectra[i] = np.fft.rfft2(shrunk[i], s=padded, axes=(0, 1)).reshape(frequencies, -1)
            derived[f"spectra {k}"], derived[f"sums {k}"] = spectra, sums
            derived[f"image {k}"] = shrunk
        return replace(block, derived=derived)

    def prepared_bytes(self, size: int, channels: int, item: int) -> int:
        """Return the bytes of the spectra and of the shrunk images, at most."""
        # The padded sides are at most 2 (1 − overlap / 2) times as long, and then rounded up.
        padded = size * (2 - self.overlap) ** 2 * 1.3 + 4 * size**0.5 + 4
        spectra = (padded / 2 + padded**0.5 + (size if size < 64 else 0)) * channels * 2 * item
        return int(len(self.scales) * (spectra + size * (channels * item + 8) + 16 * size**0.5))

    def tile_side(self, size: int, channels: int) -> int:
        """Return how many spectra, and correlations of pairs, fit into a few megabytes."""
        return spectra_side(2 * size * channels * 8, (4 * size + 16) * PAIR_BYTES)

    def tile_bytes(
        self, images: tuple[int, int], sizes: tuple[int, int], channels: int, item: int
    ) -> int:
        """Return the bytes of the products of a tile, in two orders, and of their transforms."""
        return images[0] * images[1] * (4 * sizes[0] + 16) * PAIR_BYTES * 2

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`; a matching gives the nearest place of the other image."""
        grid = grid_of(tile.rows)
        roles = [(0, 0)]
        roles += [role for k in range(1, len(self.scales)) for role in ((k, 0), (0, k))]
        norms = np.sqrt(squares_of(tile.rows)[tile.left] * squares_of(tile.columns)[tile.right])
        best = np.full(len(tile), -np.inf)
        highest = np.full(len(tile), -np.inf)
        which = np.zeros(len(tile), dtype=np.int64)
        place = np.zeros(len(tile), dtype=np.int64)
        for n, role in enumerate(roles):
            cosines, bounds = self._cosines(tile, grid, role)
            at = cosines.argmax(axis=1)
            value = np.take_along_axis(cosines, at[:, None], axis=1)[:, 0]
            highest = np.maximum(highest, bounds)
            better = value > best
            best[better], place[better], which[better] = value[better], at[better], n
        if not np.isfinite(best).all():
            raise NotFiniteError(int(np.isfinite(best).argmin()))
        values = np.empty(len(tile))
        frames = np.empty((len(tile), 4))
        kept = np.empty((len(tile), grid[0] * grid[1]), dtype=np.int32)
        for p in range(len(tile)):
            role = roles[which[p]]
            overlaps = _overlaps(grid, self.scales, role, self.overlap)
            values[p] = _again(tile, p, role, overlaps, int(place[p]))
            if tile.keep_matchings:
                frames[p] = overlaps.frame(int(place[p]), grid)
                kept[p] = met_places(grid, frames[p])
        upper = np.maximum(highest, values) * norms
        if not tile.keep_matchings:
            return Matched(values * norms, upper)
        extras = {
            "shift": frames[:, :2],
            "scale": frames[:, 2] / grid[0],
            "frame": frames,
            "cosine": values,
        }
        return Matched(values * norms, upper, kept, extras)

    def _cosines(
        self, tile: PairTile, grid: tuple[int, int], role: tuple[int, int]
    ) -> tuple[Array, Array]:
        """Return the cosine of each pair at every placement, and the bound on the largest."""
        overlaps = _overlaps(grid, self.scales, role, self.overlap)
        padded = padded_grid(grid, self.overlap)
        left = tile.rows.derived[f"spectra {role[0]}"]
        right = tile.columns.derived[f"spectra {role[1]}"]
        products = np.matmul(left.conj().swapaxes(0, 1), right.transpose(1, 2, 0))
        chosen = products[:, tile.left, tile.right].T.reshape(len(tile), padded[0], -1)
        found = np.fft.irfft2(chosen, s=padded, axes=(1, 2)).reshape(len(tile), -1)
        inner = found[:, overlaps.cyclic(padded)].astype(np.float64)
        sums = tile.rows.derived[f"sums {role[0]}"], tile.columns.derived[f"sums {role[1]}"]
        sizes = np.sqrt(
            overlaps.row_squares(sums[0])[tile.left] * overlaps.column_squares(sums[1])[tile.right]
        )
        # As for a cyclic shift: the rounding of the transforms, of the product, of the inverse.
        eps = float(np.finfo(tile.rows.vectors.dtype).eps)
        one = TRANSFORM_ROUNDING * max(1.0, np.log2(padded[0] * padded[1]))
        whole = np.sqrt(sums[0][tile.left, -1, -1] * sums[1][tile.right, -1, -1])
        spread = np.sqrt(np.einsum("pt,pt->p", found, found, dtype=np.float64))
        channels = tile.rows.vectors.shape[1]
        rounding = eps * ((2 * one + channels + 8) * whole + one * spread)
        cosines, bounds = np.zeros_like(inner), np.zeros_like(inner)
        np.divide(inner, sizes, out=cosines, where=sizes > 0)
        np.divide(inner + rounding[:, None], sizes, out=bounds, where=sizes > 0)
        # Where hardly anything lies in the overlap, rounding would decide: these are computed anew.
        for p, place in np.argwhere((sizes > 0) & (rounding[:, None] > COARSE * sizes)).tolist():
            cosines[p, place] = bounds[p, place] = _again(tile, p, role, overlaps, place)
        return cosines, bounds.max(axis=1)


@lru_cache(maxsize=256)
def _overlaps(
    grid: tuple[int, int], scales: tuple[float, ...], role: tuple[int, int], least: float
) -> Overlaps:
    left, right = (scaled_grid(grid, scales[k]) for k in role)
    return overlaps_of(left, right, least)


def _again(tile: PairTile, p: int, role: tuple[int, int], overlaps: Overlaps, place: int) -> float:
    """Return the cosine of one pair at one placement, in float64."""
    rows, columns = overlaps.slices(place)
    left = tile.rows.derived[f"image {role[0]}"][int(tile.left[p])][rows]
    right = tile.columns.derived[f"image {role[1]}"][int(tile.right[p])][columns]
    size = np.sqrt(
        np.einsum("hwc,hwc->", left, left, dtype=np.float64)
        * np.einsum("hwc,hwc->", right, right, dtype=np.float64)
    )
    inner = float(np.einsum("hwc,hwc->", left, right, dtype=np.float64))
    return inner / float(size) if size > 0 else 0.0


def met_places(grid: tuple[int, int], frame: Array) -> NDArray[np.int32]:
    """Return the place of the other image nearest to each place of an image in a frame; or −1."""
    height, width = grid
    top, left, frame_height, frame_width = frame
    rows = np.floor(top + (np.arange(height) + 0.5) * frame_height / height).astype(np.int64)
    columns = np.floor(left + (np.arange(width) + 0.5) * frame_width / width).astype(np.int64)
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    met = np.where(inside, rows[:, None] * width + columns, -1)
    return np.asarray(met.reshape(-1), dtype=np.int32)
