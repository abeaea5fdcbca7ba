"""Images as sets of concept vectors: opened in any form, measured once, read in blocks."""

from .block import Block
from .forms import FlatImages, MappedFile
from .measuring import ids_of, image_ids, measure
from .tokens import DIGEST, PIECE, Measured, Tokens, fingerprint

__all__ = [
    "DIGEST",
    "PIECE",
    "Block",
    "FlatImages",
    "MappedFile",
    "Measured",
    "Tokens",
    "fingerprint",
    "ids_of",
    "image_ids",
    "measure",
]
