"""The matched Gram V and the squared norms: every kernel follows from one matching per pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.html import facts_html
from ..errors import InputError
from ..kernels import Kernel, resolve_kernel
from ..matching.assignment import norm_gap
from ..matching.registry import BASELINE
from .archive import load_archive, save_archive
from .arraylike import ArrayLike
from .names import places
from .ranges import whole_range
from .rsm import RSM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..runs.stored import StoredRSM


FORMAT = "semrsm.Gram/1"


@dataclass(frozen=True, eq=False, repr=False)
class Gram(ArrayLike):
    """The matched inner products of N row images and M column images.

    NumPy's functions, operators and indexing work on a Gram as on V, and return arrays.

    Attributes
    ----------
    values : ndarray, shape (N, M), float64
        V[i, j] = ⟨X_i, P Y_j⟩ under the matcher's matching P, or the matcher's own similarity on
        the scale of the squared norms.
    upper_bound : ndarray, shape (N, M), float64
        No matching of the two images has a larger inner product: the certificate.
    row_squared_norms, column_squared_norms : ndarray, shapes (N,) and (M,), float64
        ‖X_i‖² and ‖Y_j‖² (Frobenius), or those of the matcher's own scale.
    row_ids, column_ids : tuple of str
        The names of the images.
    matcher : str
        The matcher's label: its name, with the options that differ from their defaults.
    dtype : numpy.dtype
        The dtype that the inner products were computed in, float32 or float64.
    is_symmetric : bool
        True where one set of images was compared with itself.
    provenance : mapping
        Versions, shapes, the matcher with its options, the largest relative gap.
    is_matched : bool
        False where each location was compared with the same location: the spatio-semantic baseline.
    bounds : {"optimal", "own"}
        Whether the upper bounds are those of the optimal matching, or of the best one that the
        matcher's own constraints allow.
    resolved : mapping
        The numbers that rules of the matcher over the data set found, by option, such as the
        penalty in force of ``displacement:penalty=2x``.

    Notes
    -----
    V of the optimal matcher is symmetric, but it can be *indefinite*: a maximum of inner products
    over permutations is not an inner product. Methods that need a positive semi-definite matrix
    (some uses of CKA, eigen-decompositions) must not assume it.
    """

    values: NDArray[np.float64]
    upper_bound: NDArray[np.float64]
    row_squared_norms: NDArray[np.float64]
    column_squared_norms: NDArray[np.float64]
    row_ids: tuple[str, ...]
    column_ids: tuple[str, ...]
    matcher: str
    dtype: np.dtype[Any]
    is_symmetric: bool
    provenance: Mapping[str, Any] = field(default_factory=dict)
    is_matched: bool = True
    bounds: str = "optimal"
    resolved: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        rows, columns = self.shape
        return (
            f"Gram({rows} x {columns}, matcher={self.matcher!r}, "
            f"largest relative gap={self.largest_gap:.1e})"
        )

    @property
    def largest_gap(self) -> float:
        """The largest (upper bound − value) ÷ (‖X‖ ‖Y‖) of all pairs."""
        rows, columns = self.row_squared_norms[:, None], self.column_squared_norms[None, :]
        return float(norm_gap(self.values, self.upper_bound, rows, columns).max())

    @property
    def shape(self) -> tuple[int, int]:
        """N and M."""
        return len(self.row_ids), len(self.column_ids)

    @property
    def block_side(self) -> int:
        """An efficient side of a block: here the longer side, since all values are in memory."""
        return max(self.shape)

    def whole(self) -> NDArray[np.float64]:
        """Return V, shape (N, M)."""
        return self.values

    def block(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return a part of V.

        Parameters
        ----------
        rows, columns : slice
            Without a step.

        Returns
        -------
        ndarray of float64
        """
        return self.values[
            whole_range(rows, self.shape[0], "rows"),
            whole_range(columns, self.shape[1], "columns"),
        ]

    def part(self, rows: slice, columns: slice) -> Gram:
        """Return the Gram of some of the images.

        The part is symmetric if the Gram is and `rows` equals `columns`.

        Parameters
        ----------
        rows, columns : slice
            Without a step.

        Returns
        -------
        Gram
        """
        rows = whole_range(rows, self.shape[0], "rows")
        columns = whole_range(columns, self.shape[1], "columns")
        return replace(
            self,
            values=self.values[rows, columns],
            upper_bound=self.upper_bound[rows, columns],
            row_squared_norms=self.row_squared_norms[rows],
            column_squared_norms=self.column_squared_norms[columns],
            row_ids=self.row_ids[rows],
            column_ids=self.column_ids[columns],
            is_symmetric=self.is_symmetric and rows == columns,
        )

    def parts(self) -> Iterator[Gram]:
        """Yield parts that cover every pair once: here the whole Gram, since it is in memory."""
        yield self

    def select(self, ids: Iterable[Any], columns: Iterable[Any] | None = None) -> Gram:
        """Return the Gram of some images by their ids; see :meth:`semrsm.RSM.select`."""
        if self.is_symmetric and columns is not None:
            raise InputError("columns: expected None for a Gram of one set of images")
        rows = places(ids, self.row_ids, "ids")
        others = np.arange(self.shape[1])
        if self.is_symmetric:
            others = rows
        elif columns is not None:
            others = places(columns, self.column_ids, "columns")
        at = np.ix_(rows, others)
        return replace(
            self,
            values=self.values[at],
            upper_bound=self.upper_bound[at],
            row_squared_norms=self.row_squared_norms[rows],
            column_squared_norms=self.column_squared_norms[others],
            row_ids=tuple(self.row_ids[i] for i in rows),
            column_ids=tuple(self.column_ids[i] for i in others),
        )

    def rsm(
        self,
        kernel: str | Kernel = "cosine",
        *,
        sigma: float | str | None = None,
        like: RSM | StoredRSM | None = None,
    ) -> RSM:
        """View the Gram through a kernel; nothing is matched again.

        Parameters
        ----------
        kernel : str or Kernel, default "cosine"
            A name such as ``"linear"``, ``"cosine"`` or ``"rbf"``, or an object of
            :mod:`semrsm.kernels`.
        sigma : float or str, optional
            The bandwidth of a kernel that is given by its name and has one (RBF, Laplacian,
            rational quadratic, polynomial), or the rule that finds it; see
            :class:`semrsm.kernels.RBF`. By default the kernel's own rule.
        like : RSM, optional
            An RSM under the same kernel whose bandwidth is taken, so that the values of other
            images, such as test images, can be compared with its values.

        Returns
        -------
        RSM

        Raises
        ------
        InputError
            If the kernel or sigma is not known, the kernel does not take sigma, or `like` is of
            another kernel.

        Examples
        --------
        >>> import numpy as np, semrsm
        >>> gram = semrsm.gram(np.random.default_rng(0).normal(size=(4, 9, 8)))
        >>> gram.rsm("rbf", sigma=3.0)
        RSM(4 x 4, kernel='rbf:sigma=3.0', matcher='optimal', sigma=3)
        """
        chosen = kernel_like(kernel, sigma, like)
        return seen_through(self, chosen.resolved(self), chosen.label)

    def _repr_html_(self) -> str:
        return facts_html(
            {
                "images": "{} × {}".format(*self.shape),
                "matcher": self.matcher,
                "dtype": self.dtype.name,
                "largest relative gap": f"{self.largest_gap:.1e}",
                "bounds": self.bounds,
            }
        )

    def save(self, path: str | Path) -> Path:
        """Write the Gram to one ``.npz`` file, without pickle; it appears when it is complete.

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
        """
        return save_archive(
            path,
            FORMAT,
            {
                "values": self.values,
                "upper_bound": self.upper_bound,
                "row_squared_norms": self.row_squared_norms,
                "column_squared_norms": self.column_squared_norms,
                "row_ids": np.array(self.row_ids, dtype=np.str_),
                "column_ids": np.array(self.column_ids, dtype=np.str_),
            },
            {
                "matcher": self.matcher,
                "dtype": self.dtype.name,
                "is_symmetric": self.is_symmetric,
                "is_matched": self.is_matched,
                "bounds": self.bounds,
                "resolved": dict(self.resolved),
                "provenance": dict(self.provenance),
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> Gram:
        """Read a Gram that :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path
            A ``.npz`` file.

        Returns
        -------
        Gram

        Raises
        ------
        InputError
            If the file is missing or does not hold a Gram.
        """
        arrays, facts = load_archive(
            path,
            FORMAT,
            {
                "values": 2,
                "upper_bound": 2,
                "row_squared_norms": 1,
                "column_squared_norms": 1,
                "row_ids": 1,
                "column_ids": 1,
            },
            ["matcher", "dtype", "is_symmetric", "provenance"],
            optional=("is_matched", "bounds", "resolved"),
        )
        facts.setdefault("is_matched", facts["matcher"] != BASELINE)
        return cls(
            values=arrays["values"],
            upper_bound=arrays["upper_bound"],
            row_squared_norms=arrays["row_squared_norms"],
            column_squared_norms=arrays["column_squared_norms"],
            row_ids=tuple(arrays["row_ids"].tolist()),
            column_ids=tuple(arrays["column_ids"].tolist()),
            dtype=np.dtype(facts.pop("dtype")),
            **facts,
        )


def kernel_like(
    kernel: str | Kernel, sigma: float | str | None, like: RSM | StoredRSM | None
) -> Kernel:
    """Return a kernel, with the bandwidth of another RSM where one is given.

    Raises
    ------
    InputError
        If the kernel or sigma is not known, or the other RSM is of another kernel or has no
        bandwidth.
    """
    if like is None:
        return resolve_kernel(kernel, sigma)
    if sigma is not None:
        raise InputError("sigma: expected None beside like, which brings its own")
    chosen = resolve_kernel(kernel)
    found = getattr(like, "sigma", None)
    if found is None:
        raise InputError(f"like: expected an RSM whose kernel has a bandwidth; got {like!r}")
    if chosen.name != str(like.kernel).partition(":")[0] or not isinstance(kernel, str):
        raise InputError(
            f"like: expected an RSM under the kernel {kernel!r}, given by name; got one under "
            f"{like.kernel!r}"
        )
    own: Any = resolve_kernel(like.kernel)  # its other options stay
    numbered: Kernel = replace(own, sigma=float(found))
    return numbered


def seen_through(gram: Gram, kernel: Kernel, label: str) -> RSM:
    """Return the RSM of a Gram, or of a part of one, under a kernel without open rules.

    Parameters
    ----------
    gram : Gram
        All images, or some of them.
    kernel : Kernel
        As :meth:`semrsm.kernels.Kernel.resolved` returned it for all images. It is not resolved
        again: a part would give other numbers.
    label : str
        The label of the kernel that was asked for, a rule in it not yet a number.
    """
    bandwidth = kernel.sigma
    return RSM(
        values=kernel_values(kernel, gram),
        row_ids=gram.row_ids,
        column_ids=gram.column_ids,
        kernel=label,
        matcher=gram.matcher,
        sigma=None if bandwidth is None else float(bandwidth),
        is_symmetric=gram.is_symmetric,
        provenance=gram.provenance,
    )


def kernel_values(kernel: Kernel, gram: Gram) -> NDArray[np.float64]:
    """Return the values (N, M) of a kernel whose bandwidth has been found.

    Raises
    ------
    InputError
        If a kernel of the user's own returns anything else.
    """
    values = np.asarray(
        kernel.values(
            gram.values,
            gram.row_squared_norms[:, None],
            gram.column_squared_norms[None, :],
            gram.dtype,
        )
    )
    if values.shape != gram.shape or values.dtype.kind != "f":
        raise InputError(
            f"kernel: expected {kernel.name!r} to return floats of shape {gram.shape}; got "
            f"{values.dtype} of shape {values.shape}"
        )
    return values
