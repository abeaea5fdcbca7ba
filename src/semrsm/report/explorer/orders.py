"""Orders of images: by label, by id, and the leaves of a hierarchical clustering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sorted_order(names: Sequence[str]) -> list[int]:
    """Return the indices that sort names; equal ones stay in their order.

    Examples
    --------
    >>> sorted_order(["b", "a", "b"])
    [1, 0, 2]
    """
    return sorted(range(len(names)), key=names.__getitem__)


def clustered_order(similarity: NDArray[np.float64]) -> list[int]:
    """Return the order of images in which those that cluster together are neighbours.

    Average linkage of the similarities, exact, in O(N²) time by chains of nearest neighbours:
    average linkage never brings a merged cluster nearer to others than its parts were, so that
    clusters which are each other's nearest may be merged at once, and the merges sorted at the end.

    Parameters
    ----------
    similarity : ndarray, shape (N, N)
        Symmetric; its diagonal is ignored.

    Returns
    -------
    list of int
        The N leaves of the tree from left to right. Of two branches, that with the earlier image
        comes first, so that images which are alike otherwise keep their order.

    Raises
    ------
    InputError
        If the matrix is not square.

    Examples
    --------
    >>> import numpy as np
    >>> clustered_order(np.array([[1, 0, 0.9], [0, 1, 0.1], [0.9, 0.1, 1]]))
    [0, 2, 1]
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise InputError(f"similarity: expected a square matrix; got shape {similarity.shape}")
    merges = _merges(-np.asarray(similarity, dtype=np.float64))
    count = len(similarity)
    leaves: dict[int, list[int]] = {image: [image] for image in range(count)}
    names = list(range(count))  # the cluster that an image of each merge is in by now

    def root(image: int) -> int:
        while names[image] != image:
            names[image] = names[names[image]]
            image = names[image]
        return image

    for _, left, right in sorted(merges, key=lambda merge: merge[0]):
        first, second = sorted((root(left), root(right)))
        leaves[first] += leaves.pop(second)  # a cluster is named after its earliest image
        names[second] = first
    return leaves[0] if count else []


def _merges(distance: NDArray[np.float64]) -> list[tuple[float, int, int]]:
    """Return height and one image of either side of every merge, in no particular order."""
    count = len(distance)
    distance = distance.copy()
    np.fill_diagonal(distance, np.inf)
    sizes = np.ones(count)
    there = np.ones(count, dtype=bool)
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(merges) < count - 1:
        if not chain:
            chain.append(int(np.argmax(there)))
        top = chain[-1]
        row = distance[top]
        nearest = int(np.argmin(row))
        # Among equals the one that the chain came from ends it; otherwise ties could go round.
        if len(chain) > 1 and row[chain[-2]] <= row[nearest]:
            nearest = chain[-2]
            chain = chain[:-2]
            kept, gone = sorted((top, nearest))
            merges.append((float(row[nearest]), kept, gone))
            total = sizes[kept] + sizes[gone]
            mean = (sizes[kept] * distance[kept] + sizes[gone] * distance[gone]) / total
            mean[[kept, gone]] = np.inf
            distance[kept], distance[:, kept] = mean, mean
            distance[gone], distance[:, gone] = np.inf, np.inf
            sizes[kept] = total
            there[gone] = False
        else:
            chain.append(nearest)
    return merges
