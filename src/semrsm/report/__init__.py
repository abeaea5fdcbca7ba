"""Reports: HTML pages that open from disk with no network, alone or in one folder."""

from .explorer import Exploration, Start, write_explorer
from .page import Figure, Section, Table, figure_to_png, write_report
from .results import figures_of, match_figure, write_results_report
from .retrieval import draw_neighbours, write_retrieval_report
from .studies import write_study_report, write_translation_report

__all__ = [
    "Exploration",
    "Figure",
    "Section",
    "Start",
    "Table",
    "draw_neighbours",
    "figure_to_png",
    "figures_of",
    "match_figure",
    "write_explorer",
    "write_report",
    "write_results_report",
    "write_retrieval_report",
    "write_study_report",
    "write_translation_report",
]
