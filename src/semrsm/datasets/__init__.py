"""Readers of data sets: a data set has a length, ``ids``, and PIL images by index."""

from . import cityscapes, egoobjects, imagenet, scenes, tinyimagenet
from .cityscapes import Cityscapes
from .class_folders import ClassFolders
from .crops import ShiftedCrops
from .egoobjects import EgoObjects
from .image_folder import ImageFolder
from .imagenet import ImageNet
from .images import ImageReadError, open_image
from .reading import Box, ImageFiles
from .registry import READERS, Option, Reader, register
from .samples import sample_photos
from .scenes import ComposedScenes
from .tinyimagenet import TinyImageNet

__all__ = [
    "READERS",
    "Box",
    "Cityscapes",
    "ClassFolders",
    "ComposedScenes",
    "EgoObjects",
    "ImageFiles",
    "ImageFolder",
    "ImageNet",
    "ImageReadError",
    "Option",
    "Reader",
    "ShiftedCrops",
    "TinyImageNet",
    "open_image",
    "register",
    "sample_photos",
]

# The readers of the command: name, reader, and the options that its module declares.
register("folder", ImageFolder)
register("class-folders", ClassFolders)
register("imagenet", ImageNet, imagenet.OPTIONS)
register("tinyimagenet", TinyImageNet, tinyimagenet.OPTIONS)
register("egoobjects", EgoObjects, egoobjects.OPTIONS)
register("cityscapes", Cityscapes, cityscapes.OPTIONS)
register("scenes", ComposedScenes, scenes.OPTIONS)
