"""Networks by name: a module with its preprocessing, its spatial layers and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InputError, did_you_mean
from .preprocess import Preprocess

__all__ = ["NAMES", "Model", "Preprocess", "load_model", "token_grid"]


@dataclass(frozen=True)
class Model:
    """A network that is ready for :func:`semrsm.extract`.

    Attributes
    ----------
    name : str
    module : torch.nn.Module
        What is run, in evaluation mode: the whole classifier, or the vision part of a larger model.
    preprocess : Preprocess or callable
        From a PIL image to a float32 array or tensor (3, H, W).
    layers : tuple of str
        Spatial layers that are worth comparing, from early to late: the stages of a convolutional
        network, the blocks at a quarter, half, three quarters and the end of a deep transformer.
        Any other part of the module may be asked for as well.
    prefix_tokens : int or None
        How many leading tokens of a token layer stand for no place (class and register tokens);
        None where that is not known, and inferred from the number of tokens.
    has_classes : bool
        Whether the module's output is class scores, whose softmax are class probabilities.
    provenance : mapping
        Where module and weights come from.
    arguments : mapping
        What the module's forward is called with besides the images.
    channels_last : tuple of str
        Globs of layers (as :func:`semrsm.extract` takes them) whose four dimensions are
        (N, H, W, C); ``extract`` turns them into (N, C, H, W).
    """

    name: str
    module: Any = field(repr=False)
    preprocess: Callable[[Any], Any]
    layers: tuple[str, ...]
    prefix_tokens: int | None = None
    has_classes: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    channels_last: tuple[str, ...] = field(default=(), repr=False)

    def grids(self, layers: str | Sequence[str] | None = None) -> dict[str, tuple[int, int]]:
        """Return height and width of the grid of each layer, found by running one blank image.

        Parameters
        ----------
        layers : str or sequence of str, optional
            Names or globs; by default the recommended ones.

        Returns
        -------
        dict of str to (int, int)
            Layers whose tokens make no grid in the proportions of the input are left out.

        Raises
        ------
        InputError
            If a layer does not exist or is not spatial.
        """
        from PIL import Image

        from .extraction import extract

        height, width = getattr(self.preprocess, "height_and_width", (224, 224))
        found = extract(self, [Image.new("RGB", (width, height))], layers=layers)
        grids: dict[str, tuple[int, int]] = found.provenance["grids"]
        return grids


def token_grid(tokens: int, height: int, width: int) -> tuple[int, int] | None:
    """Return the grid that `tokens` square patches make of an image, or None if they make none.

    Parameters
    ----------
    tokens : int
        Without those that stand for no place.
    height, width : int
        The network's input in pixels; what a patch does not fill any more may be left over.

    Examples
    --------
    >>> token_grid(196, 224, 224), token_grid(98, 112, 224), token_grid(197, 224, 224)
    ((14, 14), (7, 14), None)
    """
    guess = round(math.sqrt(tokens * height / width))
    for rows in (guess, guess - 1, guess + 1):
        if rows < 1 or tokens % rows:
            continue
        columns = tokens // rows
        # Is there a side of patches of which this many, and not one more, fit both ways?
        if max(height / (rows + 1), width / (columns + 1)) < min(height / rows, width / columns):
            return (rows, columns)
    return None


#: The networks that have a short name, and what each stands for. The weights of the
#: EfficientNet-Lites come as Python packages; all others are those of the Hugging Face hub that the
#: paper's experiments name. Where the paper leaves the variant open (CLIP, SAM, ConvNeXtV2), this
#: is the one that is taken: the base size, at the smallest patch and the standard resolution.
NAMES: Mapping[str, str] = {
    "efficientnet-lite0": "efficientnet-lite:0",
    "efficientnet-lite1": "efficientnet-lite:1",
    "efficientnet-lite2": "efficientnet-lite:2",
    "resnet18": "transformers:microsoft/resnet-18",
    "resnet50": "transformers:microsoft/resnet-50",
    "resnet101": "transformers:microsoft/resnet-101",
    "convnextv2-base": "transformers:facebook/convnextv2-base-22k-224",
    "vit-b16": "transformers:google/vit-base-patch16-224",
    "vit-l32": "transformers:google/vit-large-patch32-384",
    "dinov2-giant": "transformers:facebook/dinov2-giant",
    "dinov2-giant-classifier": "transformers:facebook/dinov2-giant-imagenet1k-1-layer",
    "clip": "transformers:openai/clip-vit-base-patch16",
    "clipseg": "transformers:CIDAS/clipseg-rd64-refined",
    "sam": "transformers:facebook/sam-vit-base",
    "bit-50": "transformers:google/bit-50",
}

#: By the word before the colon: the module of ``semrsm.features.loaders`` whose ``load`` it calls.
_LOADERS: Mapping[str, str] = {
    "efficientnet-lite": "efficientnet_lite",
    "transformers": "transformers",
    "timm": "timm",
    "torchvision": "torchvision",
    "onnx": "onnx",
}


def load_model(spec: str | Path, *, size: int | tuple[int, int] | None = None) -> Model:
    """Load a network with its preprocessing and its spatial layers.

    Parameters
    ----------
    spec : str or Path
        - a short name: ``"efficientnet-lite0"``, ``"-lite1"``, ``"-lite2"`` (weights come as Python
          packages; nothing is downloaded), ``"resnet18"``, ``"resnet50"``, ``"resnet101"``,
          ``"convnextv2-base"``, ``"vit-b16"``, ``"vit-l32"``, ``"dinov2-giant"``,
          ``"dinov2-giant-classifier"`` (with its linear head), ``"clip"``, ``"clipseg"``,
          ``"sam"``, ``"bit-50"``;
        - ``"transformers:ORG/NAME"``, or ``"transformers:FOLDER"`` of ``save_pretrained``;
        - ``"timm:NAME"``, or ``"timm:NAME@FILE"`` with the weights of a file (``.safetensors``, or
          a state dict that torch has saved);
        - ``"torchvision:NAME"``, or ``"torchvision:NAME@FILE"``;
        - ``"onnx:FILE"``: any tensor inside the graph is a layer, under its own name;
        - a folder: one of ``save_pretrained`` (``config.json``, ``model.safetensors``) or one in
          the layout of timm.

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
    shape = _checked_size(size)
    full = NAMES.get(text, text)
    scheme, colon, rest = full.partition(":")
    if colon and scheme in _LOADERS and not (scheme == "efficientnet-lite" and full == text):
        if not rest:
            raise InputError(f"model: expected a name after {scheme + ':'!r}; got {text!r}")
        return _load(_LOADERS[scheme], text, rest, shape)
    # Last, so that a folder that happens to be called "resnet18" does not hide the network.
    if isinstance(spec, Path) or Path(text).is_dir() or text.startswith((".", "/", "~")):
        return _load("local", text, text, shape)
    raise InputError(f"model: {text!r} is not known.{_hint(text)}")


def _load(loader: str, spec: str, rest: str, size: tuple[int, int] | None) -> Model:
    model: Model = import_module(f".loaders.{loader}", __package__).load(spec, rest, size)
    return model


def _hint(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    forms = (
        f"Expected {', '.join(NAMES)}; transformers:ORG/NAME, timm:NAME, torchvision:NAME, "
        "onnx:FILE; or an existing folder of transformers or timm"
    )
    near = did_you_mean(text, NAMES)
    if colon:
        schemes = [name for name in _LOADERS if name != "efficientnet-lite"]
        found = did_you_mean(scheme, schemes)
        near = found and f"{found[:-2]}:{rest}'?"
    elif text.count("/") == 1:
        near = f" Did you mean {'transformers:' + text!r}?"
    return f"{near} {forms}"


def _checked_size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else size
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or any(isinstance(v, bool) or not isinstance(v, int) or v < 1 for v in pair)
    ):
        raise InputError(f"size: expected pixels >= 1, or (height, width); got {size!r}")
    return (pair[0], pair[1])
