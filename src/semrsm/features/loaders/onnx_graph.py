"""The inside of an ONNX graph: the image that it takes, and the tensors that come of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import InputError

#: Protocol buffers, in which edited graphs are handed over, end here.
_LARGEST = 2**31 - 1

#: Kinds of numbers, by ONNX's own codes: those that images can be given in.
_INPUTS = {1: "float32", 2: "uint8", 10: "float16", 11: "float64"}
_FLOATS = (1, 10, 11)

#: The path of a numbered block inside a tensor's name, such as ``/encoder/layer.3`` or ``/layer1``.
_BLOCK = re.compile(r"^(.*?(?:layers?|blocks?|stages?|resblocks)[._/]?\d+)(?=[/.])")

#: Operators that images may pass on the way to the first convolution.
_POINTWISE = ("Cast", "Identity", "Sub", "Add", "Div", "Mul", "QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class ImageInput:
    """The image that a graph takes.

    Attributes
    ----------
    name : str
    dtype : {"float32", "float16", "float64", "uint8"}
    batch : int or None
        How many images it takes at once; None where that is free.
    channels : {1, 3}
    size : (int or None, int or None)
        Height and width.
    channels_last : bool
        Whether it takes (N, H, W, C).
    """

    name: str
    dtype: str
    batch: int | None
    channels: int
    size: tuple[int | None, int | None]
    channels_last: bool


class Graph:
    """The tensors inside an ONNX graph that images pass through.

    Parameters
    ----------
    model : onnx.ModelProto
        With inferred shapes, as far as they can be inferred.
    name : str
        The file, for errors.

    Attributes
    ----------
    image : ImageInput
    tensors : list of str
        Tensors of three or four dimensions, in the order in which they are computed.
    unknown : list of str
        Tensors whose dimensions cannot be told before the graph is run.
    logits : str or None
        The class scores, before any softmax; None where no output looks like them.

    Raises
    ------
    InputError
        If the graph has not exactly one input, images of one or three channels, or is too large.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.name = model, name
        if model.ByteSize() > _LARGEST:
            raise InputError(
                f"model: {name!r} has more than 2 GB, and such ONNX graphs cannot be opened inside"
            )
        constants = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in constants]
        if len(inputs) != 1:
            raise InputError(
                "model: expected a graph with one input, images (N, 3, H, W) or (N, H, W, 3); "
                f"{name!r} wants {', '.join(map(_told, inputs)) or 'none'}"
            )
        self.image = _image(model, inputs[0], name)
        values = (*model.graph.value_info, *model.graph.output)
        shapes = {value.name: _shape(value) for value in values}
        floats = {value.name for value in values if _kind(value) in _FLOATS}
        self.made = [name for node in model.graph.node for name in node.output if name]
        self.tensors = [n for n in self.made if n in floats and len(shapes[n] or ()) in (3, 4)]
        self.unknown = [n for n in self.made if shapes.get(n) is None]
        self.logits = self._find_logits({n: shapes[n] for n in floats})

    def add(self, tensors: Sequence[str]) -> None:
        """Take tensors whose dimensions have become known among the layers."""
        found = {*self.tensors, *tensors}
        self.tensors = [name for name in self.made if name in found]

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

    def wants(self) -> str:
        """Return the operator sets, and the operators that are no part of ONNX, for errors."""
        sets = [f"{each.domain or 'ai.onnx'} {each.version}" for each in self.model.opset_import]
        own = {
            f"{node.domain}:{node.op_type}"
            for node in self.model.graph.node
            if node.domain not in ("", "ai.onnx", "ai.onnx.ml")
        }
        told = f"the operator sets {', '.join(sets)}"
        return told + (f" and the operators {', '.join(sorted(own))}" if own else "")

    def with_outputs(self, names: Sequence[str]) -> bytes:
        """Return the graph, serialised, with these tensors as its outputs."""
        known = {v.name: v for v in (*self.model.graph.value_info, *self.model.graph.output)}
        blank = type(self.model.graph.input[0])
        edited = type(self.model)()
        edited.CopyFrom(self.model)
        del edited.graph.output[:]
        edited.graph.output.extend(known.get(name) or blank(name=name) for name in names)
        serialised: bytes = edited.SerializeToString()
        return serialised


def _image(model: Any, value: Any, name: str) -> ImageInput:
    shape, kind = _shape(value), _INPUTS.get(_kind(value))
    last, channels = False, None
    if shape is not None and len(shape) == 4:
        last, channels = _channels(model, value.name, shape)
    if kind is None or channels not in (1, 3) or shape is None:
        raise InputError(
            "model: expected a graph of images (N, 3, H, W), (N, 1, H, W) or with the channels "
            f"last, in float32, float16, float64 or uint8; {name!r} wants {_told(value)}"
        )
    height, width = (shape[1], shape[2]) if last else (shape[2], shape[3])
    return ImageInput(value.name, kind, shape[0], channels, (height, width), last)


def _channels(model: Any, name: str, shape: Sequence[int | None]) -> tuple[bool, int | None]:
    """Return whether the channels are last, and how many there are."""
    for place in (1, 3):
        if shape[place] in (1, 3):
            return place == 3, shape[place]
    if None not in (shape[1], shape[3]):
        return False, None
    turned, channels = _first_convolution(model, name)
    last = shape[3] is None and (turned or shape[1] is not None)
    return last, channels or 3


def _first_convolution(model: Any, name: str) -> tuple[bool, int | None]:
    """Return whether the image's channels are moved ahead, and how many the first filters take."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    turned = False
    for node in model.graph.node:
        if not node.input or name not in node.input:
            continue
        fields = {each.name: each for each in node.attribute}
        if node.op_type == "Conv" and len(node.input) > 1 and node.input[1] in weights:
            group = fields["group"].i if "group" in fields else 1
            return turned, int(weights[node.input[1]].dims[1] * group)
        if node.op_type == "Transpose" and "perm" in fields:
            turned = list(fields["perm"].ints) == [0, 3, 1, 2]
        elif node.op_type not in _POINTWISE:
            break
        name = node.output[0]
    return turned, None


def _told(value: Any) -> str:
    """Return the name, the kind and the dimensions of an input, for errors."""
    from onnx import TensorProto

    kind = TensorProto.DataType.Name(_kind(value)).lower() if _kind(value) else "no tensor"
    shape = _shape(value)
    sides = " x ".join("free" if n is None else str(n) for n in shape or ())
    return f"{value.name!r} ({kind} {'of any shape' if shape is None else sides})"


def _kind(value: Any) -> int:
    return int(value.type.tensor_type.elem_type)


def _shape(value: Any) -> list[int | None] | None:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    return [d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim]


def free_dimensions(model: Any) -> None:
    """Name the dimensions that exporters write as zero or −1, which runtimes take literally."""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for place, side in enumerate(value.type.tensor_type.shape.dim):
            if side.HasField("dim_value") and side.dim_value <= 0:
                side.dim_param = f"{value.name}_{place}"
