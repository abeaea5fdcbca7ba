"""Names of layers: the one that figures begin with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: The number of concept vectors that figures show best: few enough to be seen one by one, small
#: enough to tell things apart.
_SHOWN_VECTORS = 196


def middle_layer(sizes: Mapping[str, int | tuple[int, int]]) -> str | None:
    """Choose the layer to begin with: patches that are small, and not too many to see.

    Parameters
    ----------
    sizes : mapping of str to int or (int, int)
        For each layer the number of concept vectors of an image, or height and width of its grid.

    Returns
    -------
    str or None
        None where `sizes` is empty. Of two layers that are as near, the first.

    Examples
    --------
    >>> middle_layer({"early": (56, 56), "middle": (14, 14), "late": (7, 7)})
    'middle'
    >>> middle_layer({"early": 784, "late": 49})
    'early'
    """
    return min(
        sizes, key=lambda layer: abs(np.log(np.prod(sizes[layer]) / _SHOWN_VECTORS)), default=None
    )
