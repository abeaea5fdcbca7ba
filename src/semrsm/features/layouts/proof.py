"""Proofs: the reading under which changes of the output lie where the input changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .candidates import readings
from .probe import SHARES, Box, Evidence, boxes
from .reading import Reading, places_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: A reading is proven where it beats every rival at this share of the places that tell them apart.
_MOST_PLACES = 0.65

#: The fewest places that can tell two readings apart.
_FEWEST_PLACES = 4

#: By how much it must be better at a place.
_MARGIN = 1.005

#: By how much every second cell must be better than the whole grid.
_CLEARLY = 1.5

#: The mean change at the right places against that everywhere: below this, there is no sign of any
#: place in the output.
_LEAST_LIFT = 1.05

#: Changes are local where the cells that change most change so much more than all of them, ...
_LOCAL = 4.0

#: ... lie elsewhere where those at the expected places change by less than this share of it, ...
_ELSEWHERE = 0.25

#: On smaller grids most cells are neighbours.
_TELLING = 6

#: ... at this share of the places.
_OFTEN = 0.3

#: Cells by which the places of a rival are moved. Strided convolutions alone are off by up to one
#: cell, and prefixes that are off by one are readings of their own.
_STEPS = ((0, 2), (0, -2), (2, 0), (-2, 0))


_EVERYWHERE = list(range(len(SHARES) ** 2))


@dataclass(frozen=True)
class Verdict:
    """What the evidence says about one layer.

    Attributes
    ----------
    proven : Reading or None
        The reading that beats all others.
    reason : str
        Why none does.
    """

    proven: Reading | None
    reason: str = ""


def judged(evidence: Evidence, size: Sequence[int]) -> Verdict:
    """Let all readings of a layer compete.

    Parameters
    ----------
    evidence : Evidence
    size : (int, int)
        Height and width of the input in pixels.

    Returns
    -------
    Verdict
        A reading is proven where the change at its places is larger than at those of each rival
        (another reading, or the same one off by one cell) at most of the changed places.
    """
    rivals = readings(evidence.shape, evidence.batch_axis, size)
    if not rivals:
        return Verdict(None, "its tokens make no grid in the proportions of the input")
    if {reading.grid for reading in rivals} == {(1, 1)}:
        return Verdict(None, "it has one place")
    scores = [_scores(reading, evidence, size) for reading in rivals]
    best = int(np.argmax([_standing(score) for score in scores]))
    for n, reading in enumerate(rivals):
        # Every second cell of a grid makes a grid too: of both, the whole one is meant, even where
        # the changes spread so far that the coarser one is a little better.
        if _is_part(rivals[best], reading) and not _wins(
            scores[best], scores[n], _EVERYWHERE, _CLEARLY
        ):
            best = n
    champion, own = rivals[best], scores[best]
    if own.mean() < _LEAST_LIFT:
        return Verdict(None, "a changed patch of the input changes all places alike")
    where = _expected(champion, evidence, size)
    for reading, score in zip(rivals, scores, strict=True):
        if _is_same(reading, champion) or _is_part(reading, champion):
            continue
        other = _expected(reading, evidence, size)
        apart = [
            n for n, (mine, theirs) in enumerate(zip(where, other, strict=True)) if mine != theirs
        ]
        if not _wins(own, score, apart):
            return Verdict(None, f"the changes fit {champion} no better than {reading}")
    assert champion.grid is not None
    for step in _STEPS:
        if all(side > 4 * abs(by) / 2 for side, by in zip(champion.grid, step, strict=True)):
            moved = _scores(champion, evidence, size, step)
            if not _wins(own, moved, _EVERYWHERE):
                return Verdict(None, "the changes lie two cells off as often as at their places")
    return Verdict(champion)


def is_elsewhere(reading: Reading, evidence: Evidence, size: Sequence[int]) -> bool:
    """Return whether changes are as local as a patch, and often not where a reading expects them.

    The most that any places could score is the mean of the largest changes of as many cells as the
    patch covers.
    """
    if reading.grid is None or min(reading.grid) < _TELLING:
        return False
    relative = _relative(reading, evidence)
    # Strided convolutions alone put a change into a cell beside its place.
    near = [_scores(reading, evidence, size, (y, x)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    own = np.max(near, axis=0)
    attained = np.empty(len(own))
    for place, box in enumerate(boxes(size)):
        cells = np.count_nonzero(_covered(box, reading.grid, size))
        largest = np.sort(relative[place])[-cells:]
        attained[place] = largest.mean() / max(relative[place].mean(), 1e-300)
    share = own / np.maximum(attained, 1e-300)
    return bool(np.median(attained) >= _LOCAL and np.quantile(share, _OFTEN) <= _ELSEWHERE)


def _wins(own: Array, other: Array, apart: list[int], margin: float = _MARGIN) -> bool:
    """Return whether one reading beats another at most of the places that tell them apart."""
    if len(apart) < _FEWEST_PLACES:
        return False
    better = np.count_nonzero(own[apart] > margin * other[apart])
    return bool(better >= _MOST_PLACES * len(apart))


def _is_same(a: Reading, b: Reading) -> bool:
    """Return whether two readings of one output give the same result."""
    if a == b:
        return True
    if a.is_map or (a.axes, a.prefix, a.suffix, a.grid) != (b.axes, b.prefix, b.suffix, b.grid):
        return False
    assert a.grid is not None
    return bool(np.array_equal(places_of(a.order, a.grid), places_of(b.order, a.grid)))


def _is_part(small: Reading, large: Reading) -> bool:
    """Return whether a reading takes some of the tokens of another, and puts them near there."""
    if small.is_map or large.is_map or small.axes != large.axes:
        return False
    assert small.grid is not None
    assert large.grid is not None
    if 2 * np.prod(small.grid) > np.prod(large.grid):
        return False
    where = []
    for reading, grid in ((small, small.grid), (large, large.grid)):
        tokens = reading.prefix + places_of(reading.order, grid)
        rows, columns = np.divmod(np.arange(len(tokens)), grid[1])
        centres = np.stack([(rows + 0.5) / grid[0], (columns + 0.5) / grid[1]], axis=1)
        where.append(dict(zip(tokens.tolist(), centres, strict=True)))
    if not where[0].keys() <= where[1].keys():
        return False
    apart = max(np.abs(at - where[1][token]).max() for token, at in where[0].items())
    return bool(apart <= 1 / min(small.grid))


def _standing(score: Array) -> float:
    """Return one number for the search of the champion: few places far off count little."""
    return float(np.log(np.maximum(score, 1e-12)).mean())


def _expected(reading: Reading, evidence: Evidence, size: Sequence[int]) -> list[frozenset[Any]]:
    """Return for each changed patch the entries of the output that should change with it."""
    assert reading.grid is not None
    height, width = reading.grid
    numbers = np.arange(height * width)
    if reading.is_map:
        axes = [axis for axis in reading.axes if axis in "HW"]
        cells = numbers.reshape([height if axis == "H" else width for axis in axes])
        numbers = (cells if axes == ["H", "W"] else cells.T).reshape(-1)
    else:
        numbers = reading.prefix + places_of(reading.order, reading.grid)
    kind = reading.channel_axis  # entries along other axes are other entries
    return [
        frozenset(
            (kind, int(n)) for n in numbers[_covered(box, reading.grid, size).reshape(-1) > 0]
        )
        for box in boxes(size)
    ]


def _scores(
    reading: Reading, evidence: Evidence, size: Sequence[int], step: tuple[int, int] = (0, 0)
) -> Array:
    """Return how much more than elsewhere the output changes where a reading expects it.

    Parameters
    ----------
    reading : Reading
        With a grid.
    evidence : Evidence
    size : (int, int)
        Height and width of the input in pixels.
    step : (int, int), default (0, 0)
        Cells by which the expected places are moved; those that leave the grid are lost.

    Returns
    -------
    ndarray, shape (P,)
        For each changed patch the change at the cells that it covers, relative to the mean over
        all cells of the grid.
    """
    assert reading.grid is not None
    relative = _relative(reading, evidence)
    weights = np.stack([_covered(box, reading.grid, size) for box in boxes(size)])
    for axis, by in enumerate(step, start=1):
        if by:  # what leaves the grid does not come back on the other side
            weights = np.roll(weights, by, axis=axis)
            edge = [slice(None)] * 3
            edge[axis] = slice(0, by) if by > 0 else slice(by, None)
            weights[tuple(edge)] = 0
    weights = weights.reshape(len(weights), -1)
    here = (weights * relative).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-300)
    found: Array = here / np.maximum(relative.mean(axis=1), 1e-300)
    return found


def _relative(reading: Reading, evidence: Evidence) -> Array:
    """Return the change of each cell for each changed patch, shape (P, H · W).

    Some tokens change much with everything: they count no more than the others.
    """
    assert reading.grid is not None
    values = evidence.changes[reading.channel_axis]
    if reading.is_map:
        if reading.axes.index("W") < reading.axes.index("H"):
            values = values.transpose(0, 2, 1)
        cells = values.reshape(len(values), -1)
    else:
        cells = values[:, reading.prefix + places_of(reading.order, reading.grid)]
    most = cells.max(axis=0)
    usual = cells.mean(axis=0) + (np.median(most[most > 0]) if (most > 0).any() else 0.0)
    relative: Array = np.divide(cells, usual, out=np.ones_like(cells), where=usual > 0)
    return relative


def _covered(box: Box, grid: tuple[int, int], size: Sequence[int]) -> Array:
    """Return the area of each cell that a patch covers, shape (H, W)."""
    sides = []
    for first, last, cells, pixels in (
        (box.top, box.bottom, grid[0], size[0]),
        (box.left, box.right, grid[1], size[1]),
    ):
        edges = np.linspace(0, pixels, cells + 1)
        sides.append(np.clip(np.minimum(edges[1:], last) - np.maximum(edges[:-1], first), 0, None))
    covered: Array = sides[0][:, None] * sides[1][None, :]
    return covered
