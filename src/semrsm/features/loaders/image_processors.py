"""Image processors of transformers: the code that makes the inputs of its networks."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ..checkpoint import CheckpointPreprocess, checkpoint_preprocess
from ..preprocess import IMAGENET, Preprocess

if TYPE_CHECKING:
    from PIL.Image import Image

#: The files that hold the configuration of a processor.
_FILES = ("preprocessor_config.json", "processor_config.json")

#: The fields of a configuration that hold sizes in pixels.
_SIZES = ("size", "crop_size", "pad_size")


class ImageProcessor:
    """An image processor, called on one photograph.

    Parameters
    ----------
    processor : transformers.ImageProcessingMixin
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def outputs(self, image: Image) -> Mapping[str, Any]:
        """Return all that the processor gives for an image."""
        found: Mapping[str, Any] = self.processor(image, return_tensors="pt")
        return found

    def __call__(self, image: Image) -> Any:
        """Return the pixel values of an image, shape (C, H, W)."""
        found = self.outputs(image)
        if "pixel_values" not in found:
            raise InputError(f"gives {', '.join(sorted(found))} and no pixel_values")
        values = np.asarray(found["pixel_values"])
        if values.ndim != 4 or len(values) != 1:
            raise InputError(
                f"gives pixel_values of shape {values.shape} for one photograph, not (1, 3, H, W)"
            )
        return values[0]

    def at(self, size: tuple[int, int], own: tuple[int, int] | None) -> Iterator[ImageProcessor]:
        """Yield processors with the sizes scaled, and with exactly that size where that is none."""
        config = self._config()
        if own is not None:
            ratios = (size[0] / own[0], size[1] / own[1])
            for edge in (max(ratios), min(ratios)):
                scaled = {
                    key: _scaled(config[key], (*ratios, edge)) for key in _SIZES if config.get(key)
                }
                yield from self._built({**config, **scaled})
        exact = {"height": size[0], "width": size[1]}
        kept = {key: exact for key in _SIZES[1:] if config.get(key)}
        yield from self._built({**config, "size": exact, **kept})
        if config.get("pretrained_cfg"):  # a network of timm in a folder of transformers
            timm = {**config["pretrained_cfg"], "input_size": [3, *size]}
            yield from self._built({**config, "pretrained_cfg": timm})

    def _built(self, config: Mapping[str, Any]) -> Iterator[ImageProcessor]:
        try:
            yield ImageProcessor(type(self.processor).from_dict(dict(config)))
        except (TypeError, ValueError, KeyError):  # not a form of size that this class knows
            return

    def _config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.processor.to_json_string())
        return found

    def describe(self) -> dict[str, Any]:
        """Return the class and its configuration in plain values."""
        config = {key: value for key, value in self._config().items() if value is not None}
        return {"class": type(self.processor).__name__, "config": config}


def _scaled(value: Any, ratios: tuple[float, float, float]) -> Any:
    """Scale the heights, widths and edges of a size in any of the forms that processors take."""
    height, width, edge = ratios
    if isinstance(value, Mapping):
        by_name = {"height": height, "width": width}
        return {
            key: None if number is None else max(1, round(number * by_name.get(key, edge)))
            for key, number in value.items()
        }
    if isinstance(value, list):
        return [round(n * ratio) for n, ratio in zip(value, (height, width), strict=False)]
    return round(value * edge) if isinstance(value, (int, float)) else value


def processor_of(package: Any, config: Any, source: str) -> tuple[Any, str]:
    """Return the image processor of a checkpoint, or of its kind of network, and which it is."""
    try:
        return _from_pretrained(package, source), "checkpoint"
    except (OSError, ValueError):
        if has_processor(Path(source)):
            raise
    mapping = package.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES
    kind = config.model_type.removesuffix("_vision_model").removesuffix("_with_registers")
    names = mapping.get(config.model_type) or mapping.get(kind) or {}
    try:
        return getattr(package, names.get("pil") or "BitImageProcessorPil")(), "defaults"
    except TypeError:  # one that is made of the configuration of a checkpoint only
        return package.BitImageProcessorPil(), "defaults"


def processor_beside(package: Any, folder: Path) -> Any:
    """Return the image processor of a folder that may lack the configuration of a network."""
    file = next(folder / name for name in _FILES if (folder / name).is_file())
    values = json.loads(file.read_text(encoding="utf-8"))
    values = values.get("image_processor") or values
    if values.get("image_processor_type") or values.get("feature_extractor_type"):
        return _from_pretrained(package, str(folder))
    # A file without a class: those that cut take the shorter edge, the others height and width.
    cuts = values.get("do_center_crop") or values.get("crop_size")
    kind = "CLIPImageProcessorPil" if cuts else "ViTImageProcessorPil"
    return getattr(package, kind).from_dict(values)


def _from_pretrained(package: Any, source: str) -> Any:
    try:
        return package.AutoImageProcessor.from_pretrained(source)
    except (ImportError, RuntimeError):  # a torchvision that does not fit the installed torch
        return package.AutoImageProcessor.from_pretrained(source, backend="pil")


def has_processor(folder: Path) -> bool:
    """Return whether a folder has a file of preprocessing, so that failing to read it is one."""
    return any((folder / name).is_file() for name in _FILES)


def preprocess_of(
    processor: Any,
    spec: str,
    size: tuple[int, int] | None,
    module: Any = None,
    *,
    strict: bool = True,
) -> CheckpointPreprocess | Preprocess:
    """Return the preprocessing that an image processor does.

    Parameters
    ----------
    processor : object
        An image processor of transformers.
    spec : str
        The network, for errors.
    size : (int, int), optional
        The input size; by default the processor's own.
    module : torch.nn.Module, optional
        The network, which may ask for more than the pixels.
    strict : bool
        Whether a processor that cannot be used is an error. It is where a checkpoint brings it;
        where it only stands for the kind of network, the usual preprocessing of ImageNet does.

    Raises
    ------
    InputError
        With `strict`, if the processor does not give every photograph one image (3, H, W) of one
        size, cannot give `size`, or pads and the network must be told where.
    """
    try:
        found = checkpoint_preprocess(ImageProcessor(processor), spec, size)
        if module is not None:
            _check_masks(found.transform, spec, module)
    except InputError:
        if strict:
            raise
        return IMAGENET if size is None else IMAGENET.at(size)
    return found


def _check_masks(transform: Any, spec: str, module: Any) -> None:
    from PIL import Image

    taken = set(inspect.signature(module.forward).parameters)
    outputs = transform.outputs(Image.new("RGB", (333, 201)))
    for name in sorted(taken & set(outputs) - {"pixel_values"}):
        if not np.all(np.asarray(outputs[name]) == 1):  # ones are what networks assume
            raise InputError(
                f"model: {spec!r} takes {name} beside the pixels of each photograph, which differs "
                "from one photograph to the next; only networks of pixels alone can be run"
            )
