"""Networks in ONNX files: every tensor inside the graph can be a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import InputError, first_line, require
from ..checkpoint import checkpoint_preprocess
from ..models import Model
from ..preprocess import IMAGENET, Preprocess
from .image_processors import ImageProcessor, has_processor, processor_beside
from .onnx_graph import Graph, ImageInput, free_dimensions
from .onnx_module import as_module, try_out
from .weights import sha256, spread


def load(spec: str, rest: str, size: tuple[int, int] | None) -> Model:
    """Load the network of an ONNX file.

    The layers have the names of the graph's tensors. The preprocessing is that of a
    ``preprocessor_config.json`` beside the file (or beside its folder ``onnx``). Without one it is
    the usual one of ImageNet at the size of the graph's input; pixels 0–255 for a graph of uint8,
    and 0–1 for one of a single channel.
    """
    path = Path(rest).expanduser()
    if not path.is_file():
        raise InputError(f"model: the file {rest!r} of {spec!r} does not exist")
    return load_file(spec, path, path.name, size)


def load_file(
    spec: str,
    path: Path,
    name: str,
    size: tuple[int, int] | None,
    *,
    preprocess: Preprocess | None = None,
    layers: Sequence[str] | None = None,
) -> Model:
    """Load a file whose preprocessing and recommended layers may be known.

    Raises
    ------
    InputError
        If the file cannot be read, wants anything but one image, cannot be run, or does not take
        `size`.
    """
    torch = require("torch", extra="features", purpose="Feature extraction")
    onnx = require("onnx", extra="onnx", purpose=f"The network {spec!r}")
    runtime = require("onnxruntime", extra="onnx", purpose=f"The network {spec!r}")
    graph = Graph(_read(onnx, path), str(path))
    wanted = graph.image
    if preprocess is not None:
        found, origin = preprocess if size is None else preprocess.at(size), "package"
    else:
        found, origin = _preprocess(path, spec, wanted, size)
    for side, fixed, got in zip("HW", wanted.size, found.height_and_width, strict=True):
        if fixed is not None and fixed != got:
            raise InputError(f"size: the graph of {spec!r} takes {side} = {fixed} only; got {got}")
    module = as_module(torch, runtime, graph).eval()
    try_out(module, graph, found)
    digest = sha256(path)
    return Model(
        name=name,
        module=module,
        preprocess=found,
        layers=spread(graph.blocks()) if layers is None else tuple(layers),
        has_classes=graph.logits is not None,
        provenance={
            "weights_file": path.name,
            "weights_sha256": digest,
            # The module has no parameters of its own whose hash could stand for the network.
            "state_sha256": digest,
            "preprocess_from": origin,
            "onnxruntime": runtime.__version__,
        },
    )


def _read(onnx: Any, path: Path) -> Any:
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's and onnx's own errors share no base but this
        raise InputError(
            f"model: {str(path)!r} cannot be read as ONNX: {first_line(error)}"
        ) from error
    free_dimensions(model)
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # of opsets that this onnx does not know; the runtime may know them
        return model


def _preprocess(
    path: Path, spec: str, wanted: ImageInput, size: tuple[int, int] | None
) -> tuple[Any, str]:
    folders = [path.parent, *([path.parent.parent] if path.parent.name == "onnx" else [])]
    for folder in folders:
        if has_processor(folder):
            package = require(
                "transformers", extra="transformers", purpose=f"The preprocessing of {spec!r}"
            )
            try:
                processor = processor_beside(package, folder)
            except (ValueError, TypeError, KeyError, OSError, AttributeError) as error:
                raise InputError(
                    f"model: the preprocessing of {spec!r}, in the folder {str(folder)!r}, cannot "
                    f"be used: {first_line(error)}"
                ) from error
            found = checkpoint_preprocess(ImageProcessor(processor), spec, size)
            if found.shape[0] != wanted.channels:
                raise InputError(
                    f"model: the graph of {spec!r} takes {wanted.channels} channels, and the "
                    f"preprocessing beside it gives {found.shape[0]}"
                )
            return found, "checkpoint"
    height, width = size or (wanted.size[0] or 224, wanted.size[1] or 224)
    usual = IMAGENET
    if wanted.channels == 1 or wanted.dtype == "uint8":
        usual = replace(
            usual,
            mean=(0.0,) * wanted.channels,
            std=(1.0 if wanted.dtype == "uint8" else 255.0,) * wanted.channels,
            channels="gray" if wanted.channels == 1 else "rgb",
        )
    return usual.at((height, width)), "defaults"
