"""The first view of a page, and the labels and pairs of images that the user gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import InputError, did_you_mean
from ...features.layer_names import middle_layer
from ...matching.registry import BASELINE, semantic_of
from .matches import most_changed

if TYPE_CHECKING:
    from ...features import Features
    from .views import Views


@dataclass(frozen=True)
class Start:
    """The first view of a page; the page chooses the fields that are None.

    Attributes
    ----------
    layer : str, optional
        The layer.
    order : {"given", "label", "id"}, optional
        The order of the images.
    """

    layer: str | None = None
    order: str | None = None


def check_features(views: Views, features: Features) -> None:
    """Refuse features that lack an image of the page."""
    missing = sorted(set(views.row_ids) - set(features.ids))
    if missing and views.is_symmetric:
        raise InputError(
            f"features: expected those of the images of the RSMs; {missing[0]!r} is absent"
        )


def labels_of(ids: Sequence[str], known: Any, *, given: bool) -> list[str] | None:
    """Return the label of each image, or None where labels do not distinguish images."""
    if isinstance(known, Mapping):
        missing = [name for name in ids if name not in known]
        if missing and given:
            raise InputError(f"labels: expected one for every image; {missing[0]!r} has none")
        found = None if missing else [str(known[name]) for name in ids]
    elif known is not None:
        if isinstance(known, str) or len(known) != len(ids):
            got = repr(known) if isinstance(known, str) else f"{len(known)}"
            raise InputError(f"labels: expected {len(ids)}, one for each image; got {got}")
        found = [str(label) for label in known]
    elif all("/" in name for name in ids):
        found = [name.rpartition("/")[0] for name in ids]
    else:
        found = None
    # Labels that distinguish nothing are dropped, unless the user gave them.
    if found is not None and not given and not 1 < len(set(found)) < len(found):
        return None
    return found


def pair_of(views: Views, pair: tuple[str, str]) -> tuple[int, int]:
    """Return the indices of two ids, or refuse ids that are not on the page."""
    if isinstance(pair, str) or len(pair) != 2:
        raise InputError(f"pairs: expected two ids each; got {pair!r}")
    places = []
    for name, ids in zip(pair, (views.row_ids, views.column_ids), strict=True):
        if name not in ids:
            raise InputError(
                f"pairs: expected ids of images; {name!r} is not one.{did_you_mean(name, ids)}"
            )
        places.append(ids.index(name))
    return places[0], places[1]


def start_of(
    views: Views, start: Start | None, chosen: Sequence[tuple[int, int]], labels: Any
) -> dict[str, Any]:
    """Return the layer, the two RSMs, the pair and the order that the page shows first."""
    layers = views.layers
    asked = start or Start()
    if asked.layer is not None and asked.layer not in layers:
        raise InputError(
            f"start: expected one of the layers {', '.join(layers)}; got {asked.layer!r}."
            f"{did_you_mean(asked.layer, layers)}"
        )
    orders = ["given", "id", *(["label"] if labels is not None else [])]
    if asked.order is not None and asked.order not in orders:
        raise InputError(
            f"start: expected one of the orders {', '.join(orders)}; got {asked.order!r}"
        )
    grids = {name: views.grids[name] for name in layers if name in views.grids}
    layer = asked.layer or middle_layer(grids) or layers[-1]
    pair: tuple[int, int] | None = chosen[0] if chosen else None
    if pair is None:
        changed = most_changed(views, layer, views.kernels[0], 1)
        pair = changed[0] if changed else None
    if pair is None:
        last = 0 if len(views.column_ids) == 1 or not views.is_symmetric else 1
        pair = (0, last)
    matchers = views.matchers
    first = matchers.index(BASELINE) if BASELINE in matchers else 0
    second = semantic_of(matcher for k, matcher in enumerate(matchers) if k != first)
    return {
        "layer": layers.index(layer),
        "left": first,
        "right": first if second is None else matchers.index(second),
        "pair": list(pair),
        "order": asked.order or ("label" if labels is not None else "given"),
    }
