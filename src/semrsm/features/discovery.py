"""The spatial layers of a network, found by running it: no name needs to be known."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .forward import calling, evaluating
from .layer_names import part_of
from .layouts import SEPARATOR, Layout, is_several, likely_reading, spatial_tensors
from .models import Model, forward_of

Array = np.ndarray[Any, np.dtype[Any]]

#: The last layers of each grid that are looked at for one that is proven.
_TRIED = 3


def last_layers(model: Any, batch: Array) -> tuple[str, ...]:
    """Return the last layer at each size of the grid, from early to late.

    Parameters
    ----------
    model : Model or torch.nn.Module
    batch : ndarray of float32, shape (n, C, H, W)
        Images as the network gets them; noise does as well.

    Raises
    ------
    InputError
        If no layer has places.
    """
    module = model.module if isinstance(model, Model) else model
    found, entering = _found(module, getattr(model, "arguments", {}), batch)
    size = batch.shape[2:]

    def grid(shape: Sequence[int] | None) -> tuple[int, int] | None:
        reading = None if shape is None else likely_reading(shape, size)
        return None if reading is None else reading.grid

    grids = {name: grid(shape) for name, shape in found.items()}
    entered = {name: grid(shape) for name, shape in entering.items()}
    by_grid: dict[tuple[int, int], list[str]] = {}
    for name, own in grids.items():
        if own is not None and max(own) > 1:
            by_grid.setdefault(own, []).append(name)
    for own, names in by_grid.items():
        # Inside a block that makes another grid, what still has the first is only on its way.
        ends = [
            name
            for name in names
            if all(entered.get(at) != own or grids.get(at) in (own, None) for at in _around(name))
        ]
        by_grid[own] = ends or names
    tried = [name for names in by_grid.values() for name in names[-_TRIED:]]
    if not tried:
        raise InputError("layers: expected a network with spatial layers; none has a grid")
    layouts = layouts_of(model, tried, batch)
    proven = {name for name, layout in layouts.items() if layout.known == "proven"}
    chosen = []
    for names in by_grid.values():
        last = [name for name in names[-_TRIED:] if name in (proven or layouts)]
        if last:  # a square of attention weights looks like a map, and is never proven
            chosen.append(last[-1])
    order = list(found)
    return tuple(sorted(chosen, key=order.index))


def spatial_outputs(model: Model, batch: Array) -> tuple[str, ...]:
    """Return the addresses of the spatial outputs of a model's recommended layers.

    Parameters
    ----------
    model : Model
    batch : ndarray of float32, shape (1, C, H, W)
        An image as the network gets it; noise does as well.

    Returns
    -------
    tuple of str
        A layer with several outputs, such as the branches of a network, stands for all of them;
        one that is not run, or more than once, or has no places, for none.
    """
    import torch

    shapes = _shapes(torch, model.module, model.arguments, batch, model.layers)
    parts = dict(model.module.named_modules())
    return tuple(
        found
        for layer in model.layers
        for found, shape in shapes.items()
        if shape is not None and layer in (found, part_of(found, parts))
    )


def layouts_of(
    model: Any, names: Sequence[str], batch: Array, *, check: bool = True
) -> dict[str, Layout]:
    """Return the layouts of those layers that can be read.

    Raises
    ------
    InputError
        If none can be; as the first of them.
    """

    def read(some: Sequence[str]) -> dict[str, Layout]:
        with forward_of(model, some).running(check=check) as run:
            return run(batch[:1], ["noise"]).layouts

    try:
        return read(names)
    except InputError as error:
        if len(names) == 1:
            raise
        first = error
    found = {}
    for name in names:
        with contextlib.suppress(InputError):
            found.update(read([name]))
    if not found:
        raise first
    return found


def found_layers(
    module: Any, arguments: Mapping[str, Any], batch: Array
) -> dict[str, tuple[int, ...]]:
    """Return the spatial outputs of all parts by name, in order, with their shapes for one image.

    Parts that run more than once, or whose output does not count the images, are left out, and so
    are those whose tokens make no grid.
    """
    return _found(module, arguments, batch)[0]


def _around(name: str) -> Iterator[str]:
    """Yield the parts that a part lies in."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _found(
    module: Any, arguments: Mapping[str, Any], batch: Array
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Return the spatial outputs of :func:`found_layers`, and the inputs of all parts."""
    import torch

    pair = batch[:2] if len(batch) > 1 else np.concatenate([batch, batch])
    entering: dict[str, tuple[int, ...]] = {}
    one = _shapes(torch, module, arguments, pair[:1], entering=entering)
    two = _shapes(torch, module, arguments, pair)
    found = {}
    for name, shape in one.items():
        other = two.get(name)
        if shape is None or other is None or len(shape) != len(other):
            continue
        changed = [axis for axis, (a, b) in enumerate(zip(shape, other, strict=True)) if a != b]
        if len(changed) != 1 or (shape[changed[0]], other[changed[0]]) != (1, 2):
            continue
        if changed[0] == 1 and len(shape) == 3:
            shape = (shape[1], shape[0], shape[2])
        elif changed[0] != 0:
            continue
        if likely_reading(shape, batch.shape[2:]) is not None:
            found[name] = shape
    return found, entering


def _shapes(
    torch: Any,
    module: Any,
    arguments: Mapping[str, Any],
    batch: Array,
    layers: Sequence[str] | None = None,
    entering: dict[str, tuple[int, ...]] | None = None,
) -> dict[str, tuple[int, ...] | None]:
    """Return the shapes of spatial outputs by name and address; None where a part runs twice.

    With `layers`, of these alone; the shape of the first spatial input of each part is written
    into `entering`.
    """
    shapes: dict[str, tuple[int, ...] | None] = {}
    ran: set[str] = set()

    def hook(name: str) -> Any:
        def record(_module: Any, inputs: Any, output: Any) -> None:
            first = next(spatial_tensors(inputs), None)
            if entering is not None and first is not None:
                entering.setdefault(name, tuple(first[1].shape))
            tensors = dict(spatial_tensors(output))
            if not is_several(output, tensors):
                tensors = dict.fromkeys([""], next(iter(tensors.values()))) if tensors else {}
            for address, tensor in tensors.items():
                layer = f"{name}{SEPARATOR}{address}" if address else name
                is_float = tensor.is_floating_point()
                shapes[layer] = None if name in ran or not is_float else tuple(tensor.shape)
            ran.add(name)

        return record

    parts = {name: part for name, part in module.named_modules() if name}
    wanted = parts if layers is None else {part_of(layer, parts) for layer in layers} & set(parts)
    handles = [
        part.register_forward_hook(hook(name)) for name, part in parts.items() if name in wanted
    ]
    try:
        with evaluating(module), torch.no_grad():
            calling(module, batch, arguments)
    finally:
        for handle in handles:
            handle.remove()
    return shapes
