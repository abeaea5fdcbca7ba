"""What the loaders share: files of weights, and which layers to recommend."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError, MissingDependencyError, first_line, require

#: Networks with no more blocks than this have all of them recommended, others one a quarter.
_FEW = 6


def spread(names: Sequence[str]) -> tuple[str, ...]:
    """Return all of a few names, else those at the ends of the four quarters.

    Examples
    --------
    >>> spread(["a", "b", "c"])
    ('a', 'b', 'c')
    >>> spread([f"layers.{i}" for i in range(12)])
    ('layers.2', 'layers.5', 'layers.8', 'layers.11')
    """
    if len(names) <= _FEW:
        return tuple(names)
    return tuple(names[len(names) * quarter // 4 - 1] for quarter in (1, 2, 3, 4))


def split_file(rest: str) -> tuple[str, Path | None]:
    """Split ``NAME@FILE``.

    Examples
    --------
    >>> split_file("resnet18.a1_in1k")
    ('resnet18.a1_in1k', None)
    """
    name, at, file = rest.partition("@")
    return name, Path(file).expanduser() if at else None


def read_state(path: Path) -> dict[str, Any]:
    """Read a state dict from a file, without unpickling anything but tensors.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or what ``torch.save`` wrote: a state dict, or a checkpoint that holds
        one as ``"state_dict"`` or ``"model"``.

    Raises
    ------
    InputError
        If the file is missing, damaged or holds anything else.
    """
    if not path.is_file():
        raise InputError(f"model: the file of weights {str(path)!r} does not exist")
    if path.suffix == ".safetensors":
        safetensors = require("safetensors.torch", extra="features", purpose="safetensors files")
        from safetensors import SafetensorError

        try:
            state: dict[str, Any] = safetensors.load_file(path)
        except SafetensorError as error:
            raise InputError(f"model: {str(path)!r} is no safetensors file: {error}") from error
        return state
    torch = require("torch", extra="features", purpose="Reading weights")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(
            f"model: {str(path)!r} cannot be read as a state dict of tensors alone; save it as "
            f".safetensors, or with torch.save(model.state_dict()): {first_line(error)}"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(
        isinstance(v, torch.Tensor) for v in found.values()
    ):
        raise InputError(f"model: {str(path)!r} holds {type(found).__name__}, no state dict")
    return found if isinstance(found, dict) else dict(found)


def fill(module: Any, state: Mapping[str, Any], spec: str) -> None:
    """Load a state dict that must fit the module exactly.

    Raises
    ------
    InputError
        If parameters are missing, left over or of another shape.
    """
    own = module.state_dict(keep_vars=True)
    stored = {id(own[name]): name for name in state if name in own}
    # safetensors keeps one name of a tensor that a network uses in several places.
    shared = {
        name: state[stored[id(tensor)]]
        for name, tensor in own.items()
        if name not in state and id(tensor) in stored
    }
    whole: Any = OrderedDict({**state, **shared})
    # Versions of parts, by which some (MNASNet) tell old weights; files of safetensors have none.
    whole._metadata = getattr(state, "_metadata", None) or module.state_dict()._metadata
    try:
        module.load_state_dict(whole, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise InputError(
            f"model: the weights do not fit the network of {spec!r}: "
            + " ".join(line if len(line) < 200 else line[:200] + " …" for line in lines[:4])
        ) from error


def require_built(module: str, *, extra: str, spec: str) -> Any:
    """Import a package that stands on torchvision's compiled operators.

    Raises
    ------
    MissingDependencyError
        If it is not installed, or torchvision was built for another torch.
    """
    purpose = f"The network {spec!r}"
    try:
        return require(module, extra=extra, purpose=purpose)
    except RuntimeError as error:
        raise MissingDependencyError(
            f"{purpose} needs a torchvision that was built for the installed torch; theirs do not "
            f"fit ({first_line(error)}): install both anew, from one place"
        ) from error


def out_of_reach(spec: str, what: str, advice: str, error: BaseException) -> InputError:
    """Return the error for weights that are neither on this machine nor to be had."""
    return InputError(
        f"model: {spec!r} needs {what}, which could not be loaded ({first_line(error)}). {advice}"
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Return the ``config.json`` of a folder.

    Raises
    ------
    InputError
        If there is none, or it describes no network.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(
            f"model: expected a folder with config.json and model.safetensors, as save_pretrained "
            f"writes it; {str(folder)!r} has no config.json"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"model: {str(path)!r} is not JSON: {error}") from error
    if not isinstance(config, dict) or not {"model_type", "architecture"} & set(config):
        raise InputError(
            f"model: {str(path)!r} names neither a 'model_type' (transformers) nor an "
            "'architecture' (timm)"
        )
    return config


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
