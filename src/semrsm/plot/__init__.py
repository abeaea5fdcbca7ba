"""Figures: heat maps of RSMs, distributions of similarity, and the overlay of one match.

Every function draws into the axes or the figure that it is given, or into a new one of pyplot, and
returns it; no function shows or saves a figure. Text and frames take their colours from the user's
``rcParams``, so that a dark style gives dark figures.
"""

from .._internal.statistics import auc
from .common import matcher_words
from .curves import plot_intervals, plot_quality, plot_retrieval, plot_runtime
from .distributions import plot_distribution, plot_distributions
from .gallery import plot_gallery, plot_neighbours
from .heatmaps import plot_rsm, plot_rsms
from .layers import plot_extents, plot_layers
from .locations import (
    ContributionPanel,
    DisplacementPanel,
    plot_contribution,
    plot_contributions,
    plot_displacements,
)
from .overlay import plot_match
from .scatter import plot_agreement, plot_agreements

__all__ = [
    "ContributionPanel",
    "DisplacementPanel",
    "auc",
    "matcher_words",
    "plot_agreement",
    "plot_agreements",
    "plot_contribution",
    "plot_contributions",
    "plot_displacements",
    "plot_distribution",
    "plot_distributions",
    "plot_extents",
    "plot_gallery",
    "plot_intervals",
    "plot_layers",
    "plot_match",
    "plot_neighbours",
    "plot_quality",
    "plot_retrieval",
    "plot_rsm",
    "plot_rsms",
    "plot_runtime",
]
