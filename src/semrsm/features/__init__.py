"""From images to features: hooks on any torch module, and files of features."""

from .extract import extract
from .models import Model, load_model
from .result import Features, load_features

__all__ = ["Features", "Model", "extract", "load_features", "load_model"]
