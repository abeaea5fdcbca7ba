"""What all tests share: real data where it is, and Hypothesis without deadlines."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "semrsm",
    deadline=None,  # the first example pays for imports
    derandomize=bool(os.environ.get("CI")),
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("semrsm")

# A shell starts background jobs deaf to Ctrl-C, which tests of interrupts must hear.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs and golden outputs, which are not part of the repository."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SEMRSM_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set SEMRSM_SHARED_DATA to a folder that has it")
    return folder
