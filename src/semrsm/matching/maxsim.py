"""Every vector takes its best partner, and partners may be shared: late interaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tokens import PIECE, Block, Tokens
from .assignment import NotFiniteError
from .base import Matched, Matcher, PairTile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array


@dataclass(frozen=True)
class MaxSim(Matcher):
    """Every vector takes its best partner, and partners may be shared: no matching.

    The value is the mean of both directions, ½ (Σ_s max_t ⟨x_s, y_t⟩ + Σ_t max_s ⟨x_s, y_t⟩), and
    at least that of the optimal matching where S = T. It costs one matrix product. The squared norm
    of an image in the Gram is its value with itself, so that the cosine of an image with itself is
    1; the cosine of two images can exceed 1 if `unit` is False. It is what late interaction
    (ColBERT) computes, in both directions. The upper bound is the value: it is exact.

    Parameters
    ----------
    unit : bool, default False
        Whether every vector is first divided by its norm, so that a few long vectors do not decide.

    References
    ----------
    O. Khattab and M. Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized
    Late Interaction over BERT", SIGIR 2020.
    """

    unit: bool = False

    name = "maxsim"
    solves = False
    bounds = "own"
    searched_by = "values"

    @property
    def copies_blocks(self) -> bool:  # type: ignore[override]
        """Whether vectors are divided by their norms."""
        return self.unit

    @property
    def rescales(self) -> bool:  # type: ignore[override]
        """Whether vectors are divided by their norms."""
        return self.unit

    def prepare(self, block: Block) -> Block:
        """Divide the vectors by their norms if `unit`."""
        if not self.unit:
            return block
        squares = np.einsum("sc,sc->s", block.vectors, block.vectors, dtype=np.float64)
        norms = np.sqrt(squares).astype(block.vectors.dtype)[:, None]
        unit = np.divide(block.vectors, norms, out=np.zeros_like(block.vectors), where=norms > 0)
        return replace(block, vectors=unit)

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`; a matching gives each left vector its best partner."""
        affinity = tile.affinities()
        values = both_maxima(tile, affinity)[tile.left, tile.right]
        if not np.isfinite(values).all():
            raise NotFiniteError(int(np.isfinite(values).argmin()))
        kept = None
        if tile.keep_matchings:
            starts = tile.columns.starts
            kept = np.stack(
                [
                    affinity[tile.rows.starts[i] : tile.rows.starts[i + 1]][
                        :, starts[j] : starts[j + 1]
                    ].argmax(axis=1)
                    for i, j in zip(tile.left.tolist(), tile.right.tolist(), strict=True)
                ]
            ).astype(np.int32)
        return Matched(values, values.copy(), kept)

    def squared_norms(self, tokens: Tokens) -> NDArray[np.float64]:
        """Return the value of each image with itself, in float64; takes a pass over the images."""
        found = np.empty(tokens.count)
        for first, last in tokens.pieces(PIECE):
            block = tokens.block(first, last)
            for i in range(len(block)):
                one = self.prepare(replace(block.part(i, i + 1), vectors=_wide(block.image(i))))
                found[first + i] = (one.vectors @ one.vectors.T).max(axis=1).sum()
        return found if self.rescales else np.ldexp(found, 2 * tokens.exponents)


def both_maxima(tile: PairTile, affinity: Array) -> NDArray[np.float64]:
    """Return the mean of the sums of row maxima and of column maxima of all blocks of a tile."""
    rows, columns = tile.rows, tile.columns
    if len(set(rows.sizes.tolist())) == 1 and len(set(columns.sizes.tolist())) == 1:
        blocks = affinity.reshape(len(rows), int(rows.starts[1]), len(columns), -1)
        across = blocks.max(axis=3).sum(axis=1, dtype=np.float64)
        down = blocks.max(axis=1).sum(axis=2, dtype=np.float64)
        return np.asarray((across + down) / 2)
    # The best of each row in every image of the columns, added up over the images of the rows.
    across = np.maximum.reduceat(affinity, columns.starts[:-1], axis=1).astype(np.float64)
    down = np.maximum.reduceat(affinity, rows.starts[:-1], axis=0).astype(np.float64)
    total = np.add.reduceat(across, rows.starts[:-1], axis=0)
    return np.asarray((total + np.add.reduceat(down, columns.starts[:-1], axis=1)) / 2)


def _wide(image: Any) -> NDArray[np.float64]:
    return np.asarray(image, dtype=np.float64)
