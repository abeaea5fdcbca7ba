"""The experiments of the paper, each a function that returns a table, figures and its protocol.

Each module declares its study by a record, :class:`Study`; :data:`STUDIES` holds them by name.
"""

from .agreement import ClassAgreementResult, class_agreement
from .approximation_quality import ApproximationResult, approximation
from .contributions import LocationMap, location_map
from .layer_comparison import LayersResult, layers
from .location_maps import LocationsResult, locations
from .object_retrieval import RetrievalResult, retrieval
from .registry import STUDIES, register
from .result import StudyResult
from .study import Explored, Group, Inputs, Option, Study
from .translation_sensitivity import TranslationResult, translation

__all__ = [
    "STUDIES",
    "ApproximationResult",
    "ClassAgreementResult",
    "Explored",
    "Group",
    "Inputs",
    "LayersResult",
    "LocationMap",
    "LocationsResult",
    "Option",
    "RetrievalResult",
    "Study",
    "StudyResult",
    "TranslationResult",
    "approximation",
    "class_agreement",
    "layers",
    "location_map",
    "locations",
    "register",
    "retrieval",
    "translation",
]
