"""How the output of a layer is read: axes, tokens that stand for no place, order, grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Axes of maps: N images, C channels, H rows, W columns.
MAPS = ("NCHW", "NHWC", "NCWH", "NWHC")

#: Axes of tokens: N images, T tokens, C channels.
TOKENS = ("NTC", "NCT", "TNC")


@dataclass(frozen=True)
class Reading:
    """How the output of a layer becomes feature maps (N, C, H, W) or tokens (N, T, D) by rows.

    Attributes
    ----------
    axes : str
        The axes in their order, one of :data:`MAPS` or :data:`TOKENS`.
    prefix, suffix : int
        Tokens before and after those of the patches (class, register, detection tokens).
    order : str
        ``"rows"``; ``"columns"``; ``"windows:HxW"``, window by window; or ``"units:K"``, K times
        split into the four corners of 2 × 2 cells.
    grid : (int, int) or None
        Height and width of the grid; None for tokens that make none.
    """

    axes: str
    prefix: int = 0
    suffix: int = 0
    order: str = "rows"
    grid: tuple[int, int] | None = None

    @property
    def is_map(self) -> bool:
        """Whether the output has four axes."""
        return self.axes in MAPS

    @property
    def batch_axis(self) -> int:
        """The axis of the images."""
        return self.axes.index("N")

    @property
    def channel_axis(self) -> int:
        """The axis of the channels."""
        return self.axes.index("C")

    def apply(self, tensor: Any) -> Any:
        """Return the maps or tokens in an output; a view unless tokens are put in order.

        Parameters
        ----------
        tensor : torch.Tensor or ndarray
            With these axes.
        """
        if self.is_map:
            return _permuted(tensor, [self.axes.index(axis) for axis in "NCHW"])
        tokens = _permuted(tensor, [self.axes.index(axis) for axis in "NTC"])
        tokens = tokens[:, self.prefix : tokens.shape[1] - self.suffix]
        if self.grid is None or self.order == "rows":
            return tokens
        return tokens[:, places_of(self.order, self.grid)]

    def contradicts(self, other: Reading) -> bool:
        """Return whether another reading has other axes, or other tokens around the patches.

        Nobody declares the order of the patches.
        """
        ours, theirs = ((r.axes, r.prefix, r.suffix) for r in (self, other))
        return ours != theirs

    def __str__(self) -> str:
        if self.is_map:
            return f"maps {self.axes}"
        around = f"{self.prefix} before and {self.suffix} after the patches"
        grid = "no grid" if self.grid is None else "{} x {}".format(*self.grid)
        return f"tokens {self.axes}, {around}, {grid}" + (
            "" if self.order == "rows" else f" in the order {self.order}"
        )


@dataclass(frozen=True)
class Layout:
    """The reading of a layer, and how it is known.

    Attributes
    ----------
    reading : Reading
    known : {"proven", "declared"}
        Whether changed patches of the input were found at their places in the output.
    reason : str
        Where the reading comes from, and why it is not proven; empty where it is.
    """

    reading: Reading
    known: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.known}: {self.reading}" + (f" ({self.reason})" if self.reason else "")

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as plain values, for provenance and stores."""
        return {**asdict(self.reading), "known": self.known, "reason": self.reason}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Layout:
        """Return the layout that :meth:`to_dict` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the values are something else.
        """
        grid = values["grid"]
        axes = str(values["axes"])
        if axes not in (*MAPS, *TOKENS):
            raise ValueError(f"axes: {axes!r}")
        reading = Reading(
            axes,
            int(values["prefix"]),
            int(values["suffix"]),
            str(values["order"]),
            None if grid is None else (int(grid[0]), int(grid[1])),
        )
        return cls(reading, str(values["known"]), str(values["reason"]))


def places_of(order: str, grid: tuple[int, int]) -> NDArray[np.int64]:
    """Return for each cell, row by row, which token is there, shape (H · W,).

    Examples
    --------
    >>> places_of("columns", (2, 3)).tolist()
    [0, 2, 4, 1, 3, 5]
    >>> places_of("windows:1x2", (2, 4)).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    >>> places_of("units:1", (2, 4)).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    height, width = grid
    cells = np.arange(height * width).reshape(height, width)
    kind, _, option = order.partition(":")
    sequence: NDArray[np.int64]
    if kind == "rows":
        sequence = cells
    elif kind == "columns":
        sequence = cells.T
    elif kind == "windows":
        rows, columns = (int(side) for side in option.split("x"))
        parts = cells.reshape(height // rows, rows, width // columns, columns)
        sequence = parts.transpose(0, 2, 1, 3)
    else:
        sequence = _unrolled(cells, int(option))
    found = np.empty(height * width, dtype=np.int64)
    found[sequence.reshape(-1)] = np.arange(height * width)
    return found


def _unrolled(cells: NDArray[np.int64], times: int) -> NDArray[np.int64]:
    """Return the cells in the order of tokens that are pooled by neighbours in the sequence.

    The corners of the 2 × 2 cells come first, then those of the 2 × 2 blocks of these cells, and
    so on; at last the blocks row by row (Ryali et al., "Hiera", 2023).
    """
    parts = cells[None]
    for _ in range(times):
        count, height, width = parts.shape
        corners = parts.reshape(count, height // 2, 2, width // 2, 2)
        parts = corners.transpose(0, 2, 4, 1, 3).reshape(-1, height // 2, width // 2)
    return parts


def _permuted(tensor: Any, axes: list[int]) -> Any:
    permute = getattr(tensor, "permute", None)
    return tensor.transpose(axes) if permute is None else permute(*axes)
