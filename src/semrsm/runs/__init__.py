"""Runs: Grams on disk, which can exceed memory, be interrupted and be filled by many machines."""

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
