"""Layouts: how the outputs of layers are read, and the proofs that they are read so.

A network is run on noise, again, in company, and with one small patch changed at sixteen places.
All readings of an output compete, and the right one finds each change where the input changed.
"""

from .candidates import likely_reading, token_grid
from .deciding import CANNOT_RUN, declared_layouts, proven_layouts
from .declared import Declared, batch_second_parts
from .outputs import SEPARATOR, chosen_tensor, is_several, spatial_tensors
from .reading import Layout, Reading

__all__ = [
    "CANNOT_RUN",
    "SEPARATOR",
    "Declared",
    "Layout",
    "Reading",
    "batch_second_parts",
    "chosen_tensor",
    "declared_layouts",
    "is_several",
    "likely_reading",
    "proven_layouts",
    "spatial_tensors",
    "token_grid",
]
