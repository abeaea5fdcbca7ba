"""A small picture of an RSM for notebooks, drawn without any library, and the colours."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ...matching.registry import BASELINE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...matrices.rsm import RSM

#: Dark to light: eleven colours of the map "viridis", between which is interpolated.
COLOURS = (
    "#440154",
    "#482475",
    "#414487",
    "#355f8d",
    "#2a788e",
    "#21918c",
    "#22a884",
    "#44bf70",
    "#7ad151",
    "#bddf26",
    "#fde725",
)

_SIDE = 240


def heat_png(values: NDArray[np.float64], side: int = _SIDE) -> bytes:
    """Draw a matrix in colours from its lowest to its highest value, as a PNG file.

    Parameters
    ----------
    values : ndarray, shape (N, M)
        Finite values.
    side : int
        The approximate number of pixels of the longer side: cells are whole pixels, and those of
        large matrices are means of their neighbours.

    Returns
    -------
    bytes
    """
    shown = values
    for axis in (0, 1):
        if shown.shape[axis] > side:
            edges = np.linspace(0, shown.shape[axis], side + 1).astype(int)
            counts = np.diff(edges)
            sums = np.add.reduceat(shown, edges[:-1], axis=axis)
            shown = sums / (counts[:, None] if axis == 0 else counts)
    cell = max(1, side // max(shown.shape))
    low, high = float(shown.min()), float(shown.max())
    scaled = (shown - low) / (high - low) if high > low else np.zeros_like(shown)
    anchors = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in COLOURS], dtype=float)
    place = scaled * (len(anchors) - 1)
    below = np.minimum(place.astype(int), len(anchors) - 2)
    part = (place - below)[..., None]
    pixels = np.rint(anchors[below] * (1 - part) + anchors[below + 1] * part).astype(np.uint8)
    return _png(pixels.repeat(cell, axis=0).repeat(cell, axis=1))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an RGB image, shape (H, W, 3), as a PNG file."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each begins with "no filter"
    lines[:, 1:] = pixels.reshape(height, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def rsm_html(rsm: RSM) -> str:
    """Return the HTML of an RSM for notebooks: a picture and the facts, without any script."""
    rows, columns = rsm.values.shape
    facts: list[tuple[str, Any]] = [
        ("images", f"{rows} × {columns}"),
        ("RSM", "spatio-semantic" if rsm.matcher == BASELINE else f"semantic ({rsm.matcher})"),
        ("kernel", rsm.kernel),
    ]
    if rsm.sigma is not None:
        facts.append(("σ", f"{rsm.sigma:.4g}"))
    picture = ""
    if rsm.values.size and np.isfinite(rsm.values).all():
        off = rsm.values
        if rsm.is_symmetric and rows > 1:
            off = off[np.triu_indices(rows, k=1)]
        facts.append(("lowest", f"{off.min():.4g}"))
        facts.append(("median", f"{np.median(off):.4g}"))
        facts.append(("highest", f"{off.max():.4g}"))
        data = base64.b64encode(heat_png(rsm.values)).decode("ascii")
        picture = (
            f'<img src="data:image/png;base64,{data}" alt="Heat map of the RSM, dark to light from '
            f'{rsm.values.min():.4g} to {rsm.values.max():.4g}" style="image-rendering: pixelated">'
        )
    cells = "".join(
        f'<tr><th style="text-align: left">{name}</th>'
        f'<td style="text-align: left">{html.escape(str(value))}</td></tr>'
        for name, value in facts
    )
    return (
        '<div style="display: flex; gap: 1.5em; align-items: flex-start; flex-wrap: wrap">'
        f"{picture}<table><tbody>{cells}</tbody></table></div>"
    )
