"""The matched Gram V and the squared norms: every kernel follows from one matching per pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels import Kernel, resolve_kernel
from ..matching.assignment import relative_gap
from .archive import load_archive, save_archive
from .rsm import RSM

if TYPE_CHECKING:
    from numpy.typing import NDArray


FORMAT = "semrsm.Gram/1"


@dataclass(frozen=True, eq=False, repr=False)
class Gram:
    """The matched inner products of N row images and M column images.

    Attributes
    ----------
    values : ndarray, shape (N, M), float64
        V[i, j] = ⟨X_i, P Y_j⟩ under the matcher's matching P.
    upper_bound : ndarray, shape (N, M), float64
        No matching of the two images has a larger inner product: the certificate.
    row_squared_norms, column_squared_norms : ndarray, shapes (N,) and (M,), float64
        ‖X_i‖² and ‖Y_j‖² (Frobenius).
    row_ids, column_ids : tuple of str
        The names of the images.
    matcher : str
        The matcher's name.
    dtype : numpy.dtype
        What the inner products were computed in, float32 or float64.
    is_symmetric : bool
        True where one set of images was compared with itself.
    provenance : mapping
        Versions, shapes, the matcher with its options, the largest relative gap.

    Notes
    -----
    V of the optimal matcher is symmetric, but it can be *indefinite*: a maximum of inner products
    over permutations is no inner product. Methods that need a positive semi-definite matrix (some
    uses of CKA, eigen-decompositions) must not assume it.
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

    def __repr__(self) -> str:
        rows, columns = self.values.shape
        return (
            f"Gram({rows} x {columns}, matcher={self.matcher!r}, "
            f"largest relative gap={self.largest_gap:.1e})"
        )

    @property
    def largest_gap(self) -> float:
        """The largest (upper bound − value) ÷ max(|value|, |upper bound|) of all pairs."""
        return float(relative_gap(self.values, self.upper_bound).max())

    def parts(self) -> Iterator[Gram]:
        """Yield the Gram in parts that cover every pair once: all of it, since it is in memory."""
        yield self

    def rsm(self, kernel: str | Kernel = "cosine", *, sigma: float | str = "median") -> RSM:
        """View the Gram through a kernel; nothing is matched again.

        Parameters
        ----------
        kernel : str or Kernel, default "cosine"
            ``"linear"``, ``"cosine"``, ``"rbf"``, or an object of :mod:`semrsm.kernels`.
        sigma : float or {"median", "released"}, default "median"
            The bandwidth of the kernels that have one by these rules (RBF, Laplacian, rational
            quadratic); see :class:`semrsm.kernels.RBF`.

        Returns
        -------
        RSM

        Raises
        ------
        InputError
            If the kernel or sigma is not known.

        Examples
        --------
        >>> import numpy as np, semrsm
        >>> gram = semrsm.gram(np.random.default_rng(0).normal(size=(4, 9, 8)))
        >>> gram.rsm("rbf", sigma=3.0)
        RSM(4 x 4, kernel='rbf', matcher='optimal', sigma=3)
        """
        chosen = resolve_kernel(kernel, sigma)
        values, bandwidth = chosen.view(self)
        return RSM(
            values=values,
            row_ids=self.row_ids,
            column_ids=self.column_ids,
            kernel=chosen.name,
            matcher=self.matcher,
            sigma=bandwidth,
            is_symmetric=self.is_symmetric,
            provenance=self.provenance,
        )

    def save(self, path: str | Path) -> Path:
        """Write the Gram to one ``.npz`` file, without pickle, aside and then renamed.

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
            If the suffix is another one or the folder does not exist.
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
        )
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
