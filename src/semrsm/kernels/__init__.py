"""Kernels as closed-form views of one Gram: V and the squared norms are all that they need.

A new kernel is one class::

    class Angle(semrsm.kernels.Kernel):
        name = "angle"
        is_bounded = True

        def values(self, inner, row_squared, column_squared, dtype):
            cosines = Cosine().values(inner, row_squared, column_squared, dtype)
            return 1 - np.arccos(np.clip(cosines, -1, 1)) / np.pi

    gram.rsm(Angle())

:func:`register` makes it available by name, also in the command.
"""

from .base import Kernel
from .distances import (
    RBF,
    SIGMA_RULES,
    DistanceKernel,
    Laplacian,
    RationalQuadratic,
    squared_distances,
)
from .products import Cosine, Linear, Polynomial
from .registry import KERNELS, register, resolve_kernel, resolve_kernels

__all__ = [
    "KERNELS",
    "RBF",
    "SIGMA_RULES",
    "Cosine",
    "DistanceKernel",
    "Kernel",
    "Laplacian",
    "Linear",
    "Polynomial",
    "RationalQuadratic",
    "register",
    "resolve_kernel",
    "resolve_kernels",
    "squared_distances",
]
