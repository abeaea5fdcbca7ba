"""The norms of concept vectors: blocks sorted by them, and the bound that they give."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..tokens import Block
from .base import PairTile

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sorted_by_norm(block: Block) -> Block:
    """Sort the vectors of each image by descending norm (ties by position)."""
    norms, order = norms_of(block)
    return replace(
        block,
        vectors=block.vectors[order],
        order=order - np.repeat(block.starts[:-1], block.sizes),
        norms=padded_norms(norms[order], block),
    )


def norms_of(block: Block) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the norm of each vector, and the order that sorts each image by descending norm."""
    norms = np.sqrt(np.einsum("sc,sc->s", block.vectors, block.vectors, dtype=np.float64))
    image = np.repeat(np.arange(len(block)), block.sizes)
    return norms, np.lexsort((-norms, image))


def padded_norms(norms: NDArray[np.float64], block: Block) -> NDArray[np.float64]:
    """Return the norms of each image in a row of its own, padded with zeros."""
    sizes = block.sizes
    padded = np.zeros((len(block), int(sizes.max())))
    padded[np.arange(padded.shape[1]) < sizes[:, None]] = norms
    return padded


def norm_bounds(tile: PairTile) -> NDArray[np.float64]:
    """Σ_k ‖x‖₍ₖ₎ ‖y‖₍ₖ₎ over the norms in descending order: an upper bound on every matching.

    By Cauchy–Schwarz ⟨x, y⟩ ≤ ‖x‖ ‖y‖, and by the rearrangement inequality no pairing of the norms
    has a larger sum of products than the sorted one. Where S ≠ T the smaller set is padded with
    zeros, so that only the largest norms of the other count.
    """
    norms, others = tile.rows.norms, tile.columns.norms
    if norms is None or others is None:
        raise ValueError("the blocks are not prepared")
    width = min(norms.shape[1], others.shape[1])
    every: NDArray[np.float64] = norms[:, :width] @ others[:, :width].T
    bounds: NDArray[np.float64] = every[tile.left, tile.right]
    return bounds
