"""From a name to a network: which loader a name leads to, and the loaders of others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._internal.checks import is_whole_number
from ..errors import InputError, did_you_mean, first_line
from .discovery import last_layers, spatial_outputs
from .layouts import CANNOT_RUN
from .loaders import efficientnet_lite, local, onnx, packaged_onnx, timm, torchvision, transformers
from .models import Model

#: From the whole name, the part of it that the loader reads, and the input size (H, W) or None.
Load = Callable[[str, str, "tuple[int, int] | None"], Model]


@dataclass(frozen=True)
class Loader:
    """An origin of networks, named ``SCHEME:REST``.

    Attributes
    ----------
    load : callable
        ``load(spec, rest, size) -> Model``.
    form : str
        How such a name looks, for errors and help.
    """

    load: Load
    form: str


#: By the word before the colon.
LOADERS: dict[str, Loader] = {
    "transformers": Loader(transformers.load, "transformers:ORG/NAME"),
    "timm": Loader(timm.load, "timm:NAME"),
    "torchvision": Loader(torchvision.load, "torchvision:NAME"),
    "onnx": Loader(onnx.load, "onnx:FILE"),
}

#: The networks that have a short name: the loader of each, and what it reads. The weights of the
#: EfficientNet-Lites, the thin ResNet and the ViT-S/14 come as Python packages; all others are
#: those of the Hugging Face hub that the paper's experiments name. Where the paper leaves the
#: variant open (CLIP, SAM, ConvNeXtV2), this is the one that is taken: the base size, at the
#: smallest patch and the standard resolution.
NAMES: Mapping[str, tuple[Load, str]] = {
    "efficientnet-lite0": (efficientnet_lite.load, "0"),
    "efficientnet-lite1": (efficientnet_lite.load, "1"),
    "efficientnet-lite2": (efficientnet_lite.load, "2"),
    "thin-resnet50": (packaged_onnx.load, "thin-resnet50"),
    "vit-s14-saliency": (packaged_onnx.load, "vit-s14-saliency"),
    "resnet18": (transformers.load, "microsoft/resnet-18"),
    "resnet50": (transformers.load, "microsoft/resnet-50"),
    "resnet101": (transformers.load, "microsoft/resnet-101"),
    "convnextv2-base": (transformers.load, "facebook/convnextv2-base-22k-224"),
    "vit-b16": (transformers.load, "google/vit-base-patch16-224"),
    "vit-l32": (transformers.load, "google/vit-large-patch32-384"),
    "dinov2-giant": (transformers.load, "facebook/dinov2-giant"),
    "dinov2-giant-classifier": (transformers.load, "facebook/dinov2-giant-imagenet1k-1-layer"),
    "clip": (transformers.load, "openai/clip-vit-base-patch16"),
    "clipseg": (transformers.load, "CIDAS/clipseg-rd64-refined"),
    "sam": (transformers.load, "facebook/sam-vit-base"),
    "bit-50": (transformers.load, "google/bit-50"),
}


def register_loader(scheme: str, load: Load, *, form: str | None = None) -> None:
    """Make :func:`semrsm.load_model`, and the command, load networks named ``"SCHEME:REST"``.

    Parameters
    ----------
    scheme : str
        The word before the colon. A loader of that scheme is replaced.
    load : callable
        Called as ``load(spec, rest, size)``: the whole name, which errors quote; what follows the
        colon; and the input size (H, W) in pixels, or None for the network's own. It returns a
        :class:`semrsm.features.Model`.
    form : str, optional
        How such a name looks, for errors and help; by default ``"SCHEME:NAME"``.

    Raises
    ------
    InputError
        If the scheme is not a word of letters, digits, ``-``, ``_`` and ``.``, or `load` cannot be
        called.

    Examples
    --------
    >>> import torch
    >>> from semrsm.features.preprocess import Preprocess
    >>> def load(spec, rest, size):
    ...     module = torch.nn.Sequential(torch.nn.Conv2d(3, int(rest), 3))
    ...     preprocess = Preprocess(size or 32, size or 32, (0, 0, 0), (255, 255, 255))
    ...     return Model(spec, module, preprocess, layers=("0",))
    >>> register_loader("convolution", load)
    >>> load_model("convolution:8").grids()
    {'0': (30, 30)}
    """
    if not isinstance(scheme, str) or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", scheme):
        raise InputError(
            f"scheme: expected a word of letters, digits, '-', '_' and '.'; got {scheme!r}"
        )
    if not callable(load):
        raise InputError(
            f"load: expected a function of (spec, rest, size); got {type(load).__name__}"
        )
    LOADERS[scheme] = Loader(load, f"{scheme}:NAME" if form is None else form)


def load_model(spec: str | Path, *, size: int | tuple[int, int] | None = None) -> Model:
    """Load a network with its preprocessing and its spatial layers.

    Parameters
    ----------
    spec : str or Path
        - a short name: ``"efficientnet-lite0"``, ``"-lite1"``, ``"-lite2"`` (weights come as Python
          packages; nothing is downloaded), ``"thin-resnet50"`` and ``"vit-s14-saliency"`` (a real
          residual network and a real ViT, ONNX files of Python packages), ``"resnet18"``,
          ``"resnet50"``, ``"resnet101"``, ``"convnextv2-base"``, ``"vit-b16"``, ``"vit-l32"``,
          ``"dinov2-giant"``, ``"dinov2-giant-classifier"`` (with its linear head), ``"clip"``,
          ``"clipseg"``, ``"sam"``, ``"bit-50"``;
        - ``"transformers:ORG/NAME"``, or ``"transformers:FOLDER"`` of ``save_pretrained``;
        - ``"timm:NAME"``, or ``"timm:NAME@FILE"`` with the weights of a file (``.safetensors``, or
          a state dict that torch has saved);
        - ``"torchvision:NAME"``, or ``"torchvision:NAME@FILE"``;
        - ``"onnx:FILE"``: any tensor inside the graph is a layer, under its own name;
        - a folder: one of ``save_pretrained`` (``config.json``, ``model.safetensors``) or one in
          the layout of timm;
        - ``"SCHEME:REST"`` of a loader that :func:`semrsm.features.register_loader` has added.

        Of CLIP, CLIPSeg and SAM, only the vision part is loaded.
    size : int or (int, int), optional
        Height and width in pixels of what the network gets, where it is to differ from the
        network's own; position embeddings are interpolated.

    Returns
    -------
    Model
        In evaluation mode, in float32, on the CPU.

    Raises
    ------
    InputError
        If the name is unknown, weights are missing, cannot be downloaded or do not fit, or the
        network cannot take the size.
    MissingDependencyError
        If a package that the network needs is not installed.

    Examples
    --------
    >>> load_model("resnet17")
    Traceback (most recent call last):
    semrsm.errors.InputError: model: 'resnet17' is not known. Did you mean 'resnet18'? ...
    """
    text = str(spec)
    shape = checked_size(size)
    if text in NAMES:
        load, rest = NAMES[text]
        return replace(_with_layers(load(text, rest, shape)), identity=f"{text} {shape}")
    scheme, colon, rest = text.partition(":")
    if colon and scheme in LOADERS:
        if not rest:
            raise InputError(f"model: expected a name after {scheme + ':'!r}; got {text!r}")
        return _with_layers(LOADERS[scheme].load(text, rest, shape))
    # Last, so that a folder that happens to be called "resnet18" does not hide the network.
    if isinstance(spec, Path) or Path(text).is_dir() or text.startswith((".", "/", "~")):
        return _with_layers(local.load(text, text, shape))
    raise InputError(f"model: {text!r} is not known.{_hint(text)}")


def _with_layers(model: Model) -> Model:
    """Return a model that has been tried on one image of noise, with the layers that this gave.

    Where a loader recommends none, they are the last ones at each size of the grid.
    """
    if not hasattr(model.module, "named_modules"):
        return model
    noise = model.noise(1)
    height, width = noise.shape[2:]
    try:
        usable = spatial_outputs(model, noise) if model.layers else ()
        return replace(model, layers=usable or last_layers(model, noise))
    except CANNOT_RUN as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"model: {model.name!r} cannot be run on images alone, here one of {height} x {width} "
            f"pixels: {first_line(error)}"
        ) from error


def model_forms() -> tuple[str, ...]:
    """Return every name that :func:`load_model` knows: short ones, and the forms of the others."""
    return (*NAMES, *(loader.form for loader in LOADERS.values()))


def _hint(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    forms = (
        f"Expected {', '.join(NAMES)}; {', '.join(loader.form for loader in LOADERS.values())}; "
        "or an existing folder of transformers or timm"
    )
    near = did_you_mean(text, NAMES)
    if colon:
        found = did_you_mean(scheme, LOADERS)
        near = found and f"{found[:-2]}:{rest}'?"
    elif text.count("/") == 1:
        near = f" Did you mean {'transformers:' + text!r}?"
    return f"{near} {forms}"


def checked_size(size: Any) -> tuple[int, int] | None:
    """Return height and width of an input; None where they are not given.

    Raises
    ------
    InputError
        If it is neither a side nor a pair of sides in pixels.
    """
    if size is None:
        return None
    pair = (size, size) if is_whole_number(size) else size
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or any(not is_whole_number(v) or v < 1 for v in pair)
    ):
        raise InputError(f"size: expected pixels >= 1, or (height, width); got {size!r}")
    return (int(pair[0]), int(pair[1]))
