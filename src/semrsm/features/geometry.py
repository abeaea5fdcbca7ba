"""Which part of a photograph a preprocessing keeps, measured by running ramps through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .preprocess import INTERPOLATIONS, Preprocess

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, np.dtype[np.float64]]

#: Width and height of the photographs that a preprocessing is tried on: both orientations, odd
#: sizes, and nearly square.
PROBES = ((333, 201), (201, 333), (280, 257))

#: How far, in shares of the range of pixels and on average, a geometry may be off on a smooth
#: photograph; a cut of the wrong place or size is off by ten times that.
_TOLERANCE = 0.02


@dataclass(frozen=True)
class _View:
    """What a preprocessing makes of photographs of one size."""

    photo: tuple[int, int]  # height, width
    output: tuple[int, int]
    inside: tuple[int, int, int, int]  # first and last row and column that hold the photograph
    seen: tuple[float, float, float, float]  # top, bottom, left, right in shares of the photograph
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Pixels without photograph: above, below, left, right."""
        top, bottom, left, right = self.inside
        return top, self.output[0] - 1 - bottom, left, self.output[1] - 1 - right

    @property
    def box(self) -> tuple[float, float]:
        """Height and width of the whole photograph after resizing, in pixels."""
        top, bottom, left, right = self.seen
        rows = self.inside[1] - self.inside[0] + 1
        columns = self.inside[3] - self.inside[2] + 1
        return rows / (bottom - top), columns / (right - left)


def measured_geometry(run: Callable[[Image], Any]) -> Preprocess | None:
    """Return the resizing, cut, padding and normalisation that a preprocessing does, as measured.

    Black and white photographs tell the normalisation and the padding, ramps of x and y the place
    of each pixel. The result is accepted where it reproduces the preprocessing of three smooth
    photographs.

    Parameters
    ----------
    run : callable
        From a PIL image to an array (C, H, W).

    Returns
    -------
    Preprocess or None
        None where no resizing, central cut and padding explains the output: tiles, rotations,
        scales that depend on the content.
    """
    views = [_view(run, width, height) for width, height in PROBES]
    found = [view for view in views if view is not None]
    channels = _channels(run)
    if len(found) < len(PROBES) or channels is None:
        return None
    return _closest(run, _candidates(found, channels))


def _view(run: Callable[[Image], Any], width: int, height: int) -> _View | None:
    from PIL import Image

    def through(shares: Array) -> Array:
        levels = np.broadcast_to(np.round(255 * shares), (height, width)).astype(np.uint8)
        return np.asarray(run(Image.fromarray(levels).convert("RGB")), dtype=np.float64)

    black, white = through(np.zeros((1, 1))), through(np.ones((1, 1)))
    span = white - black
    largest = np.abs(span).max(axis=(1, 2), keepdims=True)
    if not np.isfinite(span).all() or not largest.min() > 0:
        return None
    holds = (np.abs(span) > largest / 2).all(axis=0)
    rows, columns = np.flatnonzero(holds.any(axis=1)), np.flatnonzero(holds.any(axis=0))
    inside = (int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1]))
    box = np.s_[:, inside[0] : inside[1] + 1, inside[2] : inside[3] + 1]
    if not holds[box[1:]].all() or not _constant(span[box]):
        return None
    steps = np.median(span[box], axis=(1, 2))
    zeros = np.median(black[box], axis=(1, 2))
    down = through((np.arange(height)[:, None] + 0.5) / height)
    right = through((np.arange(width)[None, :] + 0.5) / width)
    place = [((each - black)[box] / span[box]).mean(axis=0) for each in (down, right)]
    vertical, horizontal = _line(place[0], 0), _line(place[1], 1)
    if vertical is None or horizontal is None:
        return None
    return _View(
        (height, width),
        (span.shape[1], span.shape[2]),
        inside,
        (*vertical, *horizontal),
        tuple(float(v) for v in -255 * zeros / steps),
        tuple(float(v) for v in 255 / steps),
    )


