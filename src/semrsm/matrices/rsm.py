"""The representational similarity matrix: a frozen result with its provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..matching.registry import BASELINE
from .archive import load_archive, save_archive
from .conversions import Conversions
from .names import places
from .ranges import whole_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..report.explorer import Exploration

FORMAT = "semrsm.RSM/1"


@dataclass(frozen=True, eq=False, repr=False)
class RSM(Conversions):
    """Similarities between N row images and M column images under one kernel and one matcher.

    NumPy's functions, operators and indexing work on an RSM as on its values, and return arrays.

    Attributes
    ----------
    values : ndarray, shape (N, M), float64
        The kernel values, the diagonal and both triangles kept.
    row_ids, column_ids : tuple of str
        The names of the images.
    kernel : str
        The kernel's label: its name, with the options that differ from their defaults, such as
        ``"cosine"`` or ``"polynomial:degree=2"``. A rule over all pairs stays a rule in it, so that
        another Gram can be seen through the same kernel. Files of earlier versions hold the name
        alone.
    matcher : str
        The label of the matcher; ``"none"`` is the spatio-semantic RSM.
    sigma : float or None
        The bandwidth of the kernel, also where a rule found it; None for a kernel without one.
    is_symmetric : bool
        True where one set of images was compared with itself.
    provenance : mapping
        Where the values come from: versions, shapes, dtype, tolerance, and the caller's entries.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> rsm = semrsm.rsm(np.random.default_rng(0).normal(size=(3, 4, 8)), ids=["a", "b", "c"])
    >>> rsm.select(["c", "a"]).row_ids, (1 - rsm).shape, float(rsm[0, 0])
    (('c', 'a'), (3, 3), 1.0)
    """

    values: NDArray[np.float64]
    row_ids: tuple[str, ...]
    column_ids: tuple[str, ...]
    kernel: str
    matcher: str
    sigma: float | None = None
    is_symmetric: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        rows, columns = self.values.shape
        sigma = "" if self.sigma is None else f", sigma={self.sigma:.4g}"
        asked = "least_eigenvalue" in vars(self)
        least = f", least eigenvalue={self.least_eigenvalue:.3g}" if asked else ""
        return (
            f"RSM({rows} x {columns}, kernel={self.kernel!r}, matcher={self.matcher!r}{sigma}"
            f"{least})"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """N and M."""
        return len(self.row_ids), len(self.column_ids)

    @property
    def block_side(self) -> int:
        """An efficient side of a block: here the longer side, since all values are in memory."""
        return max(self.shape)

    def whole(self) -> NDArray[np.float64]:
        """Return all values, shape (N, M)."""
        return self.values

    def block(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return a part of the values, float64; slices without a step."""
        return self.values[
            whole_range(rows, self.shape[0], "rows"), whole_range(columns, self.shape[1], "columns")
        ]

    def part(self, rows: slice, columns: slice) -> RSM:
        """Return the RSM of some of the images; slices without a step.

        The part is symmetric if the RSM is and `rows` equals `columns`.
        """
        rows = whole_range(rows, self.shape[0], "rows")
        columns = whole_range(columns, self.shape[1], "columns")
        return replace(
            self,
            values=self.values[rows, columns],
            row_ids=self.row_ids[rows],
            column_ids=self.column_ids[columns],
            is_symmetric=self.is_symmetric and rows == columns,
        )

    def save(self, path: str | Path) -> Path:
        """Write the RSM to one ``.npz`` file, without pickle; it appears when it is complete.

        Parameters
        ----------
        path : str or Path
            Where to write; the suffix must be ``.npz``.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        InputError
            If the suffix is not ``.npz``, or the folder does not exist.

        Examples
        --------
        >>> import numpy as np, semrsm, tempfile, pathlib
        >>> rsm = semrsm.rsm(np.random.default_rng(0).normal(size=(3, 4, 8)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = rsm.save(pathlib.Path(folder) / "rsm.npz")
        ...     np.array_equal(semrsm.RSM.load(path).values, rsm.values)
        True
        """
        return save_archive(
            path,
            FORMAT,
            {
                "values": self.values,
                "row_ids": np.array(self.row_ids, dtype=np.str_),
                "column_ids": np.array(self.column_ids, dtype=np.str_),
            },
            {
                "kernel": self.kernel,
                "matcher": self.matcher,
                "sigma": self.sigma,
                "is_symmetric": self.is_symmetric,
                "provenance": dict(self.provenance),
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> RSM:
        """Read an RSM that :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path
            A ``.npz`` file.

        Returns
        -------
        RSM

        Raises
        ------
        InputError
            If the file is missing or does not hold an RSM.
        """
        arrays, facts = load_archive(
            path,
            FORMAT,
            {"values": 2, "row_ids": 1, "column_ids": 1},
            ["kernel", "matcher", "sigma", "is_symmetric", "provenance"],
        )
        return cls(
            values=arrays["values"],
            row_ids=tuple(arrays["row_ids"].tolist()),
            column_ids=tuple(arrays["column_ids"].tolist()),
            **facts,
        )

    def select(self, ids: Iterable[Any], columns: Iterable[Any] | None = None) -> RSM:
        """Return the RSM of some images by their ids, in the order given.

        Parameters
        ----------
        ids : iterable of str
            Row images; also column images where one set was compared with itself.
        columns : iterable of str, optional
            Column images, of an RSM of two sets; all by default.

        Returns
        -------
        RSM

        Raises
        ------
        InputError
            If an id is unknown or repeated, or `columns` is given for one set of images.
        """
        rows = places(ids, self.row_ids, "ids")
        if self.is_symmetric and columns is not None:
            raise InputError("columns: expected None for an RSM of one set of images")
        if self.is_symmetric:
            others = rows
        elif columns is None:
            others = np.arange(self.shape[1])
        else:
            others = places(columns, self.column_ids, "columns")
        return replace(
            self,
            values=self.values[np.ix_(rows, others)],
            row_ids=tuple(self.row_ids[i] for i in rows),
            column_ids=tuple(self.column_ids[i] for i in others),
        )

    def reorder(self, ids: Iterable[Any]) -> RSM:
        """Return the RSM with its row images (and columns, of one set) in another order.

        Parameters
        ----------
        ids : iterable of str
            All ids, each once.

        Raises
        ------
        InputError
            If one is missing, unknown or repeated.
        """
        names = [str(name) for name in ids]
        missing = [name for name in self.row_ids if name not in set(names)]
        if missing:
            raise InputError(f"ids: expected all {self.shape[0]} ids; {missing[0]!r} is missing")
        return self.select(names)

    def eigenvalues(self) -> NDArray[np.float64]:
        """Return the eigenvalues, shape (N,), ascending; a semantic RSM can have negative ones.

        Raises
        ------
        InputError
            If the RSM compares two sets of images, or pairs are missing.
        """
        return np.linalg.eigvalsh(self._one_set("eigenvalues")).astype(np.float64, copy=False)

    @cached_property
    def least_eigenvalue(self) -> float:
        """The least eigenvalue; once asked for, the repr shows it too."""
        return float(self.eigenvalues()[0])

    def nearest_psd(self) -> tuple[RSM, float]:
        """Return the nearest positive semi-definite RSM, and its distance.

        Returns
        -------
        rsm : RSM
            Negative eigenvalues replaced by 0: the nearest such matrix in the Frobenius norm
            (Higham, "Computing a nearest symmetric positive semidefinite matrix", 1988).
        distance : float
            The Frobenius norm of the difference, relative to that of the RSM.

        Raises
        ------
        InputError
            If the RSM compares two sets of images, or pairs are missing.
        """
        values, vectors = np.linalg.eigh(self._one_set("nearest_psd"))
        raised = (vectors * np.maximum(values, 0.0)) @ vectors.T
        size = float(np.sqrt((values**2).sum()))
        distance = float(np.sqrt((np.minimum(values, 0.0) ** 2).sum())) / size if size else 0.0
        provenance = {**self.provenance, "nearest_psd_distance": distance}
        return replace(self, values=0.5 * (raised + raised.T), provenance=provenance), distance

    def _one_set(self, caller: str) -> NDArray[np.float64]:
        if not self.is_symmetric:
            raise InputError(f"{caller}: expected the RSM of one set of images; got one of two")
        if np.isnan(self.values).any():
            raise InputError(f"{caller}: expected every pair; some are missing (NaN)")
        return 0.5 * (self.values + self.values.T)

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Draw the RSM as a heat map; see :func:`semrsm.plot.plot_rsm`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        **options
            Passed to :func:`semrsm.plot.plot_rsm`.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plot import plot_rsm

        return plot_rsm(self, ax=ax, **options)

    def explore(
        self,
        path: str | Path | None = None,
        *,
        other: RSM | None = None,
        images: Any = None,
        labels: Any = None,
    ) -> Exploration:
        """Write the RSM as an interactive page for notebooks and browsers.

        Parameters
        ----------
        path : str or Path, optional
            A name that ends in ``.html``, or a folder to be made; by default a file in a new
            temporary folder. The returned object has its path.
        other : RSM, optional
            Another RSM of the same images, to show beside this one, such as the spatio-semantic
            RSM.
        images : str, Path or data set, optional
            The photographs, by the ids of the RSM: a folder, or anything with ``ids`` and
            ``images[i]``.
        labels : mapping of str to str or sequence of str, optional
            The classes of the images, by id or in order.

        Returns
        -------
        semrsm.report.Exploration

        Raises
        ------
        InputError
            If `other` is of other images, a photograph or label is missing, or the page cannot be
            written.

        See Also
        --------
        semrsm.report.write_explorer : For several layers, and matches of patches.
        """
        from ..report.explorer import explore

        # The usual case stands on the left.
        both = (
            [self] if other is None else sorted([self, other], key=lambda r: r.matcher != BASELINE)
        )
        return explore(both, path, images=images, labels=labels)

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows: a small picture and the facts."""
        from ..report.explorer.picture import rsm_html

        return rsm_html(self)
