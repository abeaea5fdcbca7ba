"""From images to features: hooks on any torch module, and files of features."""

from .extraction import extract
from .loading import load_model, register_loader
from .models import Model
from .record import Features, load_features

__all__ = ["Features", "Model", "extract", "load_features", "load_model", "register_loader"]
