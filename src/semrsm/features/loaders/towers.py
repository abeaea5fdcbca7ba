"""The part of a network that takes images alone, found by what the parts can be called with."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ..preprocess import Preprocess

#: Arguments by which a part takes something else than images: texts, sounds, points to look at.
_OTHERS = re.compile(r"(^|_)(input_ids|input_points|input_values|input_features)$")

#: Fields of the configurations of networks of videos.
_VIDEO = ("num_frames", "tubelet_size", "frames_per_clip")


def vision_part(whole: Any, spec: str) -> tuple[Any, str]:
    """Return the outermost part of a network that can be run on images alone, and its name.

    Parameters
    ----------
    whole : transformers.PreTrainedModel
    spec : str
        The network, for errors.

    Raises
    ------
    InputError
        If there is none, or it takes videos.
    """
    parts = sorted(whole.named_modules(), key=lambda pair: pair[0].count(".") + bool(pair[0]))
    for name, part in parts:
        if takes_images(part):
            config = getattr(part, "config", whole.config)
            if any(getattr(config, field, None) is not None for field in _VIDEO):
                raise InputError(
                    f"model: expected a network of images; {spec!r} is a {type(whole).__name__}, "
                    "which takes videos"
                )
            return part, name
    raise InputError(
        f"model: expected a network of images; {spec!r} is a {type(whole).__name__}, none of whose "
        "parts takes pixel_values alone"
    )


def takes_images(part: Any) -> bool:
    """Return whether a part of a network can be called with ``pixel_values`` and nothing else.

    Patches with their positions count, as the network takes them.
    """
    arguments = _arguments(part)
    if next(iter(arguments), "") != "pixel_values" or any(map(_OTHERS.search, arguments)):
        return False
    needed = {name for name, one in arguments.items() if one.default is one.empty}
    return needed <= {"pixel_values"} or takes_patches(part)


def takes_patches(part: Any) -> bool:
    """Return whether a part takes patches, a mask of them, and the grids that they make."""
    arguments = _arguments(part)
    return "spatial_shapes" in arguments and any("attention_mask" in name for name in arguments)


def _arguments(part: Any) -> Mapping[str, inspect.Parameter]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = inspect.signature(part.forward).parameters
    return {name: one for name, one in found.items() if one.kind not in kinds}


def patchwise(torch: Any, module: Any, patch: int) -> Any:
    """Wrap a network of patches (SigLIP 2 at variable sizes) into one of images.

    Parameters
    ----------
    torch : module
    module : torch.nn.Module
        For which :func:`takes_patches` holds.
    patch : int
        The side of a patch in pixels.

    Returns
    -------
    torch.nn.Module
        Takes images (N, 3, H, W) whose sides are multiples of `patch`; the network is its part
        ``network``.
    """
    mask_name = next(name for name in _arguments(module) if "attention_mask" in name)

    class Patchwise(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = module

        def forward(self, images: Any) -> Any:
            count, channels, height, width = images.shape
            if height % patch or width % patch:
                raise InputError(
                    f"size: expected multiples of the network's patches of {patch} pixels; got "
                    f"{(height, width)}"
                )
            rows, columns = height // patch, width // patch
            parts = images.reshape(count, channels, rows, patch, columns, patch)
            # Row by row, and inside a patch by rows, columns, channels.
            patches = parts.permute(0, 2, 4, 3, 5, 1).reshape(count, rows * columns, -1)
            shapes = torch.tensor([[rows, columns]] * count, device=images.device)
            mask = torch.ones(count, rows * columns, dtype=torch.long, device=images.device)
            return self.network(patches, **{mask_name: mask, "spatial_shapes": shapes})

    return Patchwise()


def patches_preprocess(processor: Any, vision: Any, size: tuple[int, int] | None) -> Preprocess:
    """Return the preprocessing of a network of patches: all photographs at one size.

    Its own gives each photograph as many patches as keep its proportions, up to a number.

    Parameters
    ----------
    processor : object
        An image processor of transformers.
    vision : object
        The configuration of the network.
    size : (int, int), optional
        By default the square of as many patches as the network has positions for.
    """
    side = math.isqrt(int(vision.num_patches)) * int(vision.patch_size)
    whole = (side, side) if size is None else size
    mean, std = (
        tuple(255 * float(n) for n in getattr(processor, name, None) or (0.5,) * 3)
        for name in ("image_mean", "image_std")
    )
    return Preprocess(
        whole, whole, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), "bilinear", "stretch"
    )
