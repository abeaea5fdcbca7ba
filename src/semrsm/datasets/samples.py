"""Real photographs that come with scikit-image, for demonstrations and benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import require

if TYPE_CHECKING:
    from PIL.Image import Image

#: The photographs inside the wheel of scikit-image, so that nothing is downloaded.
PHOTOS = (
    "astronaut",
    "camera",
    "cat",
    "coffee",
    "coins",
    "hubble_deep_field",
    "retina",
    "rocket",
)


def sample_photos() -> list[tuple[str, Image]]:
    """Return the photographs as (name, RGB image), sorted by name.

    Returns
    -------
    list of (str, PIL.Image.Image)

    Raises
    ------
    MissingDependencyError
        If scikit-image or Pillow is not installed.
    """
    data = require("skimage.data", extra="demo", purpose="Sample photographs")
    image = require("PIL.Image", extra="demo", purpose="Sample photographs")
    photos = [(name, getattr(data, name)()) for name in PHOTOS]
    photos.append(("motorcycle", data.stereo_motorcycle()[0]))
    return [(name, image.fromarray(pixels).convert("RGB")) for name, pixels in sorted(photos)]
