"""An RSM as other libraries have it, and made of what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from . import bridges, given
from .arraylike import ArrayLike
from .distances import check_rule, dissimilarities

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray


class Conversions(ArrayLike):
    """The part of :class:`semrsm.RSM` that knows other libraries."""

    values: NDArray[np.float64]
    row_ids: tuple[str, ...]
    column_ids: tuple[str, ...]
    kernel: str
    matcher: str
    sigma: float | None
    is_symmetric: bool
    provenance: Mapping[str, Any]

    def to_distance(self, rule: str = "one-minus") -> NDArray[np.float64]:
        """Return dissimilarities, shape (N, M), by a stated rule.

        Parameters
        ----------
        rule : {"one-minus", "negative", "squared-distance"}, default "one-minus"
            1 − K, for kernels that are bounded by 1; −K; or K(x, x) + K(y, y) − 2 K(x, y), the
            squared distance in the feature space of the kernel, for one set of images.

        Raises
        ------
        InputError
            If the rule is unknown, or does not suit the kernel or two sets of images.
        """
        check_rule(rule, "rule", self.kernel)
        if rule == "squared-distance" and not self.is_symmetric:
            raise InputError("rule: expected 'one-minus' or 'negative' for two sets of images")
        return dissimilarities(self.values, rule)

    def to_condensed(self, rule: str | None = None) -> NDArray[np.float64]:
        """Return the upper triangle without the diagonal, shape (N (N − 1) / 2,), row by row.

        Parameters
        ----------
        rule : str, optional
            As for :meth:`to_distance`; by default the similarities themselves.

        Raises
        ------
        InputError
            If the RSM compares two sets of images.
        """
        if not self.is_symmetric:
            raise InputError("to_condensed: expected the RSM of one set of images; got one of two")
        values = self.values if rule is None else self.to_distance(rule)
        return values[np.triu_indices(len(values), k=1)]

    def to_pandas(self) -> Any:
        """Return the RSM as a ``pandas.DataFrame``, the ids its labels."""
        return bridges.to_pandas(self)

    def to_xarray(self) -> Any:
        """Return the RSM as an ``xarray.DataArray`` with dimensions ``row`` and ``column``.

        Coordinates are the image ids; kernel, matcher, sigma and the provenance (as JSON) are
        attributes.
        """
        return bridges.to_xarray(self)

    def to_rsatoolbox(self, dissimilarity: str = "one-minus") -> Any:
        """Return the RSM as ``rsatoolbox.rdm.RDMs``, turned into dissimilarities by a stated rule.

        rsatoolbox keeps only the upper triangle, so the diagonal is lost.

        Parameters
        ----------
        dissimilarity : str, default "one-minus"
            The rule; see :meth:`to_distance`.

        Returns
        -------
        rsatoolbox.rdm.RDMs
            One RDM, with the image ids as its pattern descriptor ``"id"``.

        Raises
        ------
        InputError
            If the rule is unknown or does not suit the kernel, or the RSM compares two different
            sets of images.
        MissingDependencyError
            If rsatoolbox is not installed.
        """
        return bridges.to_rsatoolbox(self, dissimilarity)

    @classmethod
    def from_array(
        cls,
        values: Any,
        ids: Sequence[Any] | None = None,
        *,
        column_ids: Sequence[Any] | None = None,
        dissimilarity: str | bool | None = None,
        kernel: str = given.GIVEN,
        matcher: str = given.GIVEN,
    ) -> Self:
        """Make an RSM of values that were measured or computed elsewhere.

        Parameters
        ----------
        values : array-like, DataFrame or DataArray, shape (N, M)
            Similarities; NaN where a pair is missing. The labels of a DataFrame become the ids.
        ids : sequence, optional
            The names of the images; their indices by default.
        column_ids : sequence, optional
            The names of the column images, where they are another set.
        dissimilarity : {"one-minus", "negative", "squared-distance"} or False, optional
            The rule that turns dissimilarities into similarities: K = 1 − D, K = −D, or the doubly
            centred −½ H D H of squared distances. A matrix that looks like one of dissimilarities
            is refused without it; False says that the values are similarities all the same.
        kernel, matcher : str, default "given"
            Labels for tables and figures.

        Raises
        ------
        InputError
            If the values are not a matrix, are infinite, or are neither symmetric nor those of two
            sets, or the ids do not fit.

        Examples
        --------
        >>> import numpy as np, semrsm
        >>> measured = np.array([[0.0, 0.4, np.nan], [0.4, 0.0, 0.7], [np.nan, 0.7, 0.0]])
        >>> semrsm.RSM.from_array(measured, ids=["a", "b", "c"], dissimilarity="one-minus")[0, 1]
        np.float64(0.6)
        """
        facts = {"kernel": kernel, "matcher": matcher}
        if hasattr(values, "dims") and hasattr(values, "attrs"):
            found = bridges.from_xarray(values)
            values, facts = found.pop("values"), found
            ids = facts.pop("ids") if ids is None else ids
            own = facts.pop("column_ids")
            column_ids = own if column_ids is None else column_ids
        return cls(**given.checked(values, ids, column_ids, dissimilarity), **facts)

    @classmethod
    def from_condensed(
        cls,
        vector: Any,
        ids: Sequence[Any] | None = None,
        *,
        diagonal: float | None = None,
        dissimilarity: str | None = None,
    ) -> Self:
        """Make an RSM of an upper triangle, row by row without the diagonal, as SciPy condenses.

        Parameters
        ----------
        vector : array-like, shape (N (N − 1) / 2,)
        ids : sequence, optional
        diagonal : float, optional
            The value of each image with itself; by default missing (NaN), or the 0 of a
            dissimilarity.
        dissimilarity : str, optional
            As for :meth:`from_array`.
        """
        own = float("nan" if dissimilarity is None else 0.0) if diagonal is None else diagonal
        rule: str | bool = False if dissimilarity is None else dissimilarity
        return cls.from_array(given.square(vector, own), ids, dissimilarity=rule)

    @classmethod
    def from_rsatoolbox(
        cls, rdms: Any, *, dissimilarity: str = "negative", descriptor: str | None = None
    ) -> list[Self]:
        """Make RSMs of ``rsatoolbox.rdm.RDMs``, one for each.

        Parameters
        ----------
        rdms : rsatoolbox.rdm.RDMs
        dissimilarity : str, default "negative"
            As for :meth:`from_array`.
        descriptor : str, optional
            The pattern descriptor that names the images.
        """
        matrices, names = bridges.from_rsatoolbox(rdms, descriptor)
        return [cls.from_array(one, names, dissimilarity=dissimilarity) for one in matrices]
