"""From images to features: hooks on any torch module, and files of features."""

from .extraction import extract
from .layouts import Layout
from .listing import SpatialLayer, layers
from .loading import load_model, register_loader
from .models import Model
from .record import Features, load_features

__all__ = [
    "Features",
    "Layout",
    "Model",
    "SpatialLayer",
    "extract",
    "layers",
    "load_features",
    "load_model",
    "register_loader",
]
