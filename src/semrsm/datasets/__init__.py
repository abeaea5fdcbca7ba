"""Readers of images: anything with a length, ``ids``, and PIL images by index is a data set."""

from .cityscapes import Cityscapes
from .class_folders import ClassFolders
from .crops import ShiftedCrops
from .egoobjects import EgoObjects
from .image_folder import ImageFolder
from .imagenet import ImageNet
from .images import ImageReadError, open_image
from .reading import Box, ImageFiles
from .samples import sample_photos
from .scenes import ComposedScenes
from .tinyimagenet import TinyImageNet

__all__ = [
    "Box",
    "Cityscapes",
    "ClassFolders",
    "ComposedScenes",
    "EgoObjects",
    "ImageFiles",
    "ImageFolder",
    "ImageNet",
    "ImageReadError",
    "ShiftedCrops",
    "TinyImageNet",
    "open_image",
    "sample_photos",
]
