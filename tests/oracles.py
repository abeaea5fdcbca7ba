"""Slow and obvious implementations to test against."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def inner_product(x, y, matching):
    """Σ ⟨x_s, y_matching[s]⟩ in float64, unmatched vectors left out."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return float(sum(x[s] @ y[t] for s, t in enumerate(matching) if t >= 0))


def optimal(x, y):
    affinity = np.asarray(x, np.float64) @ np.asarray(y, np.float64).T
    rows, columns = linear_sum_assignment(affinity, maximize=True)
    matching = np.full(len(x), -1)
    matching[rows] = columns
    return matching


def greedy_on(affinity):
    """Rows by descending best affinity (ties: first row), each its best free column (first)."""
    affinity = np.asarray(affinity, np.float64)
    if affinity.shape[0] > affinity.shape[1]:
        back = greedy_on(affinity.T)
        matching = np.full(affinity.shape[0], -1)
        matching[back] = np.arange(len(back))
        return matching
    matching = np.full(affinity.shape[0], -1)
    free = np.ones(affinity.shape[1], dtype=bool)
    for row in sorted(range(len(affinity)), key=lambda i: (-affinity[i].max(), i)):
        column = max(np.flatnonzero(free), key=lambda k: (affinity[row, k], -k))
        matching[row] = column
        free[column] = False
    return matching


def greedy(x, y):
    return greedy_on(np.asarray(x, np.float64) @ np.asarray(y, np.float64).T)


def by_norm(x):
    return np.argsort(-np.linalg.norm(np.asarray(x, np.float64), axis=1), kind="stable")


def topk_greedy(x, y, k):
    left, right = by_norm(x), by_norm(y)
    affinity = np.asarray(x, np.float64)[left] @ np.asarray(y, np.float64)[right].T
    matching = np.full(len(x), -1)
    rows, columns = linear_sum_assignment(affinity[:k, :k], maximize=True)
    matching[left[rows]] = right[columns]
    if min(len(x), len(y)) > k:
        # The rows are those of the smaller image; best affinities count the columns that are left.
        for i, c in enumerate(greedy_on(affinity[k:, k:])):
            if c >= 0:
                matching[left[k + i]] = right[k + c]
    return matching


def batch_optimal(x, y, window):
    left, right = by_norm(x), by_norm(y)
    matching = np.full(len(x), -1)
    smaller = min(len(x), len(y))
    for first in range(0, smaller, window):
        last = first + window
        final = last >= smaller
        a = left[first:] if final else left[first:last]
        b = right[first:] if final else right[first:last]
        found = optimal(np.asarray(x)[a], np.asarray(y)[b])
        for i, c in enumerate(found):
            if c >= 0:
                matching[a[i]] = b[c]
    return matching


MATCHERS = {
    "none": lambda x, y: np.arange(len(x)),
    "optimal": optimal,
    "greedy": greedy,
    "topk-greedy": lambda x, y: topk_greedy(x, y, 256),
    "batch-optimal": lambda x, y: batch_optimal(x, y, 128),
}


def gram(x, y, matcher="optimal"):
    """V of lists of images by a double loop."""
    return np.array([[inner_product(a, b, MATCHERS[matcher](a, b)) for b in y] for a in x])
