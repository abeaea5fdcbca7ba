"""The experiments of the paper, each a function that returns a table, figures and its protocol."""

from .approximation import ApproximationResult, approximation
from .class_agreement import ClassAgreementResult, class_agreement
from .layers import LayersResult, layers
from .locations import LocationMap, LocationsResult, location_map, locations
from .result import StudyResult
from .retrieval import RetrievalResult, retrieval
from .translation import TranslationResult, translation

__all__ = [
    "ApproximationResult",
    "ClassAgreementResult",
    "LayersResult",
    "LocationMap",
    "LocationsResult",
    "RetrievalResult",
    "StudyResult",
    "TranslationResult",
    "approximation",
    "class_agreement",
    "layers",
    "location_map",
    "locations",
    "retrieval",
    "translation",
]
