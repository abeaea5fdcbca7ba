"""The engine of NVIDIA GPUs, and its limits, known before torch and Triton are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import Progress
from ..matching.base import Matcher
from ..matching.none import NoMatch
from ..matching.optimal import Optimal
from ..tokens import Tokens
from .base import Engine
from .cuda.limits import LARGEST
from .plan import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: The matchers that the kernels compute, and what a kernel takes the place of.
_COMPUTED: tuple[type[Matcher], ...] = (NoMatch, Optimal)
_REPLACED = ("prepare", "pairs", "solves")


def has_kernel(matcher: Matcher) -> bool:
    """Return whether a GPU kernel computes this matcher.

    The kernels know the matchings of ``"none"`` and ``"optimal"`` only: a matcher that merely names
    the GPU among its engines, or overrides the matching of those two, has values of its own.
    """
    return "cuda" in matcher.engines and any(
        isinstance(matcher, computed)
        and all(getattr(type(matcher), name) is getattr(computed, name) for name in _REPLACED)
        for computed in _COMPUTED
    )


class GpuEngine(Engine):
    """Matches on a GPU, in float32, to a relative gap of 1e-5.

    Parameters
    ----------
    device : torch.device
        The GPU. (The CPU, under Triton's interpreter.)
    """

    name = "cuda"

    def __init__(self, device: Any) -> None:
        self.device = device

    def supports(self, matcher: Matcher, rows: Tokens, columns: Tokens) -> str | None:
        """See :meth:`Engine.supports`: matchers with a kernel, float32, images of bounded size."""
        if not has_kernel(matcher):
            return "there is no kernel for this matcher"
        if max(rows.dtype.itemsize, columns.dtype.itemsize) > 4:
            return "features in float64 or integers are computed in float64"
        widest = int(max(rows.sizes.max(), columns.sizes.max()))
        if matcher.solves and widest > LARGEST:
            return f"images have {widest} vectors, more than {LARGEST}"
        return None

    def run(
        self,
        x: Tokens,
        y: Tokens | None,
        matcher: Matcher,
        plan: Plan,
        values: NDArray[np.float64],
        upper_bounds: NDArray[np.float64],
        progress: Progress | None,
    ) -> None:
        """See :meth:`Engine.run`; pairs that the GPU cannot certify are solved on the CPU."""
        from .cuda.engine import run

        run(x, y, matcher, plan, values, upper_bounds, progress, self.device)
