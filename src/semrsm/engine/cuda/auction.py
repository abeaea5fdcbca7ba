"""Assignments on the GPU: an auction with ε-scaling [1]_ in Triton, one program for each matrix.

All rows without a column bid at once, in rounds: each for the column that is best for it at the
current prices, as much more as that column is worth to it than the second best, and ε. The highest
bid takes the column from its row. When every row has a column, weak duality bounds how far the
assignment is from the optimum; ε goes down, and all columns are given back, until that
is little enough.

After the first rounds of a phase few rows are without a column. A matrix stays in the cache and is
read in blocks of a few rows; blocks whose rows all hold a column are skipped. Counted in
instructions of the compiled code, this is a sixth of the work of a kernel that holds a matrix of 49
vectors in registers and reads all of it in every round.

Importing this module needs Triton. With TRITON_INTERPRET=1 in the environment it runs on the CPU,
very slowly, for tests.

References
----------
.. [1] D. P. Bertsekas, "The auction algorithm: a distributed relaxation method for the assignment
   problem", Annals of Operations Research 14, 1988.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import require

if TYPE_CHECKING:
    import torch
    import triton
    import triton.language as tl
else:
    triton = require("triton", extra="cuda", purpose="Matching on a GPU")
    tl = require("triton.language", extra="cuda", purpose="Matching on a GPU")
    torch = require("torch", extra="cuda", purpose="Matching on a GPU")

#: Rows that are read together. Few rows bid in most rounds: blocks without a bidder are skipped.
BLOCK_ROWS = 4

#: Columns for each warp of a program, and the most warps: a round has few instructions, and no
#: register is spilled.
COLUMNS_PER_WARP, MOST_WARPS = 128, 16

#: ε of the first phase as a share of the range of the entries, and the factor from each phase to
#: the next. On features of real photographs the choice matters little: with first shares from 0.005
#: to 0.2 the numbers of rounds differ by a fifth; their means are in docs/gpu.md.
FIRST, FACTOR = tl.constexpr(0.02), tl.constexpr(0.1)

#: ε as a share of the range below which float32 cannot tell bids apart.
LEAST = tl.constexpr(1e-7)

#: The owner of a column that belongs to a padding row.
MISSING = tl.constexpr(-2)

#: The machine epsilon of float64, twice its unit of rounding.
ROUNDING = tl.constexpr(2.220446049250313e-16)

LARGEST_FLOAT = tl.constexpr(3.4028234663852886e38)


class Status(enum.IntEnum):
    """How a matrix ended."""

    SOLVED = 0  #: within the tolerance
    OPEN = 1  #: not within the tolerance: for another solver
    NOT_FINITE = 2  #: an entry is NaN or infinite


@dataclass(frozen=True, eq=False)
class Solved:
    """The results for P matrices, as tensors on their device.

    Attributes
    ----------
    values : Tensor of float64, shape (P,)
        The sum of the assigned entries.
    upper_bounds : Tensor of float64, shape (P,)
        No assignment has a larger value.
    rounds : Tensor of int32, shape (P,)
        Rounds of bids.
    status : Tensor of int32, shape (P,)
        The :class:`Status` of each matrix. Only solved matrices have a value and a bound.
    """

    values: torch.Tensor
    upper_bounds: torch.Tensor
    rounds: torch.Tensor
    status: torch.Tensor


def solve(
    affinity: torch.Tensor,
    offsets: torch.Tensor,
    rows: torch.Tensor,
    columns: torch.Tensor,
    *,
    row_stride: int,
    widest: int,
    tolerance: float = 1e-5,
    most_rounds: int | None = None,
) -> Solved:
    """Solve matrices that lie anywhere inside one buffer; input is trusted.

    Parameters
    ----------
    affinity : Tensor of float32, 1-D
        The buffer, on a CUDA device (on the CPU under Triton's interpreter).
    offsets : Tensor of int64, shape (P,)
        The first entry of each matrix.
    rows, columns : Tensor of int32, shape (P,)
        S and T of each.
    row_stride : int
        Entries between the rows of a matrix; its columns are neighbours.
    widest : int
        The largest S or T, at most ``semrsm.engine.cuda.limits.LARGEST``.
    tolerance : float, default 1e-5
        The relative gap between value and bound at which a matrix is solved.
    most_rounds : int, optional
        The most rounds: a matrix not solved by then gets ``Status.OPEN``. 64 for each column by
        default.

    Returns
    -------
    Solved
    """
    count = len(offsets)
    device = affinity.device
    found = Solved(
        torch.zeros(count, dtype=torch.float64, device=device),
        torch.zeros(count, dtype=torch.float64, device=device),
        torch.zeros(count, dtype=torch.int32, device=device),
        torch.zeros(count, dtype=torch.int32, device=device),
    )
    if count == 0:
        return found
    width, warps = form_of(widest)
    auction[(count,)](
        affinity,
        offsets,
        rows,
        columns,
        row_stride,
        tolerance,
        most_rounds or 64 * widest,
        found.values,
        found.upper_bounds,
        found.rounds,
        found.status,
        WIDTH=width,
        BLOCK_ROWS=BLOCK_ROWS,
        num_warps=warps,
        enable_fp_fusion=True,  # a product and a sum may be fused: no result depends on it
    )
    return found


def form_of(widest: int) -> tuple[int, int]:
    """Return the columns (a power of two) and the warps of a program for matrices of this size."""
    width = 16
    while width < widest:
        width *= 2
    return width, min(MOST_WARPS, max(1, width // COLUMNS_PER_WARP))


@triton.jit
def opened(here, data, offsets, rows, columns, row_stride):  # type: ignore[no-untyped-def]
    """Return the place and strides of a matrix, and its sides: the shorter one bids for the longer.

    The rows that would make the matrix square value every column at zero: they change no value, and
    every column finds a row, whatever its price.
    """
    size = tl.load(rows + here)
    width = tl.load(columns + here)
    step = tl.where(size > width, 1, row_stride).to(tl.int64)
    across = tl.where(size > width, row_stride, 1).to(tl.int64)
    start = data + tl.load(offsets + here)
    return start, step, across, tl.minimum(size, width), tl.maximum(size, width)


@triton.jit
def begun(largest, smallest, bidders):  # type: ignore[no-untyped-def]
    """Return the range of the entries, and the value, bound and status before the first bid."""
    half = largest * 0.5 - smallest * 0.5  # the whole range may overflow float32
    scale = 2.0 * tl.minimum(half, 1e37)
    # If all entries are equal, every assignment is optimal.
    value = largest.to(tl.float64) * bidders
    bound = tl.where(half == 0.0, value, tl.full([], float("inf"), dtype=tl.float64))
    usable = (half > 1e-30) & (half < 1e37)
    return scale, value, bound, tl.where(half == 0.0, 1, tl.where(usable, 0, 2))


@triton.jit
def judged(value, total, bound, tolerance, is_last):  # type: ignore[no-untyped-def]
    """Return the best bound so far, and 1 if it is within the tolerance, 2 if ε is the last."""
    bound = tl.maximum(tl.minimum(bound, total), value)
    near = bound - value <= tolerance * tl.maximum(tl.abs(value), tl.abs(bound))
    return bound, tl.where(near, 1, tl.where(is_last, 2, 0))


@triton.jit
def certificate(  # type: ignore[no-untyped-def]
    start,
    step,
    across,
    bidders,
    goods,
    price,
    owner,
    WIDTH: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
):
    """Return the value of an assignment and the dual bound at some prices, in float64.

    The bound is Σ_k p_k + Σ_i max_k (A[i, k] − p_k), over the matrix made square by rows of zeros.
    """
    k = tl.arange(0, WIDTH)
    paid = tl.where(k < goods, price, 0.0).to(tl.float64)
    total = tl.sum(paid, axis=0)
    value = total * 0.0
    mass = tl.sum(tl.abs(paid), axis=0)
    for first in range(0, goods, BLOCK_ROWS):
        i = first + tl.arange(0, BLOCK_ROWS)
        real = (i[:, None] < bidders) & (k[None, :] < goods)
        entry = tl.load(start + i[:, None] * step + k[None, :] * across, mask=real, other=0.0)
        exact = entry.to(tl.float64)
        mine = (owner[None, :] == i[:, None]) & real
        value += tl.sum(tl.sum(tl.where(mine, exact, 0.0), axis=1), axis=0)
        left = tl.where(k[None, :] < goods, exact - paid[None, :], -float("inf"))
        most = tl.where(i < goods, tl.max(left, axis=1), 0.0)
        total += tl.sum(most, axis=0)
        mass += tl.sum(tl.abs(most), axis=0)
    # Raised by more than the rounding of the sums, so that the bound is never below the optimum.
    return value, total + mass * (goods + 4) * ROUNDING


@triton.jit
def bids_of_missing_rows(  # type: ignore[no-untyped-def]
    price, owner, highest, winner, bidders, goods, epsilon, WIDTH: tl.constexpr
):
    """Let the rows that would make the matrix square bid, as one: they are all equal.

    The f padding rows without a column bid for the f cheapest columns that no padding row holds, up
    to the price of the next cheapest plus ε. One by one they would outbid each other by ε in each
    round.
    """
    k = tl.arange(0, WIDTH)
    other = (owner != MISSING) & (k < goods)
    count = goods - bidders - tl.sum((owner == MISSING).to(tl.int32), axis=0)
    if count > 0:
        bits = price.to(tl.int32, bitcast=True)
        key = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers in the order of the prices
        low = tl.min(tl.where(other, key, 0x7F800000), axis=0).to(tl.int64)
        high = tl.max(tl.where(other, key, -0x7F800001), axis=0).to(tl.int64)
        while low < high:  # the key of the f-th cheapest
            middle = (low + high) >> 1
            if tl.sum((other & (key <= middle)).to(tl.int32), axis=0) >= count:
                high = middle
            else:
                low = middle + 1
        below = other & (key < low)
        level = other & (key == low)
        left = count - tl.sum(below.to(tl.int32), axis=0)
        chosen = below | (level & (tl.cumsum(level.to(tl.int32), axis=0) <= left))
        following = tl.min(tl.where(other & ~chosen, price, float("inf")), axis=0)
        rise = tl.where(chosen, following - price + epsilon, 0.0)
        winner = tl.where(rise > highest, MISSING, winner)
        highest = tl.maximum(rise, highest)
    return highest, winner, count


@triton.jit
def auction(  # type: ignore[no-untyped-def]
    data,
    offsets,
    rows,
    columns,
    row_stride,
    tolerance,
    most_rounds,
    values,
    upper_bounds,
    rounds,
    status,
    WIDTH: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
):
    """Solve one matrix, which is read in blocks of rows."""
    here = tl.program_id(0)
    start, step, across, bidders, goods = opened(here, data, offsets, rows, columns, row_stride)
    inside = tl.arange(0, BLOCK_ROWS)
    k = tl.arange(0, WIDTH)
    sums = tl.zeros([WIDTH], dtype=tl.float32)
    ordinary = 0  # finite entries, minus all entries read
    largest = -LARGEST_FLOAT + 0.0
    smallest = LARGEST_FLOAT + 0.0
    for first in range(0, goods, BLOCK_ROWS):
        i = first + inside
        real = (i[:, None] < bidders) & (k[None, :] < goods)
        square = (i[:, None] < goods) & (k[None, :] < goods)
        entry = tl.load(start + i[:, None] * step + k[None, :] * across, mask=real, other=0.0)
        sums += tl.sum(entry, axis=0)
        ordinary += tl.sum(tl.sum((tl.abs(entry) <= LARGEST_FLOAT).to(tl.int32), axis=1), axis=0)
        high = tl.max(tl.max(tl.where(square, entry, -LARGEST_FLOAT), axis=1), axis=0)
        low = tl.min(tl.min(tl.where(square, entry, LARGEST_FLOAT), axis=1), axis=0)
        ordinary -= BLOCK_ROWS * WIDTH
        largest = tl.maximum(largest, high)
        smallest = tl.minimum(smallest, low)
    if ordinary < 0:
        tl.store(status + here, 2)
        return
    scale, value, bound, done = begun(largest, smallest, bidders)

    mean = sums / goods - largest
    price = tl.where((k < goods) & (bidders == goods), mean, 0.0)
    owner = tl.full([WIDTH], -1, dtype=tl.int32)
    epsilon = scale * FIRST
    turn = 0
    while (done == 0) & (turn < most_rounds):
        waiting = 0
        highest = tl.zeros([WIDTH], dtype=tl.float32)
        winner = tl.full([WIDTH], -1, dtype=tl.int32)
        for first in range(0, bidders, BLOCK_ROWS):
            i = first + inside
            held = tl.max((owner[None, :] == i[:, None]).to(tl.int32), axis=1)
            free = (held == 0) & (i < bidders)
            count = tl.sum(free.to(tl.int32), axis=0)
            waiting += count
            if count > 0:
                real = (i[:, None] < bidders) & (k[None, :] < goods)
                at = start + i[:, None] * step + k[None, :] * across
                entry = tl.load(at, mask=real, other=0.0)
                worth = tl.where(k[None, :] < goods, entry - largest, -float("inf"))
                surplus = worth - price[None, :]
                best, favourite = tl.max(surplus, axis=1, return_indices=True)
                wanted = k[None, :] == favourite[:, None]
                second = tl.max(tl.where(wanted, -float("inf"), surplus), axis=1)
                second = tl.where(second == -float("inf"), best, second)
                rise = best - second + epsilon
                bids = tl.where(wanted & free[:, None], rise[:, None], 0.0)
                high, who = tl.max(bids, axis=0, return_indices=True)
                winner = tl.where(high > highest, first + who, winner)
                highest = tl.maximum(high, highest)
        if bidders < goods:
            highest, winner, count = bids_of_missing_rows(
                price, owner, highest, winner, bidders, goods, epsilon, WIDTH
            )
            waiting += count
        price += highest
        owner = tl.where(highest > 0.0, winner, owner)
        turn += 1
        if waiting == 0:
            # Padding rows lose nothing if all their columns have the price of the dearest of them.
            dearest = tl.max(tl.where(owner == MISSING, price, -float("inf")), axis=0)
            price = tl.where(owner == MISSING, dearest, price)
            value, total = certificate(
                start, step, across, bidders, goods, price, owner, WIDTH, BLOCK_ROWS
            )
            bound, done = judged(value, total, bound, tolerance, epsilon <= scale * LEAST)
            if done == 0:
                epsilon = tl.maximum(epsilon * FACTOR, scale * LEAST)
                owner = tl.full([WIDTH], -1, dtype=tl.int32)
    tl.store(values + here, value)
    tl.store(upper_bounds + here, bound)
    tl.store(rounds + here, turn)
    tl.store(status + here, tl.where(done == 1, 0, 1))
