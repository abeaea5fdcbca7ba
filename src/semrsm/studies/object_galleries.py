"""The objects of each image, the gallery of each query, and the order of its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..features import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def _aligned(values: Any, ids: Sequence[str], name: str, what: str) -> list[Any]:
    """Return one entry for each image, of a sequence or a mapping by id."""
    if isinstance(values, Mapping):
        missing = [i for i in ids if i not in values]
        if missing:
            raise InputError(
                f"{name}: expected {what} for each image; there is none for {missing[0]!r}"
                + (f" and {len(missing) - 1} more" if missing[1:] else "")
            )
        return [values[i] for i in ids]
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name}: expected {what} for each image; got {type(values).__name__}")
    listed = list(values)
    if len(listed) != len(ids):
        raise InputError(
            f"{name}: expected {len(ids)}, {what} for each image of the features; got {len(listed)}"
        )
    return listed


def membership_of(objects: Any, ids: Sequence[str]) -> tuple[NDArray[np.bool_], list[Any]]:
    """Return which image shows which object, shape (N, O), and the objects."""
    sets = []
    for i, found in enumerate(_aligned(objects, ids, "objects", "a set")):
        if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
            raise InputError(f"objects: expected a set for image {ids[i]!r}; got {found!r}")
        sets.append(set(found))
    vocabulary = sorted(set().union(*sets), key=str)
    places = {name: o for o, name in enumerate(vocabulary)}
    membership = np.zeros((len(sets), len(vocabulary)), dtype=bool)
    for i, found in enumerate(sets):
        membership[i, [places[name] for name in found]] = True
    return membership, vocabulary


def galleries_of(groups: Any, ids: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Return the gallery of each image, shape (N, N), by the images that are excluded."""
    found = {"self": ~np.eye(len(ids), dtype=bool)}
    if groups is not None:
        keys = _aligned(groups, ids, "groups", "a key")
        numbers = {key: g for g, key in enumerate(dict.fromkeys(keys))}
        own = np.array([numbers[key] for key in keys])
        found["group"] = own[:, None] != own[None, :]
    return found


def group_sizes(groups: Any, ids: Sequence[str]) -> dict[str, int]:
    """Return how many images each group has."""
    sizes: dict[str, int] = {}
    for key in _aligned(groups, ids, "groups", "a key"):
        sizes[str(key)] = sizes.get(str(key), 0) + 1
    return sizes


def ranking(
    similarities: Array, queries: NDArray[np.int64], gallery: NDArray[np.bool_], depth: int
) -> NDArray[np.int64]:
    """Return the most similar images of each query, the most similar first.

    Parameters
    ----------
    similarities : ndarray of float64, shape (N, N)
        Each row's image is the query, each column's the result.
    queries : ndarray of int64, shape (Q,)
    gallery : ndarray of bool, shape (N, N)
        Whether each column's image is in the gallery of each row's.
    depth : int
        The number of results; at most the size of the smallest gallery.

    Returns
    -------
    ndarray of int64, shape (Q, depth)
        Ties in the order of the data set.

    Examples
    --------
    >>> values = np.array([[9, 1, 2, 2], [1, 9, 0, 0], [2, 0, 9, 0], [2, 0, 0, 9]])
    >>> ranking(values, np.array([0, 1]), ~np.eye(4, dtype=bool), 2)
    array([[2, 3],
           [0, 2]])
    """
    smallest = int(gallery[queries].sum(axis=1).min())
    found = np.where(gallery[queries], -similarities[queries].astype(np.float64), np.inf)
    return np.argsort(found, axis=1, kind="stable")[:, : min(depth, smallest)].astype(np.int64)


def known_objects(data: Any, dataset: str) -> Sequence[Any]:
    """Return the objects of each image of a data set: its class, where only classes are known.

    Raises
    ------
    InputError
        If the data set has neither objects nor labels.
    """
    if data.objects is not None:
        return list(data.objects)
    if data.labels is not None:
        return [{label} for label in data.labels]
    raise InputError(
        f"--dataset: expected a data set that says what its images show; {dataset!r} does not"
    )


def of_ids(values: Sequence[Any] | None, data: Any, features: Features) -> Any:
    """Return the entries of a data set, one for each image, in the order of the features."""
    if values is None:
        return None
    by_id = dict(zip(data.ids, values, strict=True))
    return [by_id[name] for name in features.ids]


def check_depth(data: Any, objects: Sequence[Any], k: int) -> None:
    """Refuse a k larger than a query's gallery, before features are extracted."""
    groups = data.groups or data.ids
    members = Counter(groups)
    queries = [i for i, shown in enumerate(objects) if shown]
    if not queries:
        raise InputError("SOURCE: expected at least one image with objects; there is none")
    query = max(queries, key=lambda i: members[groups[i]])
    others = len(data) - members[groups[query]]
    if k > others:
        where = "" if data.groups is None else " outside its group"
        raise InputError(
            f"-k: expected at most {others}, the other images{where} that the query "
            f"{data.ids[query]!r} has; got {k}"
        )
