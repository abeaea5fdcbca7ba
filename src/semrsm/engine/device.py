"""Where matching runs: this processor, or a GPU."""

from __future__ import annotations

import re
from typing import Any

from ..errors import InputError, require
from ..matching.matchers import Matcher
from ..tokens import Tokens

#: The matchers that run on a GPU.
ON_GPU = ("none", "optimal")


def device_kind(device: str | None) -> str:
    """Return ``"cpu"`` or ``"cuda"``, whether or not there is one.

    Raises
    ------
    InputError
        If `device` is neither of them.
    """
    if device is None or device == "cpu":
        return "cpu"
    if not isinstance(device, str) or not re.fullmatch(r"cuda(:\d+)?", device):
        raise InputError(f"device: expected 'cpu', 'cuda' or 'cuda:0' and the like; got {device!r}")
    return "cuda"


def check_device(device: str | None) -> Any:
    """Return None for the processor, or the torch device of a GPU that is there.

    Parameters
    ----------
    device : str or None
        ``"cpu"``, ``"cuda"`` or ``"cuda:1"`` and the like; None is the processor.

    Raises
    ------
    InputError
        If `device` is none of these, or there is no such GPU.
    MissingDependencyError
        If torch or Triton is not installed.
    """
    if device is None or device_kind(device) == "cpu":
        return None
    torch = require("torch", extra="cuda", purpose="Matching on a GPU")
    require("triton", extra="cuda", purpose="Matching on a GPU")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= count:
        found = count if count else "none"
        version = torch.__version__
        raise InputError(
            f"device: expected an NVIDIA GPU for {device!r}; torch {version} finds {found}"
        )
    return torch.device(device)


def check_on_gpu(rows: Tokens, columns: Tokens, matcher: Matcher) -> None:
    """Refuse what only the processor computes.

    Raises
    ------
    InputError
        If the matcher has no kernel, the features are float64, or an image has too many vectors.
    """
    from .cuda.limits import LARGEST

    if matcher.name not in ON_GPU:
        raise InputError(
            f"matcher: expected {' or '.join(map(repr, ON_GPU))} on a GPU; got {matcher.name!r}, "
            "which runs on the processor (device=None)"
        )
    if max(rows.dtype.itemsize, columns.dtype.itemsize) > 4:
        raise InputError(
            "device: expected features that are computed in float32 (float16, bfloat16 or float32) "
            "on a GPU; float64 is for the processor (device=None)"
        )
    widest = int(max(rows.sizes.max(), columns.sizes.max()))
    if matcher.name == "optimal" and widest > LARGEST:
        raise InputError(
            f"device: expected images of at most {LARGEST} vectors on a GPU; got {widest}"
        )
