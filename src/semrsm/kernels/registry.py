"""Kernels by name: the registry, and the syntax of names with options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from .._internal.labels import by_label, from_label, listed, registered
from ..errors import InputError
from .base import Kernel
from .distances import RBF, Laplacian, RationalQuadratic
from .products import Cosine, Linear, Polynomial

KERNELS: dict[str, type[Kernel]] = {
    kernel.name: kernel
    for kernel in (Linear, Cosine, RBF, Polynomial, Laplacian, RationalQuadratic)
}

Made = TypeVar("Made", bound=type[Kernel])


def register(kernel: Made) -> Made:
    """Register a kernel by its name, for every function that takes names; usable as a decorator.

    Parameters
    ----------
    kernel : type
        A subclass of :class:`Kernel` with a name, whose options have defaults.

    Raises
    ------
    InputError
        If it is not such a class, another kernel has the name, or an option has no default.
    """
    registered(KERNELS, kernel, Kernel, "kernel")
    return kernel


def resolve_kernel(kernel: str | Kernel, sigma: float | str | None = None) -> Kernel:
    """Return the kernel object for a name or label, with its bandwidth.

    Parameters
    ----------
    kernel : str or Kernel
        A name such as ``"rbf"``, a label such as ``"polynomial:degree=2"``, or an object.
    sigma : float or str, optional
        The bandwidth of a kernel that is given by its name and has one.

    Raises
    ------
    InputError
        If the name is unknown, the object is not a kernel, or it does not take `sigma`.

    Examples
    --------
    >>> resolve_kernel("rbf", 3.0)
    RBF(sigma=3.0)
    """
    if isinstance(kernel, str):
        found = from_label(kernel, KERNELS, "kernel", "")
        if sigma is None:
            return found
        if not found.takes_sigma:
            raise InputError(
                f"sigma: expected None for the kernel {kernel!r}, which has no bandwidth; got "
                f"{sigma!r}"
            )
        if "sigma=" in kernel:
            raise InputError(f"sigma: expected None for {kernel!r}, which names one; got {sigma!r}")
        fields: Any = found
        made: Kernel = replace(fields, sigma=sigma)
        return made
    if isinstance(kernel, type):
        raise InputError(f"kernel: expected an object; got the class {kernel.__name__} itself")
    if not isinstance(kernel, Kernel):
        raise InputError(
            "kernel: expected a name or an object of a subclass of semrsm.kernels.Kernel; got "
            f"{type(kernel).__name__}"
        )
    if sigma is not None:
        raise InputError(
            f"sigma: expected None with a kernel object, which has its own options; got {sigma!r} "
            f"beside {kernel!r}"
        )
    return kernel


def resolve_kernels(
    kernels: str | Kernel | Sequence[str | Kernel],
    sigma: float | str | None = None,
    *,
    required: bool = True,
) -> dict[str, Kernel]:
    """Return several kernels by label; `sigma` goes to those that take it.

    Parameters
    ----------
    kernels : str, Kernel or sequence of them
        As for :func:`resolve_kernel`.
    sigma : float or str, optional
        The bandwidth.
    required : bool, default True
        Whether `sigma` is refused if no kernel takes it.

    Raises
    ------
    InputError
        If there are no kernels, one is unknown or named twice, or no kernel takes `sigma`.

    Examples
    --------
    >>> resolve_kernels(["cosine", "rbf"], 2.0)
    {'cosine': Cosine(), 'rbf': RBF(sigma=2.0)}
    """
    given = listed(kernels)
    named = [resolve_kernel(kernel) for kernel in given]
    labels = by_label(named, "kernels")
    if sigma is None:
        return labels
    takers = [
        kernel
        for kernel, found in zip(given, named, strict=True)
        if isinstance(kernel, str) and "sigma=" not in kernel and _takes(found, sigma)
    ]
    if not takers and required:
        # Named in full where there is one kernel, and an unknown rule is refused by name.
        for kernel, found in zip(given, named, strict=True):
            if isinstance(kernel, str) and found.takes_sigma:
                resolve_kernel(kernel, sigma)
        raise InputError(
            f"sigma: expected a kernel that takes one among {', '.join(labels)}; got {sigma!r}"
        )
    return {
        label: resolve_kernel(kernel, sigma) if kernel in takers else found
        for (label, found), kernel in zip(labels.items(), given, strict=True)
    }


def _takes(kernel: Kernel, sigma: float | str) -> bool:
    return kernel.takes_sigma and (not isinstance(sigma, str) or sigma in kernel.sigma_rules)
