"""Networks in ONNX files: every tensor inside the graph can be a layer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...errors import InputError, require
from ..models import Model
from ..preprocess import Preprocess
from .transformers import preprocess_from
from .weights import sha256, spread

#: Protocol buffers, in which edited graphs are handed over, end here.
_LARGEST = 2**31 - 1

#: The path of a numbered block inside a tensor's name, such as ``/encoder/layer.3`` or ``/layer1``.
_BLOCK = re.compile(r"^(.*?(?:layers?|blocks?|stages?|resblocks)[._/]?\d+)(?=[/.])")


def load(spec: str, rest: str, size: tuple[int, int] | None) -> Model:
    """Load the network of an ONNX file.

    The layers have the names of the graph's tensors. The preprocessing is that of a
    ``preprocessor_config.json`` beside the file, and else the usual one of ImageNet at the size of
    the graph's input.
    """
    path = Path(rest).expanduser()
    if not path.is_file():
        raise InputError(f"model: the file {rest!r} of {spec!r} does not exist")
    torch = require("torch", extra="features", purpose="Feature extraction")
    onnx = require("onnx", extra="onnx", purpose=f"The network {spec!r}")
    runtime = require("onnxruntime", extra="onnx", purpose=f"The network {spec!r}")
    graph = Graph(_read(onnx, path), str(path))
    preprocess, origin = _preprocess(path, spec, graph.input_shape[2:], size)
    wanted = preprocess.height_and_width
    for name, fixed, got in zip("HW", graph.input_shape[2:], wanted, strict=True):
        if fixed is not None and fixed != got:
            raise InputError(f"size: the graph of {spec!r} takes {name} = {fixed} only; got {got}")
    digest = sha256(path)
    return Model(
        name=path.name,
        module=as_module(torch, runtime, graph).eval(),
        preprocess=preprocess,
        layers=spread(graph.blocks()),
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
        return onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # protobuf's and onnx's own errors share no base but this
        raise InputError(f"model: {str(path)!r} cannot be read as ONNX: {error}") from error


class Graph:
    """The tensors inside an ONNX graph that images pass through.

    Parameters
    ----------
    model : onnx.ModelProto
        With inferred shapes.
    name : str
        The file, for errors.

    Attributes
    ----------
    input_name : str
    input_shape : tuple of (int or None)
        (N, C, H, W); None where it is free.
    tensors : list of str
        Tensors of three or four dimensions, in the order in which they are computed.
    logits : str or None
        The class scores, before any softmax; None where no output looks like them.

    Raises
    ------
    InputError
        If the graph has not exactly one input, an image (N, 3, H, W).
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model = model
        constants = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in constants]
        shapes = {value.name: _shape(value) for value in inputs}
        if len(inputs) != 1 or len(next(iter(shapes.values())) or ()) != 4:
            raise InputError(
                f"model: expected a graph with one input (N, 3, H, W); {name!r} has {shapes}"
            )
        self.input_name, shape = next(iter(shapes.items()))
        self.input_shape = tuple(shape or ())
        values = (*model.graph.value_info, *model.graph.output)
        ranks = {value.name: _shape(value) for value in values if _is_float(value)}
        made = [name for node in model.graph.node for name in node.output]
        self.tensors = [n for n in made if (shape := ranks.get(n)) and len(shape) in (3, 4)]
        self.logits = self._find_logits(ranks)

    def _find_logits(self, ranks: Mapping[str, Any]) -> str | None:
        makers = {name: node for node in self.model.graph.node for name in node.output}
        for output in self.model.graph.output:
            name = output.name
            words = re.search("logit|class|prob|score|^output", name.lower())
            if not words or len(ranks.get(name) or ()) != 2 or re.search("emb|feat", name.lower()):
                continue
            node = makers.get(name)
            return str(node.input[0]) if node is not None and node.op_type == "Softmax" else name
        return None

    def blocks(self) -> list[str]:
        """Return the last tensor of each numbered block, as far as names tell."""
        last: dict[str, str] = {}
        for name in self.tensors:
            found = _BLOCK.match(name)
            if found:
                last[found[1]] = name
        return list(last.values())

    def with_outputs(self, names: Sequence[str]) -> bytes:
        """Return the graph, serialised, with these tensors as its outputs."""
        if self.model.ByteSize() > _LARGEST:
            raise InputError("model: ONNX graphs of more than 2 GB cannot be opened inside")
        known = {v.name: v for v in (*self.model.graph.value_info, *self.model.graph.output)}
        edited = type(self.model)()
        edited.CopyFrom(self.model)
        del edited.graph.output[:]
        edited.graph.output.extend(known[name] for name in names)
        serialised: bytes = edited.SerializeToString()
        return serialised


def _shape(value: Any) -> list[int | None] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]


def _is_float(value: Any) -> bool:
    return value.type.tensor_type.elem_type in (1, 10)  # float32, float16


def as_module(torch: Any, runtime: Any, graph: Graph) -> Any:
    """Return a torch module that runs the graph.

    Each tensor of the graph is a part of the module under its own name, through which the values
    pass when somebody has hooked it; only those tensors are taken out of the graph.
    """

    class OnnxModule(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            # add_module would refuse the dots and slashes of ONNX names, which torch has no
            # other trouble with: parts are found by walking this very dictionary.
            self._modules.update((name, torch.nn.Identity()) for name in graph.tensors)
            self._sessions: dict[tuple[str, ...], Any] = {}

        def forward(self, images: Any) -> Any:
            hooked = [name for name in graph.tensors if self._modules[name]._forward_hooks]
            logits = [graph.logits] if graph.logits is not None else []
            names = tuple(dict.fromkeys((*hooked, *logits))) or tuple(
                output.name for output in graph.model.graph.output[:1]
            )
            values = self._run(names, images.detach().cpu().float().numpy())
            found = {n: torch.from_numpy(v).to(images.device) for n, v in values.items()}
            for name in hooked:
                self._modules[name](found[name])
            return found[names[-1] if graph.logits is None else graph.logits]

        def _run(self, names: tuple[str, ...], images: Any) -> dict[str, Any]:
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
            size = graph.input_shape[0] or len(images)
            pieces = []
            for first in range(0, len(images), size):
                piece = images[first : first + size]
                missing = size - len(piece)
                full = np.pad(piece, ((0, missing), (0, 0), (0, 0), (0, 0)))
                outputs = session.run(list(names), {graph.input_name: full})
                pieces.append([output[: len(piece)] for output in outputs])
            joined = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
            return dict(zip(names, joined, strict=True))

    return OnnxModule()


def _preprocess(
    path: Path, spec: str, shape: Sequence[int | None], size: tuple[int, int] | None
) -> tuple[Preprocess, str]:
    beside = path.with_name("preprocessor_config.json")
    if beside.is_file():
        try:
            values = json.loads(beside.read_text(encoding="utf-8"))
            found = preprocess_from(SimpleNamespace(**values), spec)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise InputError(f"model: {str(beside)!r} cannot be used: {error}") from error
        return (found if size is None else found.at(size)), "checkpoint"
    height, width = size or (shape[0] or 224, shape[1] or 224)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    usual = Preprocess(224, 256, mean, std)
    return usual.at((height, width)), "defaults"
