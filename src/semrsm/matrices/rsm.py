"""The representational similarity matrix: a frozen result with its provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, did_you_mean, require
from ..matching.registry import BASELINE
from .archive import load_archive, save_archive
from .ranges import whole_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..report.explorer import Exploration

FORMAT = "semrsm.RSM/1"

#: How :meth:`RSM.to_rsatoolbox` may turn a similarity K into a dissimilarity.
DISSIMILARITIES = ("one-minus", "negative", "squared-distance")


@dataclass(frozen=True, eq=False, repr=False)
class RSM:
    """Similarities between N row images and M column images under one kernel and one matcher.

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
        return f"RSM({rows} x {columns}, kernel={self.kernel!r}, matcher={self.matcher!r}{sigma})"

    @property
    def shape(self) -> tuple[int, int]:
        """N and M."""
        return len(self.row_ids), len(self.column_ids)

    @property
    def block_side(self) -> int:
        """An efficient side of a block: here the longer side, since all values are in memory."""
        return max(self.shape)

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

    def to_xarray(self) -> Any:
        """Return the RSM as an ``xarray.DataArray`` with dimensions ``row`` and ``column``.

        Returns
        -------
        xarray.DataArray
            Coordinates are the image ids; kernel, matcher, sigma and the provenance (as JSON) are
            attributes.

        Raises
        ------
        MissingDependencyError
            If xarray is not installed.
        """
        xarray = require("xarray", extra="bridges", purpose="to_xarray()")
        attributes: dict[str, Any] = {
            "kernel": self.kernel,
            "matcher": self.matcher,
            "provenance": json.dumps(dict(self.provenance), default=str),
        }
        if self.sigma is not None:
            attributes["sigma"] = self.sigma
        return xarray.DataArray(
            self.values,
            dims=("row", "column"),
            coords={"row": list(self.row_ids), "column": list(self.column_ids)},
            name="similarity",
            attrs=attributes,
        )

    def to_rsatoolbox(self, dissimilarity: str = "one-minus") -> Any:
        """Return the RSM as ``rsatoolbox.rdm.RDMs``, turned into dissimilarities by a stated rule.

        rsatoolbox keeps only the upper triangle, so the diagonal is lost.

        Parameters
        ----------
        dissimilarity : str, default "one-minus"
            ``"one-minus"``: 1 − K, for kernels with K(x, x) = 1 (cosine, RBF).
            ``"negative"``: −K, for any kernel.
            ``"squared-distance"``: K(x, x) + K(y, y) − 2 K(x, y), the squared distance in the
            feature space of the kernel.

        Returns
        -------
        rsatoolbox.rdm.RDMs
            One RDM, with the image ids as its pattern descriptor ``"id"``.

        Raises
        ------
        InputError
            If the rule is unknown, or the RSM compares two different sets of images.
        MissingDependencyError
            If rsatoolbox is not installed.
        """
        if dissimilarity not in DISSIMILARITIES:
            raise InputError(
                f"dissimilarity: expected one of {', '.join(DISSIMILARITIES)}; got "
                f"{dissimilarity!r}.{did_you_mean(str(dissimilarity), DISSIMILARITIES)}"
            )
        if not self.is_symmetric:
            raise InputError(
                "to_rsatoolbox: expected the RSM of one set of images against itself; got one of "
                f"{self.values.shape[0]} x {self.values.shape[1]} images of two sets"
            )
        rdm = require("rsatoolbox.rdm", extra="bridges", purpose="to_rsatoolbox()")
        if dissimilarity == "one-minus":
            values = 1.0 - self.values
        elif dissimilarity == "negative":
            values = -self.values
        else:
            own = np.diagonal(self.values)
            values = own[:, None] + own[None, :] - 2.0 * self.values
        upper = np.triu_indices(values.shape[0], k=1)
        return rdm.RDMs(
            values[upper][None, :],
            dissimilarity_measure=f"{dissimilarity} {self.kernel} ({self.matcher})",
            pattern_descriptors={"id": list(self.row_ids)},
        )

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
