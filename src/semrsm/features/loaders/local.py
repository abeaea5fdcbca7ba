"""A folder with a network in it."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ..models import Model
from .timm import load_folder as load_timm
from .transformers import load_folder as load_transformers
from .weights import read_config


def load(spec: str, rest: str, size: tuple[int, int] | None) -> Model:
    """Load the network of a folder, in the layout of transformers or of timm."""
    folder = Path(rest).expanduser()
    if not folder.is_dir():
        raise InputError(f"model: the folder {spec!r} does not exist")
    # transformers names the kind of network, timm its architecture; where transformers wraps a
    # network of timm, it names both.
    is_timm = "model_type" not in read_config(folder)
    return (load_timm if is_timm else load_transformers)(spec, folder, size)
