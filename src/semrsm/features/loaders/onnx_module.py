"""An ONNX graph as a module of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import InputError, first_line
from .onnx_graph import Graph, ImageInput

Array = np.ndarray[Any, np.dtype[Any]]


def as_module(torch: Any, runtime: Any, graph: Graph) -> Any:
    """Return a torch module that runs the graph on images (N, C, H, W).

    Each tensor of the graph is a part of the module under its own name, through which the values
    pass when somebody has hooked it; only those tensors are taken out of the graph.
    """

    class OnnxModule(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.piece = graph.image.batch
            self._sessions: dict[tuple[str, ...], Any] = {}
            self.name_parts()

        def name_parts(self) -> None:
            # add_module would refuse the dots and slashes of ONNX names, which torch has no
            # other trouble with: parts are found by walking this very dictionary.
            self._modules.update((name, torch.nn.Identity()) for name in graph.tensors)

        def forward(self, images: Any) -> Any:
            hooked = [name for name in graph.tensors if self._modules[name]._forward_hooks]
            logits = [graph.logits] if graph.logits is not None else []
            names = tuple(dict.fromkeys((*hooked, *logits))) or (graph.model.graph.output[0].name,)
            values = self.tensors(names, images.detach().cpu().float().numpy())
            found = {n: torch.from_numpy(v).to(images.device) for n, v in values.items()}
            for name in hooked:
                self._modules[name](found[name])
            return found[names[-1] if graph.logits is None else graph.logits]

        def tensors(self, names: tuple[str, ...], images: Array) -> dict[str, Array]:
            """Run the graph on images, in pieces of the size that it takes."""
            if names not in self._sessions:
                options = runtime.SessionOptions()
                options.intra_op_num_threads = torch.get_num_threads()
                options.log_severity_level = 3
                self._sessions = {  # one at a time: each holds a copy of all weights
                    names: runtime.InferenceSession(
                        graph.with_outputs(names), options, providers=["CPUExecutionProvider"]
                    )
                }
            session = self._sessions[names]

            def run(piece: Array) -> list[Any]:
                found: list[Any] = session.run(list(names), {graph.image.name: piece})
                return found

            given = _as_wanted(images, graph.image, graph.name)
            found = run(given) if self.piece is None else _in_pieces(run, given, self.piece, names)
            return dict(zip(names, found, strict=True))

    return OnnxModule()


def _as_wanted(images: Array, wanted: ImageInput, name: str) -> Array:
    """Return images (N, C, H, W) in the order and the kind of numbers that the graph takes."""
    if images.shape[1] != wanted.channels:
        raise InputError(
            f"images: expected {wanted.channels} channels, as {name!r} takes them; got "
            f"{images.shape[1]}"
        )
    if wanted.dtype == "uint8":
        whole = np.rint(images)
        if whole.min() < 0 or whole.max() > 255 or np.abs(whole - images).max() > 1e-3:
            raise InputError(
                f"images: expected whole pixel values 0–255, as {name!r} takes them (uint8); got "
                f"values from {images.min():.3g} to {images.max():.3g}, preprocessed otherwise"
            )
        images = whole
    turned = images.transpose(0, 2, 3, 1) if wanted.channels_last else images
    return np.ascontiguousarray(turned, dtype=wanted.dtype)


def _in_pieces(
    run: Callable[[Array], list[Any]], images: Array, size: int, names: Sequence[str]
) -> list[Array]:
    """Run images in pieces of one size, the last one filled up with zeros."""
    pieces = []
    for first in range(0, len(images), size):
        piece = images[first : first + size]
        full = np.pad(piece, ((0, size - len(piece)), *((0, 0),) * 3))
        pieces.append((len(piece), run(full)))
    joined = []
    for place, name in enumerate(names):
        shape = pieces[0][1][place].shape
        # Transformers of some exporters keep (S, N, D).
        axis = next((axis for axis in (0, 1) if shape[axis : axis + 1] == (size,)), None)
        if axis is None:
            raise InputError(
                f"layers: {name!r} has shape {shape} for {size} images, and neither its first nor "
                "its second axis is that of the images"
            )
        parts = [np.take(found[place], range(count), axis=axis) for count, found in pieces]
        joined.append(np.concatenate(parts, axis=axis))
    return joined


def try_out(module: Any, graph: Graph, preprocess: Callable[[Any], Any]) -> None:
    """Run one image, then two, and learn the dimensions that could not be inferred.

    Raises
    ------
    InputError
        If the graph cannot be run: for operators that the runtime does not have, an operator set
        that is too new, or shapes that do not fit.
    """
    from PIL import Image

    image = np.asarray(preprocess(Image.new("RGB", (64, 48), (90, 120, 150))), dtype=np.float32)
    two = np.stack([image, image])
    names = (graph.logits or graph.model.graph.output[0].name, *graph.unknown)
    try:
        found = module.tensors(names, two[:1])
    except InputError:
        raise
    except Exception as error:  # the runtime's errors share no base but this
        raise InputError(
            f"model: {graph.name!r} cannot be run by the installed onnxruntime: "
            f"{first_line(error)}; the graph wants {graph.wants()}"
        ) from error
    layers = [
        name for name in graph.unknown
        if isinstance(found[name], np.ndarray)
        and found[name].ndim in (3, 4) and found[name].dtype.kind == "f"
    ]  # fmt: skip
    graph.add(layers)
    module.name_parts()
    if module.piece is None and not _takes_two(module, names[:1], two):
        module.piece = 1


def _takes_two(module: Any, names: tuple[str, ...], two: Array) -> bool:
    """Return whether a graph with a free batch takes more than one image, as some do not."""
    try:
        alone, both = (module.tensors(names, images)[names[0]] for images in (two[:1], two))
    except Exception:  # as above; a reshape to one image, most often
        return False
    return bool(alone.shape != both.shape and 2 * alone.size == both.size)
