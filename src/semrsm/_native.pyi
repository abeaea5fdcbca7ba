from typing import Any

import numpy as np
from numpy.typing import NDArray

def kernels() -> list[str]: ...
def assign(
    data: NDArray[Any],
    offsets: NDArray[np.int64],
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    result_offsets: NDArray[np.int64],
    row_stride: int,
    column_stride: int,
    tolerance: float,
    taken: int,
    cancelled: NDArray[np.uint8],
    values: NDArray[np.float64],
    upper_bounds: NDArray[np.float64],
    assigned: NDArray[np.int32] | None,
    kernels: str,
    prices: NDArray[np.float64] | None = None,
    price_offsets: NDArray[np.int64] | None = None,
) -> tuple[int, int]: ...
def greedy(
    data: NDArray[Any],
    offsets: NDArray[np.int64],
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    result_offsets: NDArray[np.int64],
    row_stride: int,
    column_stride: int,
    tolerance: float,
    taken: int,
    cancelled: NDArray[np.uint8],
    values: NDArray[np.float64],
    upper_bounds: NDArray[np.float64],
    assigned: NDArray[np.int32] | None,
    kernels: str,
    prices: None = None,
    price_offsets: None = None,
) -> tuple[int, int]: ...
def search(
    data: NDArray[Any],
    offsets: NDArray[np.int64],
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    row_stride: int,
    tolerance: float,
    cancelled: NDArray[np.uint8],
    stop_below: NDArray[np.float64],
    prices: NDArray[Any] | None,
    price_offsets: NDArray[np.int64] | None,
    values: NDArray[np.float64],
    upper_bounds: NDArray[np.float64],
    stages: NDArray[np.uint8],
    kernels: str,
) -> tuple[int, int]: ...
def banded(
    left: NDArray[Any],
    right: NDArray[Any],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    height: int,
    width: int,
    channels: int,
    radius: int,
    cancelled: NDArray[np.uint8],
    values: NDArray[np.float64],
    upper_bounds: NDArray[np.float64],
    assigned: NDArray[np.int32],
) -> tuple[int, int]: ...
def matched_sums(
    left: NDArray[Any],
    right: NDArray[Any],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    size: int,
    stride: int,
    channels: int,
    matchings: NDArray[np.int32],
    values: NDArray[np.float64],
) -> None: ...
