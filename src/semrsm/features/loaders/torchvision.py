"""Networks of the torchvision package."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import InputError, did_you_mean, require
from ..checkpoint import checkpoint_preprocess
from ..models import Model
from .weights import fill, out_of_reach, read_state, require_built, sha256, split_file, spread

#: The classifiers with heads that only serve their training.
_AUXILIARY = ("googlenet", "inception_v3")


def load(spec: str, rest: str, size: tuple[int, int] | None) -> Model:
    """Load ``NAME``, or ``NAME@FILE``."""
    torch = require("torch", extra="features", purpose="Feature extraction")
    package = require_built("torchvision", extra="torchvision", spec=spec)
    models = require_built("torchvision.models", extra="torchvision", spec=spec)
    name, file = split_file(rest)
    known = models.list_models(module=models) + models.list_models(module=models.segmentation)
    if name not in known:
        raise InputError(
            f"model: torchvision has no network of classification or segmentation {name!r}."
            f"{did_you_mean(name, known)}"
        )
    weights = models.get_model_weights(name).DEFAULT
    facts: dict[str, Any] = {
        "torchvision": package.__version__,
        "preprocess_from": "checkpoint",
    }
    if file is not None:
        state = read_state(file)
        facts |= {"weights_file": file.name, "weights_sha256": sha256(file)}
    else:
        try:
            state = torch.hub.load_state_dict_from_url(
                weights.url, progress=False, check_hash=True, map_location="cpu", weights_only=True
            )
        except (OSError, RuntimeError) as error:
            raise out_of_reach(
                spec,
                f"the weights {weights.url}",
                "Download that file on a machine with access, and pass "
                f"'torchvision:{name}@FILE' as the model.",
                error,
            ) from error
        facts["weights"] = str(weights)
    module = _network(models, name, state)
    fill(module, state, spec)
    preset = weights.transforms()
    if size is None and not hasattr(preset, "crop_size"):  # of segmentation: images stay as wide
        size = (int(preset.resize_size[0]),) * 2
    preprocess = checkpoint_preprocess(TorchvisionPreset(preset), spec, size)
    if size is not None:
        own = getattr(module, "image_size", None)  # of its vision transformers
        if own is not None and size != (own, own):
            raise InputError(
                f"size: torchvision's {name} takes {own}x{own} only; the same network from timm or "
                f"transformers takes others; got {size}"
            )
    return Model(
        name=f"torchvision:{name}",
        module=module.eval(),
        preprocess=preprocess,
        layers=_layers(module),
        prefix_tokens=1 if hasattr(module, "class_token") else 0,
        has_classes=name in models.list_models(module=models),
        provenance=facts,
        # Shifted windows are kept as (N, H, W, C) throughout.
        channels_last=("features.**",) if type(module).__name__ == "SwinTransformer" else (),
    )


def _network(models: Any, name: str, state: Mapping[str, Any]) -> Any:
    """Build a network without weights, with the classes and auxiliary heads of a state dict."""
    has_auxiliary = any(key.lower().startswith("aux") for key in state)
    taken = inspect.signature(models.get_model_builder(name)).parameters
    options: dict[str, Any] = {"weights": None}
    if "weights_backbone" in taken:
        options["weights_backbone"] = None
    if name in models.list_models(module=models.segmentation):
        options["aux_loss"] = has_auxiliary
    elif not has_auxiliary and name in _AUXILIARY:
        options["aux_logits"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GoogLeNet's on how it will be initialised one day
        module = models.get_model(name, **options)
        own = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
        for key, tensor in state.items():
            if tensor.shape and own.get(key, tensor.shape) != tuple(tensor.shape):
                # Heads alone depend on the number of classes; fill names all that does not fit.
                if own[key][1:] == tuple(tensor.shape[1:]):
                    module = models.get_model(name, **options, num_classes=len(tensor))
                break
    return module


def _layers(module: Any) -> tuple[str, ...]:
    parts = dict(module.named_modules())
    stages = [f"layer{i}" for i in (1, 2, 3, 4) if f"layer{i}" in parts]
    if stages:
        return tuple(stages)
    for name in ("encoder.layers", "blocks", "trunk_output", "features"):
        if name in parts:
            return spread([f"{name}.{child}" for child, _ in parts[name].named_children()])
    if hasattr(parts.get("backbone"), "items"):  # of segmentation
        return spread([f"backbone.{child}" for child, _ in parts["backbone"].named_children()])
    return ()


class TorchvisionPreset:
    """The transform that some weights of torchvision were measured with.

    Parameters
    ----------
    preset : callable
        What ``weights.transforms()`` returns.
    """

    def __init__(self, preset: Any) -> None:
        self._preset = preset

    def __call__(self, image: Any) -> Any:
        """Return the tensor (3, H, W) of an image."""
        return self._preset(image)

    def at(self, size: tuple[int, int], own: tuple[int, int] | None) -> Iterator[TorchvisionPreset]:
        """Yield the preset with its resizing and its cut at the same proportions."""
        other = copy.copy(self._preset)
        if own is None or not hasattr(other, "crop_size"):  # segmentation: resized, not cut
            other.resize_size = list(size)
        else:
            edges = list(other.resize_size)
            if size[0] * own[1] == size[1] * own[0]:
                other.resize_size = [round(edge * size[0] / own[0]) for edge in edges]
            else:
                # An edge alone keeps proportions: the longer side of the input must be covered.
                share = max(size[0] / own[0], size[1] / own[1])
                other.resize_size = [round(max(edges) * share)]
            other.crop_size = list(size)
        yield TorchvisionPreset(other)

    def describe(self) -> dict[str, Any]:
        """Return the class and its attributes in plain values."""
        attributes = {
            key: value if isinstance(value, (bool, int, float, list)) else str(value)
            for key, value in vars(self._preset).items()
            if not key.startswith("_") and key != "training"
        }
        return {"class": type(self._preset).__name__, "config": attributes}
