"""The contract of an engine: it decides where the tiles of a job run, never their values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .._internal.checks import Progress
from ..matching.base import Matcher
from ..tokens import Tokens
from .plan import Plan
from .tiles import mirror

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Engine(ABC):
    """The base of all engines.

    Attributes
    ----------
    name : str
        ``"cpu"`` or ``"cuda"``, as recorded in provenance and manifests, and listed in
        :attr:`Matcher.engines`.
    """

    name: ClassVar[str]

    @abstractmethod
    def supports(self, matcher: Matcher, rows: Tokens, columns: Tokens) -> str | None:
        """Return why the engine cannot match these images, or None if it can."""

    @abstractmethod
    def run(
        self,
        x: Tokens,
        y: Tokens | None,
        matcher: Matcher,
        plan: Plan,
        values: NDArray[np.float64],
        upper_bounds: NDArray[np.float64],
        progress: Progress | None,
    ) -> None:
        """Match all pairs of `x` and `y`, or the upper triangle of `x`, and write the results.

        The diagonal is left out unless the matcher must solve it (:attr:`Matcher.solves_self`).

        Parameters
        ----------
        x, y : Tokens
            The inputs.
        matcher : Matcher
            The matcher to compute.
        plan : Plan
            Panels, tiles and threads.
        values, upper_bounds : ndarray of float64, shape (N, M)
            Written in place, in units of two to the power of the images' exponents (but see
            :attr:`Matcher.rescales`).
        progress : callable, optional
            Called as ``progress(done, total)``; an exception from it ends the run.

        Raises
        ------
        NotFiniteError
            If an affinity overflows.
        """

    def matched(
        self,
        x: Tokens,
        y: Tokens | None,
        matcher: Matcher,
        plan: Plan,
        progress: Progress | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Match all pairs of `x` and `y`, or of `x` with itself, and return both matrices whole.

        Parameters
        ----------
        x, y, matcher, plan, progress
            As for :meth:`run`.

        Returns
        -------
        values, upper_bounds : ndarray of float64, shape (N, M)
            In the units of the images, mirrored and with the diagonal where `y` is None.

        Raises
        ------
        NotFiniteError
            If an affinity overflows.
        """
        other = x if y is None else y
        values = np.zeros((x.count, other.count))
        upper_bounds = np.zeros_like(values)
        self.run(x, y, matcher, plan, values, upper_bounds, progress)
        if (x.exponents.any() or other.exponents.any()) and not matcher.rescales:
            exponents = x.exponents[:, None] + other.exponents[None, :]
            np.ldexp(values, exponents, out=values)
            np.ldexp(upper_bounds, exponents, out=upper_bounds)
        if y is None:
            own = None if matcher.solves_self else matcher.self_values(x)
            for matrix in (values, upper_bounds):
                mirror(matrix)
                if own is not None:
                    np.fill_diagonal(matrix, own)
        return values, upper_bounds
