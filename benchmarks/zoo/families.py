"""The families of networks: one small network of each, built with random weights."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Family:
    """A family of networks.

    Attributes
    ----------
    library, name : str
    build : callable
        Returns the module, in evaluation mode, and the name by which the library knows it.
    """

    library: str
    name: str
    build: Callable[[], tuple[Any, str]]


class NotBuiltError(Exception):
    """A family cannot be built here."""


def families(library: str) -> list[Family]:
    """Return the families of a library."""
    return list(
        {"transformers": _transformers, "timm": _timm, "torchvision": _torchvision}[library]()
    )


# ------------------------------------------------------------------------------- transformers

#: Depths and widths that a small network has.
_SMALLER = {
    "num_hidden_layers": 4, "num_layers": 4, "n_layer": 4, "depth": 4, "encoder_layers": 2,
    "decoder_layers": 2, "num_queries": 8, "vocab_size": 64, "num_detection_tokens": 10,
    "decoder_num_hidden_layers": 1, "num_decoder_layers": 1, "decoder_depth": 1,
}  # fmt: skip


def _transformers() -> Iterator[Family]:
    import transformers
    from transformers.models.auto import modeling_auto

    backbones = set(modeling_auto.MODEL_FOR_BACKBONE_MAPPING_NAMES)
    images = set(modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)
    images |= set(modeling_auto.MODEL_FOR_IMAGE_MAPPING_NAMES)
    images |= set(modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES)
    for kind in sorted(backbones | images):
        name = modeling_auto.MODEL_MAPPING_NAMES.get(kind)
        name = name[0] if isinstance(name, (tuple, list)) else name
        if name is None:
            name = modeling_auto.MODEL_FOR_BACKBONE_MAPPING_NAMES.get(kind)
        if name is not None:
            yield Family("transformers", kind, lambda name=name: _small(transformers, name))


def _small(package: Any, name: str) -> tuple[Any, str]:
    made = getattr(package, name, None)
    if made is None:
        raise NotBuiltError(f"{name} is not in this version of transformers")
    errors = []
    for shrink in (True, False):
        try:
            config = made.config_class()
            if shrink:
                _shrink(config)
            torch.manual_seed(0)
            return made(config).eval(), name
        except Exception as error:  # the configurations are somebody else's
            errors.append(f"{type(error).__name__}: {error}".splitlines()[0])
    raise NotBuiltError(errors[-1])


def _shrink(config: Any) -> None:
    for key, value in list(vars(config).items()):
        if key in _SMALLER and isinstance(value, int):
            with contextlib.suppress(Exception):
                setattr(config, key, min(value, _SMALLER[key]))
        elif key == "depths" and isinstance(value, (list, tuple)):
            setattr(config, key, type(value)(min(n, 2) for n in value))
        elif hasattr(value, "to_dict") and key.endswith("_config"):
            _shrink(value)


# --------------------------------------------------------------------------------------- timm


def _timm() -> Iterator[Family]:
    import timm

    for module in sorted(timm.list_modules()):
        names = timm.list_models(module=module)
        if names:
            yield Family("timm", module, lambda names=names: _least(timm, names))


def _least(timm: Any, names: list[str]) -> tuple[Any, str]:
    """Build the smallest network of a module, by the pixels and parameters of some of them."""
    likely = sorted(names, key=lambda name: ("test" not in name, len(name)))[:8]
    sizes = {}
    for name in likely:
        with contextlib.suppress(Exception), torch.device("meta"):
            made = timm.create_model(name)
            pixels = made.default_cfg["input_size"][-1] ** 2
            sizes[name] = sum(p.numel() for p in made.parameters()) * pixels
    order = sorted(sizes, key=sizes.__getitem__) + [name for name in likely if name not in sizes]
    errors = []
    for name in order[:3]:
        try:
            torch.manual_seed(0)
            return timm.create_model(name, pretrained=False).eval(), name
        except Exception as error:  # some need packages that are not there
            errors.append(f"{type(error).__name__}: {error}".splitlines()[0])
    raise NotBuiltError(errors[0] if errors else "no network")


# -------------------------------------------------------------------------------- torchvision


def _torchvision() -> Iterator[Family]:
    from torchvision import models

    smallest: dict[str, str] = {}
    for module in (models, models.segmentation):
        for name in models.list_models(module=module):
            source = inspect.getmodule(models.get_model_builder(name))
            family = f"{module.__name__.rpartition('.')[2]}.{source.__name__.rpartition('.')[2]}"
            if family not in smallest or len(name) < len(smallest[family]):
                smallest[family] = name

    def build(name: str) -> tuple[Any, str]:
        torch.manual_seed(0)
        with contextlib.suppress(TypeError):
            return models.get_model(name, weights=None, weights_backbone=None).eval(), name
        return models.get_model(name, weights=None).eval(), name

    for family, name in sorted(smallest.items()):
        yield Family("torchvision", family, lambda name=name: build(name))
