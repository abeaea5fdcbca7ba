"""Runs: Grams on disk, larger than memory and computed on many machines, that survive a kill."""

from .computing import compute_run
from .merging import merge_runs
from .run import Run, RunProgress, open_run
from .stored import StoredGram, StoredRSM
from .workers import fill_share

__all__ = [
    "Run",
    "RunProgress",
    "StoredGram",
    "StoredRSM",
    "compute_run",
    "fill_share",
    "merge_runs",
    "open_run",
]
