"""Runs: Grams on disk that outgrow memory and one machine, and that nothing can make lose work."""

from .run import Run, RunProgress, compute_run, fill_share, merge_runs, open_run
from .stored import StoredGram, StoredRSM

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
