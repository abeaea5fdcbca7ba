"""The list of the spatial layers of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, require
from .discovery import found_layers, layouts_of
from .layouts import Layout
from .loading import checked_size, load_model
from .models import Model

#: Layers whose layouts are proven in one go, so that their outputs fit into memory.
_TOGETHER = 48

#: The input where a bare module says nothing, in pixels.
_USUAL_SIZE = (224, 224)


@dataclass(frozen=True)
class SpatialLayer:
    """A layer of a network that has places.

    Attributes
    ----------
    name : str
        As :func:`semrsm.extract` takes it.
    channels : int
    grid : (int, int) or None
        Height and width; None where the tokens make none.
    stride : (float, float) or None
        Pixels of the input for each cell, down and across.
    layout : Layout
        How its output is read, and whether that is proven.
    """

    name: str
    channels: int
    grid: tuple[int, int] | None
    stride: tuple[float, float] | None
    layout: Layout

    def to_dict(self) -> dict[str, Any]:
        """Return the layer as a row of a table."""
        return {
            "name": self.name,
            "channels": self.channels,
            "grid": "" if self.grid is None else "x".join(map(str, self.grid)),
            "stride": "" if self.stride is None else "x".join(f"{n:g}" for n in self.stride),
            "layout": str(self.layout),
        }


def layers(
    model: Any, *, size: int | tuple[int, int] | None = None, check: bool = True
) -> list[SpatialLayer]:
    """List every spatial layer of a network, in the order in which they are computed.

    Parameters
    ----------
    model : str, Path, Model or torch.nn.Module
        As for :func:`semrsm.extract`.
    size : int or (int, int), optional
        The input in pixels; by default the model's own, and 224 for a bare module.
    check : bool, default True
        Whether layouts are proven, which takes twenty images of noise for each 48 layers.

    Returns
    -------
    list of SpatialLayer
        Parts that have no places, work on pieces of images or run more than once are left out.

    Raises
    ------
    InputError
        If the network is not known or cannot be run, or is random at inference.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.ReLU())
    >>> [(one.name, one.channels, one.grid, one.stride) for one in layers(network, size=64)]
    [('0', 8, (16, 16), (4.0, 4.0)), ('1', 8, (16, 16), (4.0, 4.0))]
    """
    torch = require("torch", extra="features", purpose="Feature extraction")
    if isinstance(model, (str, Path)):
        model = load_model(model, size=size)
    module = model.module if isinstance(model, Model) else model
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"model: expected a name, a Model or a torch.nn.Module; got {type(model).__name__}"
        )
    if isinstance(model, Model) and size is None:
        batch = model.noise(2)
    else:
        shape = (2, 3, *(checked_size(size) or _USUAL_SIZE))
        batch = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    height, width = batch.shape[2:]
    found = found_layers(module, getattr(model, "arguments", {}), batch)
    listed: list[SpatialLayer] = []
    for first in range(0, len(found), _TOGETHER):
        names = list(found)[first : first + _TOGETHER]
        layouts = layouts_of(model, names, batch, check=check)
        for name, layout in layouts.items():
            grid = layout.reading.grid
            stride = None if grid is None else (height / grid[0], width / grid[1])
            listed.append(
                SpatialLayer(name, found[name][layout.reading.channel_axis], grid, stride, layout)
            )
    return listed
