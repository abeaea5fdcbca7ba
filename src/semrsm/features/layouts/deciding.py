"""The layouts of the layers of a network: proven once, and held against the declarations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ...errors import InputError
from .declared import USUAL_PREFIXES, Claim, Declared
from .probe import Evidence, Outputs, probed
from .proof import is_elsewhere, judged
from .reading import Layout

Array = np.ndarray[Any, np.dtype[Any]]

#: The reason of layers that were not checked.
UNCHECKED = "not checked, as asked"

#: What networks raise for an input that they cannot take, such as a single image.
CANNOT_RUN = (
    RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError
)  # fmt: skip

_TWINS: dict[Any, dict[str, Layout]] = {}

_PROVEN: WeakKeyDictionary[Any, dict[Any, dict[str, Layout]]] = WeakKeyDictionary()


def proven_layouts(
    module: Any,
    layers: Sequence[str],
    declared: Declared,
    outputs: Outputs,
    batch: Array,
    identity: Callable[[], Any] | None = None,
) -> dict[str, Layout]:
    """Return the layouts of layers; a network is asked once for each set of layers and input size.

    Parameters
    ----------
    module : torch.nn.Module
    layers : sequence of str
    declared : Declared
    outputs : callable
        From images (n, C, H, W) to the output of each layer.
    batch : ndarray of float32, shape (n, C, H, W)
        The first images.
    identity : callable, optional
        Returns what networks that are loaded anew have in common, weights included: of these, only
        the first one is asked.

    Raises
    ------
    InputError
        If a layer is random, mixes images or works on pieces of them; if the proof contradicts a
        declaration; or if tokens make no grid, and no number of them is declared.
    """
    asked = (tuple(layers), declared, batch.shape[1:])
    known, key = _PROVEN.setdefault(module, {}), (*asked, _state(module))
    if key not in known:
        twin = None if identity is None else (*asked, identity())
        if twin not in _TWINS:
            found = _decided(layers, declared, outputs, batch)
            if twin is None:
                known[key] = found
                return found
            _TWINS[twin] = found
        known[key] = _TWINS[twin]
    return known[key]


def _state(module: Any) -> int:
    """Return a number that changes with the values of parameters and buffers."""
    tensors = [*module.parameters(), *module.buffers()]
    # What was made in inference mode counts no changes, and allows none outside of it.
    return hash(tuple((id(t), 0 if t.is_inference() else t._version) for t in tensors))


def _decided(
    layers: Sequence[str], declared: Declared, outputs: Outputs, batch: Array
) -> dict[str, Layout]:
    size = batch.shape[2:]
    try:
        evidence = probed(outputs, batch)
    except InputError:
        raise
    except CANNOT_RUN as error:
        why = f"the network does not take noise: {error}".splitlines()[0]
        return declared_layouts(layers, declared, outputs(batch), len(batch), size, why)
    return {layer: _layout(layer, evidence[layer], declared, size) for layer in layers}


def _layout(layer: str, evidence: Evidence, declared: Declared, size: Sequence[int]) -> Layout:
    claim = declared.claim(layer, evidence.shape, evidence.batch_axis, size)
    if declared.keeps_all and claim.reading is not None and not claim.reading.is_map:
        return Layout(claim.reading, "declared", claim.source)
    verdict = judged(evidence, size)
    if verdict.proven is None:
        if claim.reading is None or not is_elsewhere(claim.reading, evidence, size):
            return _as_declared(layer, claim, evidence.shape, verdict.reason)
        reason = "changed patches change single places, which are those of no known order"
        if claim.reading.is_map:
            raise InputError(
                f"layers: {layer!r} gives maps {evidence.shape} that are not laid out as the image "
                f"is: {reason}. check=False takes them as they are"
            )
        # Tokens are a set of vectors all the same; a grid would put them at wrong places.
        claim = replace(claim, reading=replace(claim.reading, order="rows", grid=None))
        return _as_declared(layer, claim, evidence.shape, reason)
    if claim.binds and claim.reading is not None and claim.reading.contradicts(verdict.proven):
        raise InputError(
            f"layers: {layer!r} is declared as {claim.reading} ({claim.source}), and patches that "
            f"change in the input prove {verdict.proven}; expected one answer. check=False takes "
            "the declaration"
        )
    return Layout(verdict.proven, "proven")


def _as_declared(layer: str, claim: Claim, shape: Sequence[int], reason: str) -> Layout:
    if claim.reading is None:
        tokens = shape[1]
        raise InputError(
            f"prefix_tokens: layer {layer!r} has {tokens} tokens, which are no square grid after "
            f"{', '.join(map(str, USUAL_PREFIXES))} prefix tokens; pass their number, or 'keep' "
            f"(not proven: {reason})"
        )
    return Layout(claim.reading, "declared", f"{claim.source}; not proven: {reason}")


def declared_layouts(
    layers: Sequence[str],
    declared: Declared,
    outputs: Mapping[str, Any],
    count: int,
    size: Sequence[int],
    reason: str = UNCHECKED,
) -> dict[str, Layout]:
    """Return the layouts as declared, without a proof.

    Parameters
    ----------
    layers : sequence of str
    declared : Declared
    outputs : mapping of str to tensor
        Of `count` images.
    count : int
    size : sequence of int
        Of the input.
    reason : str
        Why there is no proof.

    Raises
    ------
    InputError
        If an output does not count the images, or its tokens make no usual grid.
    """
    found = {}
    for layer in layers:
        shape = tuple(outputs[layer].shape)
        axis = declared.axis_of_images(layer, shape, count)
        if shape[axis] != count:
            raise InputError(
                f"layers: {layer!r} gives {shape} for {count} images; expected the images first. "
                "Parts inside windowed attention work on pieces: choose the block around it"
            )
        found[layer] = _as_declared(layer, declared.claim(layer, shape, axis, size), shape, reason)
    return found
