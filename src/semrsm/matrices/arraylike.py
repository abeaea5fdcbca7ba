"""Matrices where an array is expected: NumPy's functions, operators, indexing, DLPack.

Arrays come back from all of them: a function of an RSM is rarely an RSM. :meth:`semrsm.RSM.select`
and :meth:`semrsm.RSM.part` return matrices with their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ArrayLike(NDArrayOperatorsMixin):
    """The protocols of arrays, for a matrix with ``shape`` and ``whole``.

    A mixin and no base: it adds names that the language reserves, and nothing else. Comparisons are
    elementwise, like those of arrays, and matrices are hashed by identity.
    """

    shape: Any

    def whole(self) -> NDArray[np.float64]:
        """Return all values, shape (N, M), float64; not to be written to."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """The number of axes: 2."""
        return 2

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        """Yield the rows; pandas takes only what can be iterated over."""
        return iter(self.whole().copy())

    def __getitem__(self, key: Any) -> Any:
        """Return an entry, or a copy of some of the values; indexed like an array."""
        found = self.whole()[key]
        return found.copy() if isinstance(found, np.ndarray) else found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is None:
            return np.asarray(self.whole(), dtype=dtype)
        return np.array(self.whole(), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(one, ArrayLike) for one in options.get("out", ())):
            return NotImplemented
        arrays = (np.asarray(one) if isinstance(one, ArrayLike) else one for one in inputs)
        return getattr(ufunc, method)(*arrays, **options)

    def __dlpack__(self, **options: Any) -> Any:
        # torch takes a DLPack capsule in one piece; without one it would go through the rows.
        return self.whole().copy().__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return (1, 0)  # the CPU

    __hash__ = object.__hash__
