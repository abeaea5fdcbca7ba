"""The experiments of the paper, each a function that returns a table, figures and its protocol."""

from .result import StudyResult
from .translation import TranslationResult, translation

__all__ = ["StudyResult", "TranslationResult", "translation"]
