"""Names of layers: chosen by name or glob, and the one that figures begin with."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence

import numpy as np

from ..errors import InputError, did_you_mean
from .layouts.outputs import SEPARATOR

#: The number of concept vectors that figures show best: few enough to be seen one by one, small
#: enough to tell things apart.
_SHOWN_VECTORS = 196


def choose_layers(names: Sequence[str], wanted: str | Sequence[str]) -> list[str]:
    """Return the names that `wanted` names or globs fit, in the order of `names`.

    Parameters
    ----------
    names : sequence of str
        All layers.
    wanted : str or sequence of str
        Exact names, or globs: ``*`` and ``?`` do not cross a dot, ``**`` does. One of several
        outputs of a layer has its address after a colon: ``"stage4:1"``.

    Raises
    ------
    InputError
        If one of them fits nothing.

    Examples
    --------
    >>> choose_layers(["stem", "blocks.0", "blocks.0.conv", "blocks.1"], "blocks.*")
    ['blocks.0', 'blocks.1']
    """
    patterns = [wanted] if isinstance(wanted, str) else list(wanted)
    if not patterns:
        raise InputError("layers: expected at least one name; got none")
    chosen: set[str] = set()
    addressed: list[str] = []
    for pattern in patterns:
        found = fitting_layers(names, [pattern])
        if not found and (part := part_of(str(pattern), names)) in names:
            addressed.append(str(pattern))
            chosen.add(part)
            continue
        if not found:
            shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if names[12:] else "")
            raise InputError(
                f"layers: {pattern!r} fits no layer.{did_you_mean(str(pattern), names)} "
                f"There are {shown}"
            )
        chosen.update(found)
        addressed += found
    return [
        layer
        for name in names
        if name in chosen
        for layer in dict.fromkeys(addressed)
        if part_of(layer, names) == name
    ]


def part_of(layer: str, names: Container[str]) -> str:
    """Return the part of a network that a layer is an output of: the layer without its address.

    Examples
    --------
    >>> part_of("stage4:1", ["stage3", "stage4"]), part_of("Relu:0", ["Relu:0"])
    ('stage4', 'Relu:0')
    """
    part = layer
    while part not in names and SEPARATOR in part:
        part = part.rpartition(SEPARATOR)[0]
    return part


def fitting_layers(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that at least one of the globs fits; possibly none.

    Parameters
    ----------
    names, patterns : sequence of str
        As for :func:`choose_layers`.
    """
    expressions = []
    for pattern in patterns:
        expression = re.escape(str(pattern))
        for glob, regular in ((r"\*\*", ".*"), (r"\*", "[^.]*"), (r"\?", "[^.]")):
            expression = expression.replace(glob, regular)
        expressions.append(re.compile(expression))
    return [name for name in names if any(e.fullmatch(name) for e in expressions)]


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
