"""Values of layers without semrsm: plain hooks, and the shapes that the libraries document.

A layer is right where its values are, to rounding, one of these: the maps that
``forward_intermediates`` of timm gives; ``reshaped_hidden_states`` or ``feature_maps`` of
transformers; or the output that a plain hook sees, whose patches are found by the gradient of the
output towards the input, which no probe of semrsm uses.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

#: Relative differences that rounding explains.
TOLERANCE = 2e-3


def given(module: Any, images: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a network; one that masks patches at random masks none."""
    more = {k: v(images) if callable(v) else v for k, v in arguments.items()}
    config: Any = getattr(module, "config", None)
    if hasattr(config, "mask_ratio") and "noise" in inspect.signature(module.forward).parameters:
        config.mask_ratio = 0.0
        side = config.patch_size
        down, across = side if isinstance(side, (list, tuple)) else (side, side)
        patches = (images.shape[2] // down) * (images.shape[3] // across)
        more["noise"] = torch.arange(patches, dtype=torch.float32).repeat(len(images), 1)
    return more


def hooked(
    module: Any, layers: Sequence[str], images: Any, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the outputs of parts, keeping the graph to the images."""
    kept: dict[str, Any] = {}
    parts = dict(module.named_modules())
    handles = [
        parts[name].register_forward_hook(
            # Copies, since the parts that follow may work in place.
            lambda m, i, o, name=name: kept.__setitem__(name, [t.clone() for t in tensors(o)])
        )
        for name in {layer.partition(":")[0] if layer not in parts else layer for layer in layers}
    ]
    more = given(module, images, arguments)
    module(images, **more)
    for handle in handles:
        handle.remove()
    return kept


def tensors(output: Any) -> Iterator[Any]:
    """Yield the tensors in an output."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from tensors(value)
    elif isinstance(output, (tuple, list)):
        for value in output:
            yield from tensors(value)


def documented(module: Any, images: Any, arguments: Mapping[str, Any]) -> list[Any]:
    """Return the maps (N, C, H, W) that the library itself gives."""
    found: list[Any] = []
    if hasattr(module, "forward_intermediates"):
        for norm in (False, True):
            try:
                found += module.forward_intermediates(
                    images, norm=norm, output_fmt="NCHW", intermediates_only=True
                )
            except Exception:  # not every network has every option
                continue
    more = given(module, images, arguments)
    try:
        output = module(images, output_hidden_states=True, **more)
    except Exception:
        return found
    for name in ("reshaped_hidden_states", "feature_maps"):
        found += [one for one in tensors(getattr(output, name, None) or ()) if one.ndim == 4]
    return found


def is_close(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays agree to rounding."""
    if a.shape != b.shape:
        return False
    return bool(np.abs(a - b).max() <= TOLERANCE * max(np.abs(b).max(), 1e-12))


def verdict(
    maps: np.ndarray, outputs: Any, library_maps: Sequence[Any], images: Any
) -> tuple[str, str]:
    """Return whether maps (n, C, H, W) are "right", "wrong" or "untold", and how that is known.

    Parameters
    ----------
    maps : ndarray
        As semrsm gives them for the images.
    outputs : nested tensors
        Of a plain hook on the same part, with the graph to the images.
    library_maps : sequence of tensor
        As :func:`documented` gives them.
    images : tensor that requires its gradient, shape (n, 3, H, W)
    """
    for one in library_maps:
        if is_close(maps, one.detach().numpy()):
            return "right", "the library's own maps"
    count, channels, height, width = maps.shape
    flat = maps.transpose(0, 2, 3, 1).reshape(count, height * width, channels)
    for tensor in tensors(outputs):
        places = _places_of(flat, tensor)
        if places is not None:
            return _by_gradient(tensor, places, (height, width), images)
    return "wrong", "the values are in no output of the layer"


def _places_of(flat: np.ndarray, tensor: Any) -> list[tuple[int, ...]] | None:
    """Return where in an output the vector of each place is, as an index of it, or None."""
    values = tensor.detach().numpy()
    count, places, channels = flat.shape
    for batch, channel in itertools.permutations(range(values.ndim), 2):
        if values.shape[batch] != count or values.shape[channel] != channels:
            continue
        rest = [axis for axis in range(values.ndim) if axis not in (batch, channel)]
        moved = values.transpose(batch, *rest, channel)
        table = moved.reshape(count, -1, channels)
        if table.shape[1] < places:
            continue
        first = table[0].astype(np.float64)
        nearest = _run_of(flat, table)
        if nearest is None:
            nearest = np.concatenate(
                [_nearest(flat[0, start : start + 64], first) for start in range(0, places, 64)]
            )
        if len(set(nearest.tolist())) == places and is_close(flat, table[:, nearest]):
            shape = [values.shape[axis] for axis in rest]
            found = []
            for index in nearest:
                where = np.unravel_index(int(index), shape)
                full: list[Any] = [slice(None)] * values.ndim
                full[batch] = 0
                for axis, at in zip(rest, where, strict=True):
                    full[axis] = int(at)
                found.append(tuple(full))
            return found
    return None


def _run_of(flat: np.ndarray, table: np.ndarray) -> np.ndarray | None:
    """Return where all vectors follow each other in an output; ReLUs make many that are equal."""
    places = flat.shape[1]
    for begin in range(table.shape[1] - places + 1):
        if is_close(flat[:, 0], table[:, begin]) and is_close(
            flat, table[:, begin : begin + places]
        ):
            return np.arange(begin, begin + places)
    return None


def _nearest(some: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return for some vectors which of the others is nearest, by a few channels of them."""
    return ((some[:, None, :8] - vectors[None, :, :8]) ** 2).sum(-1).argmin(1)


def _by_gradient(
    tensor: Any, places: list[tuple[Any, ...]], grid: tuple[int, int], images: Any
) -> tuple[str, str]:
    """Look whether the places of a grid depend on the image where they should be.

    The centre of |gradient| of a place moves across the image as the place moves across the grid:
    the order of rows and columns is right where the two correlate.
    """
    height, width = grid
    size = images.shape[2:]
    if min(grid) < 2:
        return "untold", "too small a grid"
    rng = np.random.default_rng(0)
    cells = rng.permutation(height * width)[:8]
    weights = torch.randn(tensor[places[0]].shape, generator=torch.Generator().manual_seed(0))
    centres, expected = [], []
    gradients = []
    for cell in cells:
        (gradient,) = torch.autograd.grad(
            (tensor[places[cell]] * weights).sum(), images, retain_graph=True, allow_unused=True
        )
        if gradient is None:
            return "untold", "no gradient"
        gradients.append(gradient[0].abs().sum(0).double().numpy())
    usual = np.mean(gradients, axis=0) + 1e-30
    for cell, gradient in zip(cells, gradients, strict=True):
        relative = gradient / usual
        relative = np.maximum(relative - np.quantile(relative, 0.9), 0) + 1e-30
        rows, columns = (np.arange(n) + 0.5 for n in size)
        total = relative.sum()
        centres.append(
            (
                (relative.sum(1) * rows).sum() / total / size[0],
                (relative.sum(0) * columns).sum() / total / size[1],
            )
        )
        expected.append(((cell // width + 0.5) / height, (cell % width + 0.5) / width))
    found, right = np.array(centres), np.array(expected)
    along = [np.corrcoef(found[:, k], right[:, k])[0, 1] for k in (0, 1)]
    if min(along) > 0.5:
        return "right", "hooks and gradients"
    if found.std(axis=0).max() < 0.08:  # all places look at the whole image
        return "untold", "all places depend on the whole image"
    return (
        "wrong",
        f"gradients lie elsewhere: correlation {along[0]:.2f} down, {along[1]:.2f} across",
    )
