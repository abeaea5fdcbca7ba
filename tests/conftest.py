"""What all tests share: real data where it is, torchvision, and Hypothesis without deadlines."""

import importlib.util
import os
import signal
import sys
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

# Triton asks once, when torch is imported, whether its kernels are interpreted: tests/engine/cuda
# runs them on a CPU.
os.environ["TRITON_INTERPRET"] = "1"

# The CPU build of torch that the tests run with lacks the compiled operators of torchvision's
# wheel. Nothing here detects objects: declared without a kernel, they let torchvision, and timm and
# transformers, which import it, be tested.
if importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision"):
    import torch

    try:
        import torchvision
    except RuntimeError:
        operators = torch.library.Library("torchvision", "DEF")
        operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        import torchvision  # noqa: F401


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs and golden outputs, which are not part of the repository."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SEMRSM_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set SEMRSM_SHARED_DATA to a folder that has it")
    return folder
