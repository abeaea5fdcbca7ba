"""The one rule that chooses an engine, in memory, in runs and in forecasts."""

from __future__ import annotations

import re
import warnings
from typing import Any

from ..errors import InputError, require
from ..matching.base import Matcher
from ..tokens import Tokens
from .base import Engine
from .gpu import GpuEngine, has_kernel
from .threads import THREADS


def device_kind(device: str | None) -> str:
    """Return ``"cpu"`` or ``"cuda"``, whether or not there is a GPU.

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
    """Return None for the CPU, or the torch device of an available GPU.

    Parameters
    ----------
    device : str or None
        ``"cpu"``, ``"cuda"`` or ``"cuda:1"`` and the like; None is the CPU.

    Raises
    ------
    InputError
        If `device` is another value, or there is no such GPU.
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


def find_device(device: str | None, matcher: Matcher) -> Any:
    """Return the torch device of the GPU that a matcher runs on, or None for the CPU.

    Called before any work, so that a missing GPU is refused early. A matcher without a GPU kernel
    runs on the CPU.
    """
    if device_kind(device) == "cpu" or not has_kernel(matcher):
        return None
    return check_device(device)


def resolve_engine(
    device: str | None,
    matcher: Matcher,
    rows: Tokens,
    columns: Tokens,
    *,
    here: bool = True,
) -> Engine:
    """Return the engine that matches these images on a device.

    A GPU runs the matchers and sizes that it supports. The CPU runs all others, with a warning that
    says why.

    Parameters
    ----------
    device : str or None
        As for :func:`check_device`.
    matcher : Matcher
        The matcher to compute.
    rows, columns : Tokens
        The images.
    here : bool, default True
        Whether this process matches the images, and so must have the GPU.

    Raises
    ------
    InputError, MissingDependencyError
        As :func:`check_device`.

    Warns
    -----
    UserWarning
        If a GPU was asked for and cannot match these images by this matcher.
    """
    if device_kind(device) == "cpu":
        return THREADS
    reason = GpuEngine(None).supports(matcher, rows, columns)
    if reason is None:
        return GpuEngine(check_device(device) if here else None)
    warnings.warn(
        f"device: {matcher.label!r} runs on the CPU and not on {device!r}: {reason}",
        stacklevel=3,
    )
    return THREADS
