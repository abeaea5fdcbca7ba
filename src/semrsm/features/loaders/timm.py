"""Networks of the timm package, from its hub, from a file of weights or from a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import InputError, did_you_mean
from ..checkpoint import checkpoint_preprocess
from ..models import Model
from .weights import fill, out_of_reach, read_state, require_built, sha256, split_file, spread


def load(spec: str, rest: str, size: tuple[int, int] | None) -> Model:
    """Load ``NAME[.TAG]``, or ``NAME@FILE``."""
    timm = _package(spec)
    name, file = split_file(rest)
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise InputError(
            f"model: timm has no network {architecture!r}."
            f"{did_you_mean(architecture, timm.list_models())}"
        )
    if file is not None:
        state = read_state(file)
        module = timm.create_model(name, pretrained=False, **_classes(timm, name, state))
        fill(module, state, spec)
        facts = {"weights_file": file.name, "weights_sha256": sha256(file)}
        return _finish(spec, f"timm:{name}", timm, module, size, facts)
    advice = (
        "On a machine with access, save the weights with "
        "safetensors.torch.save_file(model.state_dict(), FILE), and pass "
        f"'timm:{name}@FILE' as the model."
    )
    with _explaining(spec, f"the weights {name!r} of timm", advice):
        module = timm.create_model(name, pretrained=True)
    return _finish(spec, spec, timm, module, size, {})


def load_folder(spec: str, folder: Path, size: tuple[int, int] | None) -> Model:
    """Load the network of a folder in the layout of timm's hub."""
    timm = _package(spec)
    if not (folder / "model.safetensors").is_file():
        raise InputError(f"model: {str(folder)!r} has config.json, but no model.safetensors")
    with _explaining(spec, "the files in that folder", "Are they complete?"):
        module = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True)
    facts = {"weights_sha256": sha256(folder / "model.safetensors")}
    return _finish(spec, folder.resolve().name, timm, module, size, facts)


def _package(spec: str) -> Any:
    return require_built("timm", extra="timm", spec=spec)


@contextmanager
def _explaining(spec: str, what: str, advice: str) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise out_of_reach(spec, what, advice, error) from error


def _classes(timm: Any, name: str, state: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of classes that the head of a state dict has, as an argument."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    names = getattr(config, "classifier", None) or ()
    for key in (names,) if isinstance(names, str) else names:
        weight = state.get(f"{key}.weight")
        return {"num_classes": 0 if weight is None else len(weight)}
    return {}


def _finish(
    spec: str,
    name: str,
    timm: Any,
    module: Any,
    size: tuple[int, int] | None,
    facts: Mapping[str, Any],
) -> Model:
    data = require_built("timm.data", extra="timm", spec=spec)
    transform = TimmTransform(data.create_transform, data.resolve_model_data_config(module))
    preprocess = checkpoint_preprocess(transform, spec, size)
    if size is not None and hasattr(module, "set_input_size"):
        try:
            module.set_input_size(img_size=size)
        except (AssertionError, ValueError, RuntimeError) as error:
            raise InputError(f"size: {spec!r} cannot take {size}: {error}") from error
    return Model(
        name=name,
        module=module.eval(),
        preprocess=preprocess,
        **spatial_facts(module),
        has_classes=int(getattr(module, "num_classes", 0)) > 0,
        provenance={
            **facts,
            "architecture": type(module).__name__,
            "timm": timm.__version__,
            "preprocess_from": "checkpoint",
        },
    )


def spatial_facts(module: Any) -> dict[str, Any]:
    """Return the layers of a network of timm and how they are laid out, as fields of a Model."""
    parts = {name for name, _ in module.named_modules() if name}
    stages = [info["module"] for info in getattr(module, "feature_info", None) or []]
    return {
        "layers": spread([stage for stage in dict.fromkeys(stages) if stage in parts]),
        "prefix_tokens": int(getattr(module, "num_prefix_tokens", 0)),
        "channels_last": _channels_last(module),
    }


def _channels_last(module: Any) -> tuple[str, ...]:
    if type(module).__name__ == "VisionTransformerSAM":
        return ("patch_embed", "blocks.**")  # its neck gives (N, C, H, W)
    return ("**",) if str(getattr(module, "output_fmt", "NCHW")).endswith("NHWC") else ()


class TimmTransform:
    """The evaluation transform of timm for a configuration of data.

    Parameters
    ----------
    create : callable
        ``timm.data.create_transform``.
    config : mapping
        Of ``timm.data.resolve_model_data_config``.
    """

    def __init__(self, create: Callable[..., Any], config: Mapping[str, Any]) -> None:
        self._create, self._config = create, dict(config)
        self._run = create(**config, is_training=False)

    def __call__(self, image: Any) -> Any:
        """Return the tensor (C, H, W) of an image."""
        return self._run(image)

    def at(self, size: tuple[int, int], own: tuple[int, int] | None) -> Iterator[TimmTransform]:
        """Yield the transform of the same configuration at another size."""
        channels = self._config["input_size"][0]
        yield TimmTransform(self._create, {**self._config, "input_size": (channels, *size)})

    def describe(self) -> dict[str, Any]:
        """Return the configuration in plain values."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in self._config.items()}
        return {"class": "timm.data.create_transform", "config": plain}
