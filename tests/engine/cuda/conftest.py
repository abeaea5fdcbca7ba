"""The kernel on a CPU, by Triton's interpreter: see tests/conftest.py."""

import pytest


@pytest.fixture(scope="session")
def auction():
    """The module of the kernel, interpreted."""
    for name in ("torch", "triton"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    from semrsm.engine.cuda import auction

    return auction
