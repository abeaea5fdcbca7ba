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


#: The parts of the table; "towers" are the networks of transformers that take more than images.
LIBRARIES = ("transformers", "towers", "timm", "torchvision")


class NotBuiltError(Exception):
    """A family cannot be built here."""


def families(library: str) -> list[Family]:
    """Return the families of a library."""
    return list(
        {
            "transformers": _transformers,
            "towers": _towers,
            "timm": _timm,
            "torchvision": _torchvision,
        }[library]()
    )


# ------------------------------------------------------------------------------- transformers

#: Depths, widths and sizes that a small network has at most.
_SMALLER = {
    "num_hidden_layers": 4, "num_layers": 4, "n_layer": 4, "depth": 4, "encoder_layers": 2,
    "decoder_layers": 2, "num_queries": 8, "vocab_size": 64, "num_detection_tokens": 10,
    "decoder_num_hidden_layers": 1, "num_decoder_layers": 1, "decoder_depth": 1, "image_size": 224,
    "num_experts": 2, "num_local_experts": 2, "n_routed_experts": 2,
}  # fmt: skip

#: The same of parts that read no images.
_OTHER_PARTS = {
    "hidden_size": 64, "d_model": 64, "intermediate_size": 64, "num_attention_heads": 4,
    "num_key_value_heads": 4, "head_dim": 16, "num_hidden_layers": 1, "moe_intermediate_size": 32,
    "vocab_size": 64, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64,
}  # fmt: skip

#: The names of the configurations of such parts.
_NO_IMAGES = ("text", "qformer", "audio", "talker", "decoder", "llm", "memory", "prompt")

#: Of a network: its weights, the copy on the disk and what is loaded must fit together.
_PARAMETERS = 400_000_000


def _transformers() -> Iterator[Family]:
    """Yield the networks that take images alone: those of the image maps of transformers."""
    yield from _of_transformers(towers=False)


def _towers() -> Iterator[Family]:
    """Yield the networks that take more, and have a part for images."""
    yield from _of_transformers(towers=True)


def _of_transformers(towers: bool) -> Iterator[Family]:
    import transformers
    from transformers.models.auto import configuration_auto, modeling_auto

    backbones = modeling_auto.MODEL_FOR_BACKBONE_MAPPING_NAMES
    for kind, config in sorted(configuration_auto.CONFIG_MAPPING_NAMES.items()):
        name = modeling_auto.MODEL_MAPPING_NAMES.get(kind) or backbones.get(kind)
        name = name[0] if isinstance(name, (tuple, list)) else name
        parts = getattr(getattr(transformers, config, None), "sub_configs", None) or {}
        has_part = any("vision" in part or "image" in part for part in parts)
        made = None if name is None else getattr(transformers, name, None)
        alone = False
        with contextlib.suppress(ImportError):
            alone = getattr(made, "main_input_name", "") == "pixel_values" and not has_part
        if made is not None and (has_part if towers else alone):
            library = "towers" if towers else "transformers"
            yield Family(library, kind, lambda name=name: _small(transformers, name))


def _small(package: Any, name: str) -> tuple[Any, str]:
    made = getattr(package, name)
    errors = []
    for most in ({**_SMALLER, **_OTHER_PARTS}, _SMALLER, None):
        try:
            kind = made.config_class
            config = kind() if most is None else _shrunk(kind(), most is not _SMALLER)
            with torch.device("meta"):
                count = sum(p.numel() for p in made(config).parameters())
            if count > _PARAMETERS:
                raise NotBuiltError(f"{count / 1e9:.1f} billion parameters")
            torch.manual_seed(0)
            return made(config).eval(), name
        except Exception as error:  # the configurations are somebody else's
            errors.append(f"{type(error).__name__}: {error}".splitlines()[0])
    raise NotBuiltError(errors[0])


def _shrunk(config: Any, others: bool, reads_images: bool = True) -> Any:
    """Return a configuration of the same kind with less of everything."""
    most = _SMALLER if reads_images or not others else {**_SMALLER, **_OTHER_PARTS}
    changes: dict[str, Any] = {}
    for key, value in vars(config).items():
        if key in most and type(value) is int:
            changes[key] = min(value, most[key])
        elif key == "depths" and isinstance(value, (list, tuple)):
            changes[key] = type(value)(min(n, 2) for n in value)
        elif hasattr(value, "to_dict") and key.endswith("_config"):
            changes[key] = _shrunk(value, others, not key.startswith(_NO_IMAGES))
    kept = {
        key: value
        for key, value in vars(config).items()
        if key in inspect.signature(type(config).__init__).parameters and not key.startswith("_")
    }
    # Made anew, since names of stages and the like follow from the depth.
    kept.pop("out_features", None)
    kept.pop("out_indices", None)
    return type(config)(**{**kept, **changes})


# --------------------------------------------------------------------------------------- timm


def _timm() -> Iterator[Family]:
    import timm

    for module in sorted(timm.list_modules()):
        names = timm.list_models(module=module)
        if names:
            yield Family("timm", module, lambda names=names: _least(timm, names))


#: Words in the names of small networks, the smallest first.
_SMALL = (
    "test_", "atto", "femto", "pico", "nano", "xxs", "xxt", "xs", "xt", "mini", "micro", "tiny",
    "_t0", "_t1", "_s0", "_b0", "_0", "_t", "small", "_s", "10", "14", "18",
)  # fmt: skip


def _rank(name: str) -> int:
    return next((n for n, word in enumerate(_SMALL) if word in name), len(_SMALL))


def _least(timm: Any, names: list[str]) -> tuple[Any, str]:
    """Build the smallest network of a module, by the pixels and parameters of some of them."""
    likely = sorted(names, key=lambda name: (_rank(name), len(name)))[:8]
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
