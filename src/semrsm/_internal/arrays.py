"""Arrays as users bring them, turned into NumPy arrays of a floating type."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]

#: The dtypes that the solver computes in. Half precision is widened, which is exact.
COMPUTE_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which values of `dtype` are computed: float32, or float64 for float64.

    Integers are computed in float64, which is exact up to 2**53.
    """
    if dtype.kind in "iub" or dtype.itemsize == 8:
        return np.dtype(np.float64)
    return np.dtype(np.float32)


def is_torch_tensor(x: object) -> bool:
    """Return whether `x` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_array(x: object) -> bool:
    """Return whether `x` is one array (NumPy, torch, Zarr, …) and not a list of arrays."""
    return hasattr(x, "shape") and hasattr(x, "dtype")


def is_array_in_memory(x: object) -> bool:
    """Return whether `x` is a NumPy array or a torch tensor, and not a memory map."""
    if isinstance(x, np.ndarray):
        return not isinstance(x, np.memmap) and not isinstance(x.base, np.memmap)
    return is_torch_tensor(x)


def to_numpy(x: Any, name: str) -> Array:
    """Return `x` as a NumPy array of a floating or integer type; a view where that is possible.

    Parameters
    ----------
    x : array-like or torch.Tensor
        Any float or integer type; bfloat16 becomes float32, a tensor on a device comes to the host.
    name : str
        The argument's name, for the error.

    Raises
    ------
    InputError
        If `x` is not an array of real numbers.
    """
    if hasattr(x, "tocsr"):
        raise InputError(
            f"{name}: expected a dense array; got {type(x).__name__}, which is sparse: .toarray()"
        )
    if is_torch_tensor(x):
        _check_tensor(x, name)
        x = x.detach().cpu()
        if str(x.dtype) == "torch.bfloat16":
            x = x.float()
        x = x.numpy()
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise InputError(f"{name}: expected an array without masked entries")
    try:
        array = np.asarray(x)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: expected an array of numbers; got {type(x).__name__}") from error
    if array.dtype.name == "bfloat16":  # the ml_dtypes extension type
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise InputError(
            f"{name}: expected real numbers of at most 64 bits; got dtype {array.dtype}"
        )
    return array


def _check_tensor(x: Any, name: str) -> None:
    """Refuse tensors that have no dense numbers.

    Raises
    ------
    InputError
    """
    if x.is_nested:
        raise InputError(f"{name}: expected an array; got a nested tensor: list({name}.unbind())")
    if str(x.layout) != "torch.strided":
        raise InputError(f"{name}: expected a dense tensor; got a sparse one: .to_dense()")
    if x.is_quantized:
        raise InputError(f"{name}: expected numbers; got a quantised tensor: .dequantize()")
    if x.device.type == "meta":
        raise InputError(f"{name}: expected numbers; got a tensor on the meta device, without any")
