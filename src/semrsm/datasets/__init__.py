"""Readers of images: anything with a length, ``ids``, and PIL images by index is a data set."""

from .crops import ShiftedCrops
from .image_folder import ImageFolder
from .images import ImageReadError, open_image
from .samples import sample_photos

__all__ = ["ImageFolder", "ImageReadError", "ShiftedCrops", "open_image", "sample_photos"]
