"""Reports: one self-contained HTML page each, that opens from disk with no network."""

from .page import Figure, Section, Table, figure_to_png, write_report
from .results import figures_of, match_figure, write_results_report
from .studies import write_study_report
from .translation import write_translation_report

__all__ = [
    "Figure",
    "Section",
    "Table",
    "figure_to_png",
    "figures_of",
    "match_figure",
    "write_report",
    "write_results_report",
    "write_study_report",
    "write_translation_report",
]
