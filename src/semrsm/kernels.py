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

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from .errors import InputError, did_you_mean
from .matrices.protocol import select

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .matrices.gram import Gram
    from .runs import StoredGram

#: Rules for the bandwidth of the kernels of the distance (RBF, Laplacian, rational quadratic).
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
        if gram.is_symmetric:
            # V / ‖X‖ / ‖Y‖ and V / ‖Y‖ / ‖X‖ differ in the last place: one stands for both.
            values = np.triu(values) + np.triu(values, 1).T
            # ‖X‖² / (‖X‖ ‖X‖), without the rounding of the square roots
            own = defined.diagonal() & (gram.values.diagonal() == gram.row_squared_norms)
            values[np.diag_indices_from(values)] = np.where(own, 1.0, values.diagonal())
        return values, None


@dataclass(frozen=True)
class Polynomial:
    """A power of the shifted inner product: K = (V / σ² + offset)^degree.

    Parameters
    ----------
    degree : int, default 3
        The power, at least 1. Whole, since V can be negative.
    offset : float, default 1.0
        What is added, at least 0: the weight of the lower powers.
    sigma : float or {"norm"}, default "norm"
        The unit of length of the features, or the rule that finds it: σ² is the mean of the squared
        norms of all images (of rows and columns), so that V / σ² is about 1 on the diagonal and K
        does not depend on the unit of the features. σ = 1 where all norms are zero.

    Notes
    -----
    With an odd degree, or where no V is negative, K is an increasing function of V: rankings by it
    and rank correlations are those of the linear kernel.
    """

    degree: int = 3
    offset: float = 1.0
    sigma: float | str = "norm"

    name = "polynomial"

    def __post_init__(self) -> None:
        if (
            isinstance(self.degree, bool)
            or not isinstance(self.degree, (int, np.integer))
            or self.degree < 1
        ):
            raise InputError(f"degree: expected a whole number >= 1; got {self.degree!r}")
        if not (_is_real(self.offset) and 0 <= float(self.offset) < np.inf):
            raise InputError(f"offset: expected a finite number >= 0; got {self.offset!r}")
        _check_sigma(self.sigma, ("norm",))

    def view(self, gram: Gram) -> tuple[NDArray[np.float64], float | None]:
        """Return the kernel values, shape (N, M), and σ."""
        sigma = self._unit(gram)
        with np.errstate(over="ignore"):
            values = (gram.values / sigma / sigma + self.offset) ** int(self.degree)
        if not np.isfinite(values).all():
            raise InputError(
                f"kernel: {self!r} leaves the range of float64; take a smaller degree or a larger "
                "sigma"
            )
        return values, sigma

    def resolved(self, source: Gram | StoredGram) -> Polynomial:
        """Return this kernel with the unit that its rule finds, or its number, as a float."""
        return replace(self, sigma=self._unit(source))

    def _unit(self, gram: Gram | StoredGram) -> float:
        if not isinstance(self.sigma, str):
            return float(self.sigma)
        norms = [gram.row_squared_norms]
        if not gram.is_symmetric:
            norms.append(gram.column_squared_norms)
        mean = float(np.mean(np.concatenate(norms)))
        return float(np.sqrt(mean)) if mean > 0 else 1.0


