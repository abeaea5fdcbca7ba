"""Evidence about layers: what changes in their outputs when a patch of the input changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


Array = np.ndarray[Any, np.dtype[np.float32]]

#: Runs the network on a batch and returns the chosen tensor of each layer.
Outputs = Callable[[Any], Mapping[str, Any]]

#: Where patches change, in shares of the height and of the width.
SHARES = (0.06, 0.36, 0.64, 0.94)

#: The side of a patch, in shares of the side of the image.
PATCH = 1 / 16

#: Outputs are equal up to this share of their largest value: BLAS rounds batches differently.
TOLERANCE = 1e-4

#: The same for networks in half precision.
_HALF_TOLERANCE = 2e-2

#: Changed images that go through the network together.
_TOGETHER = 4


@dataclass(frozen=True)
class Box:
    """A patch of the input, in pixels: rows ``top:bottom``, columns ``left:right``."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class Evidence:
    """What the probe found about one layer.

    Attributes
    ----------
    shape : tuple of int
        Of the output for one image.
    batch_axis : int
        The axis that counts the images.
    changes : mapping of int to ndarray, shape (P, …)
        By the axis that holds the channels, for each changed patch the sum of |change| over the
        channels, without the axis of the images.
    """

    shape: tuple[int, ...]
    batch_axis: int
    changes: Mapping[int, NDArray[np.float64]]


def boxes(size: Sequence[int]) -> list[Box]:
    """Return the 16 patches that are changed in turn."""
    height, width = size
    tall, wide = (max(1, round(n * PATCH)) for n in (height, width))
    found = []
    for row in SHARES:
        for column in SHARES:
            top = min(max(round(row * height - tall / 2), 0), height - tall)
            left = min(max(round(column * width - wide / 2), 0), width - wide)
            found.append(Box(top, top + tall, left, left + wide))
    return found


def noise_like(batch: Array, count: int, seed: int = 0) -> Array:
    """Return images of noise with the mean, spread and range of a batch, channel by channel."""
    rng = np.random.default_rng(seed)
    mean = batch.mean(axis=(0, 2, 3), keepdims=True)[0]
    spread = batch.std(axis=(0, 2, 3), keepdims=True)[0]
    flat = spread <= 1e-6 * np.maximum(1.0, np.abs(mean))
    noise = mean + np.where(flat, 1.0, spread) * rng.normal(size=(count, *batch.shape[1:]))
    low, high = (f(axis=(0, 2, 3), keepdims=True)[0] for f in (batch.min, batch.max))
    clipped = np.clip(noise, low, high)
    found: Array = np.where(flat, noise, clipped).astype(np.float32)
    is_whole = bool((batch == np.rint(batch)).all()) and not flat.all()
    return np.rint(found) if is_whole else found


def probed(outputs: Outputs, batch: Array) -> dict[str, Evidence]:
    """Run a network on twenty images of noise and return the evidence about its layers.

    Parameters
    ----------
    outputs : callable
        From images (n, C, H, W) to the output of each layer.
    batch : ndarray of float32, shape (n, C, H, W)
        Images as the network gets them, whose range the noise takes.

    Raises
    ------
    InputError
        If a layer gives other values when the same image comes again, or comes in other company;
        or works on pieces of images.
    """
    image, other = noise_like(batch, 2)
    base = _kept(outputs(image[None]))
    again = _kept(outputs(image[None]))
    both = _kept(outputs(np.stack([image, other])))
    axes = {}
    for layer, alone in base.items():
        axes[layer] = _batch_axis(layer, alone.shape, both[layer].shape)
        if not _is_equal(alone, again[layer]):
            raise InputError(
                f"model: layer {layer!r} gives other values when the same image comes again; "
                "expected a network without randomness at inference (masks, noise)"
            )
        if not _is_equal(alone, np.take(both[layer], [0], axis=axes[layer])):
            raise InputError(
                f"model: layer {layer!r} gives an image other values in a batch than alone; "
                "expected a network that keeps images apart"
            )
    found: dict[str, dict[int, list[Any]]] = {layer: {} for layer in base}
    places = boxes(image.shape[1:])
    for first in range(0, len(places), _TOGETHER):
        part = places[first : first + _TOGETHER]
        changed = np.repeat(image[None], len(part), axis=0)
        for n, box in enumerate(part):
            rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
            changed[n, :, rows, columns] = other[:, rows, columns]
        for layer, values in _kept(outputs(changed)).items():
            axis = axes[layer]
            apart = np.abs(values - base[layer])
            for channel in range(apart.ndim):
                if channel != axis:
                    summed = apart.sum(axis=channel, dtype=np.float64)
                    images = axis - (channel < axis)
                    found[layer].setdefault(channel, []).append(np.moveaxis(summed, images, 0))
    return {
        layer: Evidence(
            base[layer].shape,
            axes[layer],
            {channel: np.concatenate(parts) for channel, parts in channels.items()},
        )
        for layer, channels in found.items()
    }


def _kept(outputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    return {layer: tensor.detach().float().cpu().numpy() for layer, tensor in outputs.items()}


def _batch_axis(layer: str, one: Sequence[int], two: Sequence[int]) -> int:
    """Return the axis that has one entry for one image and two for two.

    Raises
    ------
    InputError
        If there is none.
    """
    if len(one) == len(two):
        changed = [axis for axis, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
        if len(changed) == 1 and (one[changed[0]], two[changed[0]]) == (1, 2):
            return changed[0]
    raise InputError(
        f"layers: {layer!r} gives {tuple(one)} for one image and {tuple(two)} for two; expected an "
        "axis that counts the images. Parts inside windowed attention work on pieces of images: "
        "choose the block around it"
    )


def _is_equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return a.shape == b.shape  # values that are not finite are refused where they are kept
    largest = float(np.abs(a).max(initial=0.0))
    half = np.array_equal(a, a.astype(np.float16)) and largest > 0
    tolerance = _HALF_TOLERANCE if half else TOLERANCE
    return float(np.abs(a - b).max(initial=0.0)) <= tolerance * largest
