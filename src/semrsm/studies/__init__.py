"""The experiments of the paper, each a function that returns a table, figures and its protocol."""

from .agreement import ClassAgreementResult, class_agreement
from .approximation_quality import ApproximationResult, approximation
from .layer_comparison import LayersResult, layers
from .location_maps import LocationMap, LocationsResult, location_map, locations
from .object_retrieval import RetrievalResult, retrieval
from .result import StudyResult
from .translation_sensitivity import TranslationResult, translation

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
