"""Matchers: how the concept vectors of two images are paired."""

from .matching.matchers import (
    MATCHERS,
    BatchOptimal,
    Greedy,
    Match,
    Matcher,
    NoMatch,
    Optimal,
    TopKGreedy,
    match,
    resolve_matcher,
)

__all__ = [
    "MATCHERS",
    "BatchOptimal",
    "Greedy",
    "Match",
    "Matcher",
    "NoMatch",
    "Optimal",
    "TopKGreedy",
    "match",
    "resolve_matcher",
]
