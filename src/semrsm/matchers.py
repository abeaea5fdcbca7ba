"""Matchers: how the concept vectors of two images are paired.

A new one is one file: a frozen dataclass that subclasses :class:`Matcher`. :func:`register` makes
it available by name, also in runs and in the command.
"""

from .matching.base import Matched, Matcher, PairTile
from .matching.greedy import Greedy, TopKGreedy
from .matching.none import NoMatch
from .matching.optimal import Optimal
from .matching.pair import Match, match
from .matching.registry import MATCHERS, register, resolve_matcher, resolve_matchers
from .matching.windows import BatchOptimal

__all__ = [
    "MATCHERS",
    "BatchOptimal",
    "Greedy",
    "Match",
    "Matched",
    "Matcher",
    "NoMatch",
    "Optimal",
    "PairTile",
    "TopKGreedy",
    "match",
    "register",
    "resolve_matcher",
    "resolve_matchers",
]
