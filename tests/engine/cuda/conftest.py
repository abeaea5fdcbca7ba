"""The kernel on a CPU: Triton's interpreter, for which the environment must say so first."""

import os
import sys

import pytest

if "semrsm.engine.cuda.auction" not in sys.modules:
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="session")
def auction():
    """The module of the kernel, interpreted."""
    for name in ("torch", "triton"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    from semrsm.engine.cuda import auction

    return auction
