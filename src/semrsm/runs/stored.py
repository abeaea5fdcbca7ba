"""A Gram on disk, with the interface of a Gram in memory, read in parts of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.units import format_bytes, memory_budget
from ..errors import InputError
from ..kernels import Kernel
from ..matrices.arraylike import ArrayLike
from ..matrices.gram import Gram, kernel_like, kernel_values, seen_through
from ..matrices.ranges import whole_range
from ..matrices.rsm import RSM
from .gram_folder import GramFolder
from .manifest import is_matched, resolved_of, stored_label
from .tiles import UPPER_BOUND, VALUE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class StoredGram(ArrayLike):
    """The Gram of a complete run, read from disk in parts.

    Attributes
    ----------
    shape : (int, int)
        N and M.
    row_squared_norms, column_squared_norms : ndarray, shapes (N,) and (M,), float64
    row_ids, column_ids : tuple of str
    matcher : str
        The matcher's label: its name, with the options that differ from their defaults.
    is_matched : bool
    bounds : {"optimal", "own"}
        As for :class:`semrsm.Gram`.
    resolved : mapping
        As for :class:`semrsm.Gram`.
    dtype : numpy.dtype
        The precision of the inner products.
    is_symmetric : bool
        True where one set of images was compared with itself.
    block_side : int
        Images on the side of a tile: the efficient side of a block.
    provenance : mapping

    Notes
    -----
    The values mean the same as those of a :class:`semrsm.Gram`; :meth:`load` makes one.
    """

    def __init__(self, folder: GramFolder) -> None:
        self._folder = folder
        manifest = folder.manifest
        self._shape = (folder.tiling.rows, folder.tiling.columns)
        self.row_squared_norms: Array = folder.rows.gram_norms
        self.column_squared_norms: Array = folder.columns.gram_norms
        self.row_ids: tuple[str, ...] = folder.rows.ids
        self.column_ids: tuple[str, ...] = folder.columns.ids
        self.matcher: str = stored_label(manifest)
        self.is_matched: bool = is_matched(manifest)
        self.bounds: str = manifest.get("bounds", "optimal")
        self.resolved: Mapping[str, Any] = resolved_of(manifest)
        self.dtype = np.dtype(manifest["dtype"])
        self.is_symmetric = folder.tiling.is_symmetric
        self.block_side = folder.tiling.side
        self.provenance: Mapping[str, Any] = dict(manifest["provenance"])

    def __repr__(self) -> str:
        rows, columns = self.shape
        return (
            f"StoredGram({rows} x {columns}, matcher={self.matcher!r}, "
            f"largest relative gap={self.largest_gap:.1e}, {str(self._folder.path)!r})"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """N and M."""
        return self._shape

    def whole(self) -> Array:
        """Read V into memory, shape (N, M), if it fits into the default budget."""
        return self.load().values

    @cached_property
    def largest_gap(self) -> float:
        """The largest relative gap of all pairs; see :attr:`semrsm.Gram.largest_gap`."""
        markers = (self._folder.complete(tile) for tile in self._folder.tiling)
        return max((marker.largest_gap for marker in markers if marker), default=float("nan"))

    def block(self, rows: slice, columns: slice) -> Array:
        """Read a part of V.

        Parameters
        ----------
        rows, columns : slice
            Without a step.

        Returns
        -------
        ndarray of float64

        Raises
        ------
        InputError
            If a slice has a step.
        SemrsmError
            If a tile is damaged; every tile is checked when it is first read.
        """
        return self._read(rows, columns, VALUE)

    def upper_bounds(self, rows: slice, columns: slice) -> Array:
        """Read a part of the upper bounds; see :meth:`block`."""
        return self._read(rows, columns, UPPER_BOUND)

    def _read(self, rows: slice, columns: slice, quantity: int) -> Array:
        return self._folder.read(
            whole_range(rows, self.shape[0], "rows"),
            whole_range(columns, self.shape[1], "columns"),
            quantity,
        )

    def part(self, rows: slice, columns: slice) -> Gram:
        """Read a part as a Gram in memory.

        The part is symmetric if the Gram is and `rows` equals `columns`.
        """
        rows = whole_range(rows, self.shape[0], "rows")
        columns = whole_range(columns, self.shape[1], "columns")
        values, upper_bound = self._folder.read_both(rows, columns)
        return Gram(
            values=values,
            upper_bound=upper_bound,
            row_squared_norms=self.row_squared_norms[rows],
            column_squared_norms=self.column_squared_norms[columns],
            row_ids=self.row_ids[rows],
            column_ids=self.column_ids[columns],
            matcher=self.matcher,
            dtype=self.dtype,
            is_symmetric=self.is_symmetric and rows == columns,
            provenance=self.provenance,
            is_matched=self.is_matched,
            bounds=self.bounds,
            resolved=self.resolved,
        )

    def parts(self) -> Iterator[Gram]:
        """Yield the Gram in parts that cover every pair once, a tile at a time."""
        tiles = self._folder.tiling
        for tile in tiles:
            yield self.part(*tiles.place(tile))

    def load(self, *, memory: int | str | None = None) -> Gram:
        """Read the whole Gram into memory.

        Parameters
        ----------
        memory : int or str, optional
            The budget, as for :func:`semrsm.gram`; half of the machine's memory by default.

        Returns
        -------
        Gram

        Raises
        ------
        InputError
            If it does not fit.
        """
        rows, columns = self.shape
        needed = 3 * rows * columns * 8
        if needed > memory_budget(memory):
            raise InputError(
                f"memory: expected at least {format_bytes(needed, up=True)} to load {rows} x "
                f"{columns} pairs with their bounds; got {format_bytes(memory_budget(memory))}. "
                "block(), rsm(), semrsm.cka and semrsm.rsa work without loading"
            )
        return self.part(slice(None), slice(None))

    def rsm(
        self,
        kernel: str | Kernel = "cosine",
        *,
        sigma: float | str | None = None,
        like: RSM | StoredRSM | None = None,
    ) -> StoredRSM:
        """View the Gram through a kernel; nothing is matched or loaded.

        Parameters
        ----------
        kernel, sigma, like
            As for :meth:`semrsm.Gram.rsm`. The median is the exact one of all pairs, found in
            passes over the tiles.

        Returns
        -------
        StoredRSM

        Raises
        ------
        InputError
            If the kernel or sigma is not known.
        """
        chosen = kernel_like(kernel, sigma, like)
        return StoredRSM(self, chosen.resolved(self), chosen.label)


@dataclass(frozen=True, repr=False)
class StoredRSM(ArrayLike):
    """A Gram on disk, seen through a kernel, which is computed in parts on demand.

    Attributes
    ----------
    gram : StoredGram
        The Gram.
    kernel_object : Kernel
        The kernel, with its bandwidth found.
    kernel : str
        The label of the kernel that was asked for, as for :class:`semrsm.RSM`.
    """

    gram: StoredGram
    kernel_object: Kernel
    kernel: str

    def __repr__(self) -> str:
        rows, columns = self.shape
        sigma = "" if self.sigma is None else f", sigma={self.sigma:.6g}"
        return (
            f"StoredRSM({rows} x {columns}, kernel={self.kernel!r}, "
            f"matcher={self.matcher!r}{sigma})"
        )

    @property
    def sigma(self) -> float | None:
        """The bandwidth, where the kernel has one."""
        found = self.kernel_object.sigma
        return None if found is None else float(found)

    @property
    def matcher(self) -> str:
        """The matcher's label."""
        return self.gram.matcher

    @property
    def shape(self) -> tuple[int, int]:
        """N and M."""
        return self.gram.shape

    @property
    def row_ids(self) -> tuple[str, ...]:
        """The names of the row images."""
        return self.gram.row_ids

    @property
    def column_ids(self) -> tuple[str, ...]:
        """The names of the column images."""
        return self.gram.column_ids

    @property
    def is_symmetric(self) -> bool:
        """True where one set of images was compared with itself."""
        return self.gram.is_symmetric

    @property
    def block_side(self) -> int:
        """The efficient side of a block."""
        return self.gram.block_side

    def whole(self) -> Array:
        """Compute all values in memory, shape (N, M), if they fit into the default budget."""
        return self.load().values

    def block(self, rows: slice, columns: slice) -> Array:
        """Compute a part of the RSM, float64."""
        rows = whole_range(rows, self.shape[0], "rows")
        columns = whole_range(columns, self.shape[1], "columns")
        return kernel_values(self.kernel_object, self.gram.part(rows, columns))

    def part(self, rows: slice, columns: slice) -> RSM:
        """Compute a part as an RSM in memory; see :meth:`StoredGram.part`."""
        return seen_through(self.gram.part(rows, columns), self.kernel_object, self.kernel)

    def load(self, *, memory: int | str | None = None) -> RSM:
        """Compute the whole RSM in memory; see :meth:`StoredGram.load`."""
        return seen_through(self.gram.load(memory=memory), self.kernel_object, self.kernel)
