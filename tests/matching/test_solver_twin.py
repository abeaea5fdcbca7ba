"""The native solver beside its twin: the same algorithm in plain NumPy, one matrix at a time.

The twin says in a page how the solver works (docs/solver.md says why), and is an oracle: on
matrices of float64 without ties both take the same bids, and end at the same prices. It has no
vectors, no memory of rows (from 401 columns on) and no second solve.
"""

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from semrsm import _native

# ------------------------------------------------------------------------------------ the twin


def near(x):
    """The power of two next to x, by ratio."""
    mantissa, exponent = math.frexp(x)
    return math.ldexp(1.0, exponent - 1 if mantissa < 0.70710678 else exponent)


def look(a):
    """Spread and variance within rows, and whether most rows have ties at the top."""
    rows, columns = a.shape
    if columns <= 64:
        middle = a[0, 0]
        variance = ((a - middle) ** 2).mean() - (a.mean() - middle) ** 2
        tied = sum((row == row.max()).sum() > 1 for row in a[np.arange(4) * rows // 4])
        return np.ptp(a), 0.5 * variance, tied > 2
    n = max(min(4, rows), min(16, rows // 12))
    spreads, variances, ties = [], [], 0
    for s in range(n):
        row = a[s * rows // n]
        groups = [row[g::16] for g in range(16)]
        high = sorted(group.max() for group in groups)
        low = sorted(group.min() for group in groups)
        ties += high[-1] == high[-2]
        spreads.append(high[8] - low[8])
        variances.append(row.var())
    return sorted(spreads)[n // 2], sorted(variances)[n // 2], 2 * ties > n


class Twin:
    """Solves one matrix of at most as many rows as columns; see `solve`."""

    def __init__(self, a):
        self.a, (self.s, self.t) = a, a.shape
        self.rows = self.s  # or t, where rows of zeros make the problem square
        self.row_of = np.full(self.t, -1)
        self.level, self.fresh_padding = -np.inf, False
        self.free, self.lost, self.phases = [], [], []
        self.tied = False  # whether the order of columns decided on a bid
        spread, variance, self.ties = look(a) if np.ptp(a) > 0 else (0.0, 0.0, False)
        self.spread = 4 * spread if 0 < 4 * spread < np.ptp(a) else np.ptp(a)
        self.prices = np.zeros(self.t)
        # Means of the columns are good first prices where columns differ by more than chance.
        differ = a.mean(0).var() > 0.15 * variance and np.ptp(a) <= 15 * spread
        if 4 * self.s >= 3 * self.t and np.ptp(a) > 0 and not self.ties and differ:
            grid = near(np.ptp(a)) / 1024 * 1.5 * 2.0**52
            self.prices = (a.sum(0) * (1 / self.t) + grid) - grid
            self.pad()

    def is_zero(self, row):
        """Whether it is one of the rows of zeros, which bid as one."""
        return row >= self.s

    def solve(self):
        """Run the phases, then the paths; return the column of each row."""
        if self.rows == self.t and self.spread > 0 and not self.ties:
            self.auction()
        else:
            hardly_fewer = self.s < self.t <= 400 and 10 * self.s > 9 * self.t
            self.phase(0.0, 2 if hardly_fewer else 5)
            many = 6 if self.t > 400 else 3
            unplaced = len(self.free) + len(self.lost)
            if self.spread > 0 and unplaced * many > self.s:
                self.pad()
                self.auction()
        self.finish()
        return self.column_of[: self.s]

    def pad(self):
        self.rows, self.fresh_padding = self.t, self.s < self.t

    def auction(self):
        """Phases of falling epsilon, the last one without."""
        epsilon = near((0.03 if self.ties else 0.008) * self.spread)
        last = epsilon / (64 if self.t > 400 else 8 if self.t > 64 else 1)
        last = epsilon if self.ties else last
        while True:
            self.phase(epsilon)
            if self.free or self.lost or epsilon <= last:
                break
            epsilon /= 8
        self.phase(0.0)

    def phase(self, epsilon, without=5):
        """All rows of the matrix are freed and bid until each has a column or gave up."""
        self.phases.append(epsilon)
        zero_rows = [i for i in self.free + self.lost if self.is_zero(i)]
        if self.fresh_padding:
            zero_rows, self.fresh_padding = list(range(self.s, self.t)), False
        self.row_of[~self.is_zero(self.row_of)] = -1
        if self.rows > self.s:
            self.prices = np.maximum(self.prices, self.level)
        # The last of the stack bids first.
        self.free, self.lost = zero_rows + list(range(self.s - 1, -1, -1)), []
        bids = (64 if epsilon > 0 else without) * self.rows
        while self.free and bids > 0:
            bids -= 1
            i = self.free[-1]
            (self.bid_as_one if self.is_zero(i) else self.bid)(i, epsilon)

    def take(self, column, row):
        """Give a row of the top of the stack its column; whoever held that is free."""
        ousted, self.row_of[column] = self.row_of[column], row
        self.free.pop()
        if ousted >= 0:
            self.free.append(ousted)

    def give_up(self):
        self.lost.append(self.free.pop())

    def bid(self, i, epsilon):
        """Take the best column and raise its price until the second best is as good, and more."""
        gains = self.a[i] - self.prices
        best = int(gains.argmax())
        second = np.delete(gains, best).max()
        self.tied |= second == gains[best]
        raised = self.prices[best] + ((gains[best] - second) + epsilon)
        if self.row_of[best] >= 0 and not raised > self.prices[best]:
            others = np.flatnonzero((gains == gains[best]) & (self.row_of < 0))
            return self.take(others[0], i) if len(others) else self.give_up()
        self.prices[best] = raised
        return self.take(best, i)

    def bid_as_one(self, i, epsilon):
        """Take the cheapest column that no row of zeros has, at the price that all of them pay."""
        held = self.is_zero(self.row_of)
        best = int(np.where(held, np.inf, self.prices).argmin())
        price = self.prices[best]
        fresh = price if self.row_of[best] < 0 else price + epsilon
        if self.row_of[best] >= 0 and not fresh > price:
            return self.give_up()
        self.level = max(self.level, fresh)
        self.prices[held] = self.level
        self.prices[best] = self.level
        return self.take(best, i)

    def finish(self):
        """Place rows that are left: where their best column is free, else by shortest paths."""
        while self.free:
            i = self.free.pop()
            if not self.is_zero(i):
                gains = self.a[i] - self.prices
                best = int(gains.argmax())
                if self.row_of[best] < 0:
                    self.prices[best] += gains[best] - np.delete(gains, best).max()
                    self.row_of[best] = i
                    continue
            self.lost.append(i)
        self.column_of = np.full(self.rows, -1)
        taken = self.row_of >= 0
        self.column_of[self.row_of[taken]] = np.flatnonzero(taken)
        for i in self.lost:
            self.augment(i)

    def entries(self, row):
        return np.zeros(self.t) if self.is_zero(row) else self.a[row]

    def augment(self, start):
        """Dijkstra over reduced costs from a free row to the nearest free column."""
        distance, through = np.full(self.t, np.inf), np.full(self.t, -1)
        passed = np.full(self.t, np.inf)  # the distance of columns that were passed
        i, length = start, 0.0
        while True:
            fresh = np.where(np.isinf(passed), length - self.entries(i) + self.prices, np.inf)
            through[fresh < distance] = i
            distance = np.minimum(fresh, distance)
            at = distance.min()
            nearest = np.flatnonzero(distance == at)
            self.tied |= len(nearest) > 1
            column = int(nearest[np.argmax(self.row_of[nearest] < 0)])  # a free one among equals
            if self.row_of[column] < 0:
                break
            i = self.row_of[column]
            # One row of zeros reaches what any of them does: their columns are passed together.
            together = self.is_zero(self.row_of) if self.is_zero(i) else [column]
            passed[together], distance[together] = at, np.inf
            length = at + (self.entries(i)[column] - self.prices[column])
        rise = np.where(np.isfinite(passed), at - passed, 0)
        self.prices += np.maximum(rise, 0)
        while True:
            row = int(through[column])
            previous = self.column_of[row]
            self.row_of[column], self.column_of[row] = row, column
            if row == start:
                return
            column = previous

    def bound(self):
        """Weak duality: at any prices no assignment has a larger value."""
        free = (self.t - self.s) * (-self.prices).max()
        return self.prices.sum() + (self.a - self.prices).max(1).sum() + free


# ------------------------------------------------------------------------------------ the native


def native(a, kernels=""):
    """Value, bound, columns, and the prices of rows and columns."""
    a = np.ascontiguousarray(a)
    rows, columns = a.shape
    value, bound = np.empty(1), np.empty(1)
    assigned, prices = np.empty(rows, np.int32), np.empty(rows + columns)
    zero = np.zeros(1, np.int64)
    sizes = (np.array([rows], np.int32), np.array([columns], np.int32))
    cancelled = np.zeros(1, np.uint8)
    status, _ = _native.assign(
        a.reshape(-1), zero, *sizes, zero, columns, 1, 1e-6, 0, cancelled,
        value, bound, assigned, kernels, prices, zero,
    )  # fmt: skip
    assert status == 0
    return value[0], bound[0], assigned, prices[:rows], prices[rows:]


def optimum(a):
    rows, columns = linear_sum_assignment(a, maximize=True)
    return math.fsum(a[rows, columns])


def features(rng, rows, columns, channels=6):
    """Products of activations with columns that differ: prices start at the means."""
    x, y = rng.standard_normal((rows, channels)), rng.standard_normal((columns, channels))
    return np.abs(x) @ np.abs(y).T


DRAWS = {
    "normal": lambda rng, s, t: rng.standard_normal((s, t)),
    "features": features,
    "offset": lambda rng, s, t: rng.random((s, t)) - 7,
    "outlier": lambda rng, s, t: rng.random((s, t)) + 1e4 * (rng.random((s, t)) < 2 / (s * t)),
    "good columns": lambda rng, s, t: rng.random((s, t)) + 3 * rng.random(t),
    "good rows": lambda rng, s, t: rng.random((s, t)) * (1 + 3 * rng.random((s, 1))),
    "on a line": lambda rng, s, t: -np.abs(rng.random((s, 1)) - rng.random(t)),
}
SHAPES = [(2, 2), (3, 7), (16, 16), (30, 31), (49, 49), (40, 49), (90, 100), (100, 100), (30, 150)]


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_native_solver_takes_the_steps_of_its_twin(kind, shape):
    rng = np.random.default_rng(shape[1])
    for _ in range(3):
        a = DRAWS[kind](rng, *shape)
        twin = Twin(a)
        columns = twin.solve()
        best = optimum(a)
        size = np.abs(a).max() * shape[1]
        assert a[np.arange(len(a)), columns].sum() == pytest.approx(best, abs=1e-12 * size)
        assert twin.bound() == pytest.approx(best, abs=1e-12 * size)
        lowest = twin.prices.min() if shape[0] < shape[1] else 0
        for kernels in _native.kernels():
            value, bound, assigned, _, prices = native(a, kernels)
            if not twin.tied:
                np.testing.assert_array_equal(assigned, columns)
                np.testing.assert_allclose(prices, twin.prices - lowest, rtol=0, atol=1e-13 * size)
            assert value == pytest.approx(best, abs=1e-12 * size)
            assert best <= bound <= best + 1e-12 * size


@pytest.mark.parametrize("shape", [(30, 31), (49, 49), (40, 49), (90, 100), (100, 100)])
def test_ties_end_in_the_same_value(shape):
    """With ties the order of columns in a vector decides; the value may not."""
    rng = np.random.default_rng(shape[0])
    for high in (1, 3, 9):
        a = rng.integers(0, high + 1, shape).astype(float)
        twin = Twin(a)
        columns = twin.solve()
        best = optimum(a)
        assert a[np.arange(len(a)), columns].sum() == best
        for kernels in _native.kernels():
            value, bound, *_ = native(a, kernels)
            assert value == bound == best


def test_every_path_through_the_twin_is_taken():
    rng = np.random.default_rng(0)
    easy, hard = Twin(rng.random((10, 60))), Twin(features(rng, 44, 60, channels=2))
    ties, square = Twin(rng.integers(0, 2, (80, 80)) * 1.0), Twin(rng.random((40, 40)))
    wide = Twin(features(rng, 420, 420))
    for twin in (easy, hard, ties, square, wide):
        twin.solve()
    assert easy.phases == [0.0]
    assert easy.rows == 10
    assert len(hard.phases) == 3
    assert hard.phases[0] == hard.phases[-1] == 0
    assert hard.rows == 60
    assert ties.phases == [0.0]
    assert len(square.phases) == 2
    assert len(wide.phases) == 4
    assert wide.prices.any()