@dataclass(frozen=True)
class DistanceKernel:
    """A kernel of the distance of the aligned images alone; what all of them share is σ."""

    sigma: float | str = "median"

    def __post_init__(self) -> None:
        _check_sigma(self.sigma, SIGMA_RULES)

    def resolved(self, source: Gram | StoredGram) -> DistanceKernel:
        """Return this kernel with the bandwidth that its rule finds, or its number, as a float."""
        return replace(self, sigma=self._bandwidth(source))

    def _bandwidth(self, source: Gram | StoredGram) -> float:
        if not isinstance(self.sigma, str):
            return float(self.sigma)
        if self.sigma == "median":
            found = _selected(source, partial(_upper_distances, source, 1), _middle_two)
            return float(np.sqrt(found.mean())) if found.size else 1.0
        lower = source.is_symmetric and source.matcher != "none"
        values = partial(_upper_distances, source, 0) if lower else partial(_all_distances, source)
        found = _selected(source, values, lambda count: [(count - 1) // 2])
        return (float(np.sqrt(found[0])) if found.size else 0.0) + 1e-3


def _middle_two(count: int) -> list[int]:
    return [(count - 1) // 2, count // 2]


def _selected(
    source: Gram | StoredGram,
    passes: Callable[[], Iterable[NDArray[np.float64]]],
    ranks: Callable[[int], list[int]],
) -> NDArray[np.float64]:
    """Select among distances; in passes over them only where they do not lie in memory."""
    if not hasattr(source, "values"):
        return select(passes, ranks)
    chosen = np.concatenate(list(passes()))
    places = ranks(chosen.size) if chosen.size else []
    found: NDArray[np.float64] = np.partition(chosen, places)[places] if places else chosen
    return found


def _upper_distances(source: Gram | StoredGram, offset: int) -> Iterator[NDArray[np.float64]]:
    """Yield the non-zero d² of distinct pairs; of one set of images of i < j, or i <= j."""
    for part in source.parts():
        squared = squared_distances(part)
        if part.is_symmetric:
            squared = squared[~np.tri(len(squared), k=offset - 1, dtype=np.bool_)]
        yield squared[squared != 0]


def _all_distances(source: Gram | StoredGram) -> Iterator[NDArray[np.float64]]:
    """Yield the non-zero d² of the full matrix, both triangles."""
    for part in source.parts():
        squared = squared_distances(part)
        squared = squared[squared != 0]
        yield squared
        if source.is_symmetric and not part.is_symmetric:
            yield squared


@dataclass(frozen=True)
class RBF(DistanceKernel):
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

    name = "rbf"

    def view(self, gram: Gram) -> tuple[NDArray[np.float64], float | None]:
        """Return the kernel values, shape (N, M), and σ."""
        sigma = self._bandwidth(gram)
        squared = squared_distances(gram)
        return np.exp(_in_units_of(squared, sigma) / -2.0), sigma


@dataclass(frozen=True)
class Laplacian(DistanceKernel):
    """The exponential kernel of the aligned images: K = exp(−d / σ), d the Euclidean distance.

    Also known as the Matérn kernel of order ½. The kernel of that name that is built on the sum of
    absolute differences is another one, and no function of V and the norms.

    Parameters
    ----------
    sigma : float or {"median", "released"}, default "median"
        As for :class:`RBF`; by the rule ``"median"`` it is the median distance.

    Notes
    -----
    Like every kernel of the distance it decreases with d: rankings by it and rank correlations are
    those of the RBF kernel.
    """

    name = "laplacian"

    def view(self, gram: Gram) -> tuple[NDArray[np.float64], float | None]:
        """Return the kernel values, shape (N, M), and σ."""
        sigma = self._bandwidth(gram)
        squared = squared_distances(gram)
        return np.exp(-np.sqrt(_in_units_of(squared, sigma))), sigma


@dataclass(frozen=True)
class RationalQuadratic(DistanceKernel):
    """A mixture of RBF kernels of many bandwidths: K = (1 + d² / 2ασ²)^(−α).

    Parameters
    ----------
    sigma : float or {"median", "released"}, default "median"
        As for :class:`RBF`.
    alpha : float, default 1.0
        How little the bandwidths vary: the smaller, the heavier the tail; towards infinity the
        kernel becomes the RBF kernel of the same σ.

    Notes
    -----
    As for :class:`Laplacian`: in ranks it is the RBF kernel.
    """

    alpha: float = 1.0

    name = "rational-quadratic"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (_is_real(self.alpha) and 0 < float(self.alpha) < np.inf):
            raise InputError(f"alpha: expected a positive finite number; got {self.alpha!r}")

    def view(self, gram: Gram) -> tuple[NDArray[np.float64], float | None]:
        """Return the kernel values, shape (N, M), and σ."""
        sigma = self._bandwidth(gram)
        squared = squared_distances(gram)
        # exp(−α log(1 + …)) keeps the digits that 1 + … would round away for a large α.
        ratio = _in_units_of(squared, sigma) / 2.0 / self.alpha
        return np.exp(-self.alpha * np.log1p(ratio)), sigma


def _in_units_of(squared: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Return d² / σ², infinite where that is too large for float64; σ² itself may be out of it."""
    with np.errstate(over="ignore"):
        ratio: NDArray[np.float64] = squared / sigma / sigma
    return ratio


def _is_real(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _check_sigma(sigma: float | str, rules: tuple[str, ...]) -> None:
    if isinstance(sigma, str):
        if sigma not in rules:
            raise InputError(
                f"sigma: expected a positive number or one of {', '.join(rules)}; got "
                f"{sigma!r}.{did_you_mean(sigma, rules)}"
            )
    elif not (_is_real(sigma) and 0 < float(sigma) < np.inf):
        raise InputError(f"sigma: expected a positive finite number; got {sigma!r}")


def squared_distances(gram: Gram) -> NDArray[np.float64]:
    """Return ‖X‖² + ‖Y‖² − 2V for every pair, shape (N, M); see :class:`RBF` for the rounding."""
    norms = gram.row_squared_norms[:, None] + gram.column_squared_norms[None, :]
    squared = norms - 2.0 * gram.values
    # No matching makes d² negative; rounding does, to near duplicates.
    squared[squared <= 8 * np.finfo(gram.dtype).eps * norms] = 0.0
    return squared


KERNELS: dict[str, type[Any]] = {
    kernel.name: kernel
    for kernel in (Linear, Cosine, RBF, Polynomial, Laplacian, RationalQuadratic)
}


def resolve_kernel(kernel: str | Kernel, sigma: float | str | None = None) -> Kernel:
    """Return the kernel object for a name; `sigma` goes to the kernels of the distance.

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
        chosen = KERNELS[kernel]
        takes_sigma = issubclass(chosen, DistanceKernel) and sigma is not None
        found: Kernel = chosen(sigma) if takes_sigma else chosen()
        return found
    if isinstance(kernel, type):
        raise InputError(f"kernel: expected an object; got the class {kernel.__name__} itself")
    if not isinstance(kernel, Kernel):
        raise InputError(
            "kernel: expected a name or an object with .name and .view(gram); got "
            f"{type(kernel).__name__}"
        )
    return kernel