def _constant(span: Array) -> bool:
    middle = np.median(span, axis=(1, 2), keepdims=True)
    # Filters mix the photograph with padding at its edges.
    return bool((np.abs(span - middle) < 0.05 * np.abs(middle)).mean() > 0.9)


def _line(place: Array, axis: int) -> tuple[float, float] | None:
    """Return the shares at both edges of an output whose coordinate rises along one axis alone."""
    along = place if axis == 0 else place.T
    count = len(along)
    edge = count // 8  # filters bend ramps at the edges of a photograph
    inner = along[edge : count - edge]
    at = np.arange(edge, count - edge)
    if len(at) < 3:
        return None
    slope, start = np.polyfit(at, inner.mean(axis=1), 1)
    middle = inner[:, along.shape[1] // 8 : along.shape[1] - along.shape[1] // 8]
    if slope <= 0 or np.abs(middle - (start + slope * at)[:, None]).max() > 0.02:
        return None
    return float(start - slope / 2), float(start + slope * (count - 0.5))


def _channels(run: Callable[[Image], Any]) -> str | None:
    """Return the order of the channels, from a photograph that is red on black."""
    from PIL import Image

    black, red = (
        np.asarray(run(Image.new("RGB", (240, 240), (level, 0, 0))), dtype=np.float64)
        for level in (0, 255)
    )
    if len(black) == 1:
        return "gray"
    answers = np.abs(red - black).max(axis=(1, 2)) > 0
    return {(True, False, False): "rgb", (False, False, True): "bgr"}.get(
        (bool(answers[0]), bool(answers[1]), bool(answers[2]))
    )


def _candidates(views: list[_View], channels: str) -> list[Preprocess]:
    """Return the geometries that fit the views: one, and its neighbours where a cut is rounded."""
    size = views[0].output
    mean, std = views[0].mean, views[0].std

    def made(fit: str, resize: tuple[int, int]) -> Preprocess:
        resize = (max(1, resize[0]), max(1, resize[1]))
        return Preprocess(size, resize, mean, std, fit=fit, channels=channels)

    if any(max(view.padding) > 0 for view in views):
        return [made("pad", size), made("letterbox", size)]
    boxes, seen = np.array([view.box for view in views]), np.array([view.seen for view in views])
    rows, columns = (int(n) for n in np.round(boxes.min(axis=0)))
    # Stretching keeps the same share of every photograph.
    fit = "stretch" if np.ptp(seen, axis=0).max() < 0.02 else "crop"
    if (rows, columns) == size:
        return [made(fit, size)]
    square = size[0] == size[1] and abs(rows - columns) <= 1
    near = (-1, 0, 1)
    resized = [
        (rows + n, (rows if square else columns) + (n if square else m))
        for n in near
        for m in (near if not square else (0,))
    ]
    return [made(fit, each) for each in resized]


def _closest(run: Callable[[Image], Any], candidates: list[Preprocess]) -> Preprocess | None:
    """Return the candidate, with the filter, that reproduces the preprocessing; None if none."""
    from PIL import Image

    random = np.random.default_rng(0)
    photos = [
        Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(probe, 3)
        for probe in PROBES
    ]
    expected = [np.asarray(run(photo), dtype=np.float64) for photo in photos]
    scale = 255 / np.abs(np.array(candidates[0].std))[:, None, None]

    def error(candidate: Preprocess, count: int) -> float:
        pairs = zip(photos[:count], expected, strict=False)
        return max(float((np.abs(candidate(p) - e) / scale).mean()) for p, e in pairs)

    best = min(candidates, key=lambda each: error(each, 2))
    filters = [replace(best, interpolation=name) for name in INTERPOLATIONS]
    best = min(filters, key=lambda each: error(each, 1))
    return best if error(best, len(PROBES)) < _TOLERANCE else None
