"""Matchers: how the concept vectors of two images are paired.

A new one is one file: a frozen dataclass that subclasses :class:`Matcher`. :func:`register` makes
it available by name, also in runs and in the command.
"""

from .matching.align import Align
from .matching.base import Matched, Matcher, PairTile
from .matching.displacement import Displacement
from .matching.greedy import Greedy, TopKGreedy
from .matching.maxsim import MaxSim
from .matching.none import NoMatch
from .matching.optimal import Optimal
from .matching.pair import Match, match
from .matching.partial import Partial
from .matching.registry import MATCHERS, register, resolve_matcher, resolve_matchers
from .matching.shift import Shift
from .matching.window import Window
from .matching.windows import BatchOptimal

__all__ = [
    "MATCHERS",
    "Align",
    "BatchOptimal",
    "Displacement",
    "Greedy",
    "Match",
    "Matched",
    "Matcher",
    "MaxSim",
    "NoMatch",
    "Optimal",
    "PairTile",
    "Partial",
    "Shift",
    "TopKGreedy",
    "Window",
    "match",
    "register",
    "resolve_matcher",
    "resolve_matchers",
]
