"""From images to features: hooks on any torch module, and files of features."""

from .extraction import extract
from .models import Model, load_model
from .record import Features, load_features

__all__ = ["Features", "Model", "extract", "load_features", "load_model"]
