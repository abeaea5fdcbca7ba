"""The experiments of the paper, each a function that returns a table, figures and its protocol."""

from .approximation import ApproximationResult, approximation
from .class_agreement import ClassAgreementResult, class_agreement
from .result import StudyResult
from .retrieval import RetrievalResult, retrieval
from .translation import TranslationResult, translation

__all__ = [
    "ApproximationResult",
    "ClassAgreementResult",
    "RetrievalResult",
    "StudyResult",
    "TranslationResult",
    "approximation",
    "class_agreement",
    "retrieval",
    "translation",
]
