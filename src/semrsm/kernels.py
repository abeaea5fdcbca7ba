"""Kernels as closed-form views of one Gram: V and the squared norms are all that they need.

Adding one takes a class with a ``name`` and a method ``view(gram)``::

    class Angle:
        name = "angle"

        def view(self, gram):
            values, _ = Cosine().view(gram)
            return 1 - np.arccos(np.clip(values, -1, 1)) / np.pi, None

    gram.rsm(Angle())
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from .errors import InputError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .gram import Gram

#: Rules for the bandwidth of the RBF kernel.
SIGMA_RULES = ("median", "released")


@runtime_checkable
class Kernel(Protocol):
    """What a kernel offers.

    Attributes
    ----------
    name : str
        What the RSM is labelled with.
    """

    name: str

    def view(self, gram: Gram) -> tuple[NDArray[np.float64], float | None]:
        """Return the kernel values (N, M) and the bandwidth that was used, if there is one."""
        ...


@dataclass(frozen=True)
class Linear:
    """The matched inner product: K = V."""

    name = "linear"

    def view(self, gram: Gram) -> tuple[NDArray[np.float64], float | None]:
        """Return V, shape (N, M), and no bandwidth."""
        return gram.values.copy(), None


@dataclass(frozen=True)
class Cosine:
    """The cosine of the flattened, aligned images: K = V / (‖X‖ ‖Y‖).

    An image whose features are all zero has no direction: its cosine is 0 with every image,
    itself included.
    """

    name = "cosine"

    def view(self, gram: Gram) -> tuple[NDArray[np.float64], float | None]:
        """Return the cosines, shape (N, M), and no bandwidth."""
        rows = np.sqrt(gram.row_squared_norms)[:, None]
        columns = np.sqrt(gram.column_squared_norms)[None, :]
        defined = (rows > 0) & (columns > 0)
        values = np.zeros_like(gram.values)
        # One norm after the other: their product may leave the range of float64.
        np.divide(gram.values, rows, out=values, where=defined)
        np.divide(values, columns, out=values, where=defined)
        if gram.is_symmetric:  # ‖X‖² / (‖X‖ ‖X‖), without the rounding of the square roots
            own = defined.diagonal() & (gram.values.diagonal() == gram.row_squared_norms)
            values[np.diag_indices_from(values)] = np.where(own, 1.0, values.diagonal())
        return values, None


@dataclass(frozen=True)
class RBF:
    """The Gaussian kernel of the aligned images: K = exp(−d² / 2σ²), d² = ‖X‖² + ‖Y‖² − 2V.

    Parameters
    ----------
    sigma : float or {"median", "released"}, default "median"
        A bandwidth in the units of the features, or a rule that finds one:

        - ``"median"``: σ² is the median of the non-zero d² of all distinct pairs (i < j where one
          set of images is compared with itself, all pairs otherwise); of an even number of values,
          the mean of the middle two. σ = 1 where every d² is zero.
        - ``"released"``: the rule of the code that the authors of the method released: σ is
          10⁻³ plus the square root of the lower median of the non-zero d² of the lower triangle,
          diagonal included (of all pairs for the matcher "none" and for two sets of images).

    Notes
    -----
    d² is a difference: where it is smaller than the rounding of the inner product (8 units in the
    last place of ‖X‖² + ‖Y‖² in the compute dtype) it cannot be told from zero and is taken as
    zero, as for duplicate images. Where S ≠ T, d² counts the norms of unmatched vectors whole.
    """

    sigma: float | str = "median"

    name = "rbf"

    def __post_init__(self) -> None:
        if isinstance(self.sigma, str):
            if self.sigma not in SIGMA_RULES:
                raise InputError(
                    f"sigma: expected a positive number or one of {', '.join(SIGMA_RULES)}; got "
                    f"{self.sigma!r}.{did_you_mean(self.sigma, SIGMA_RULES)}"
                )
        elif not (np.isreal(self.sigma) and 0 < self.sigma < np.inf):
            raise InputError(f"sigma: expected a positive finite number; got {self.sigma!r}")

    def view(self, gram: Gram) -> tuple[NDArray[np.float64], float | None]:
        """Return the kernel values, shape (N, M), and σ."""
        squared = squared_distances(gram)
        sigma = self._bandwidth(gram, squared)
        return np.exp(squared / (-2.0 * sigma * sigma)), sigma

    def _bandwidth(self, gram: Gram, squared: NDArray[np.float64]) -> float:
        if not isinstance(self.sigma, str):
            return float(self.sigma)
        if self.sigma == "median":
            chosen = squared[np.triu_indices_from(squared, k=1)] if gram.is_symmetric else squared
            chosen = chosen[chosen != 0]
            return float(np.sqrt(np.median(chosen))) if chosen.size else 1.0
        lower = gram.is_symmetric and gram.matcher != "none"
        chosen = squared[np.tril_indices_from(squared)] if lower else squared.reshape(-1)
        chosen = np.sort(chosen[chosen != 0])
        middle = chosen[(chosen.size - 1) // 2] if chosen.size else 0.0
        return float(np.sqrt(middle)) + 1e-3


def squared_distances(gram: Gram) -> NDArray[np.float64]:
    """Return ‖X‖² + ‖Y‖² − 2V for every pair, shape (N, M); see :class:`RBF` for the rounding."""
    norms = gram.row_squared_norms[:, None] + gram.column_squared_norms[None, :]
    squared = norms - 2.0 * gram.values
    squared[np.abs(squared) <= 8 * np.finfo(gram.dtype).eps * norms] = 0.0
    return squared


KERNELS: dict[str, type[Any]] = {"linear": Linear, "cosine": Cosine, "rbf": RBF}


def resolve_kernel(kernel: str | Kernel, sigma: float | str | None = None) -> Kernel:
    """Return the kernel object for a name; `sigma` goes to the RBF kernel.

    Raises
    ------
    InputError
        If the name is unknown or the object is no kernel.
    """
    if isinstance(kernel, str):
        if kernel not in KERNELS:
            raise InputError(
                f"kernel: expected one of {', '.join(KERNELS)}; got {kernel!r}."
                f"{did_you_mean(kernel, KERNELS)}"
            )
        if kernel == "rbf" and sigma is not None:
            return RBF(sigma)
        found: Kernel = KERNELS[kernel]()
        return found
    if isinstance(kernel, type):
        raise InputError(f"kernel: expected an object; got the class {kernel.__name__} itself")
    if not isinstance(kernel, Kernel):
        raise InputError(
            "kernel: expected a name or an object with .name and .view(gram); got "
            f"{type(kernel).__name__}"
        )
    return kernel
