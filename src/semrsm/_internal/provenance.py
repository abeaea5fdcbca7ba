"""The versions of the software that a result was made with."""

from __future__ import annotations

import platform
import sys

import numpy as np

from .._version import __version__


def versions() -> dict[str, str]:
    """Return the versions that a protocol records."""
    found = {"semrsm": __version__, "python": platform.python_version(), "numpy": np.__version__}
    for name in ("torch", "PIL", "matplotlib"):
        module = sys.modules.get(name)
        if module is not None:
            found[name] = str(getattr(module, "__version__", "unknown"))
    return found
