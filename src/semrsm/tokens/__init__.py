"""Images as sets of concept vectors: opened in any form, measured once, read in blocks."""

from .block import Block
from .forms import FlatImages, MappedFile
from .masks import MaskedImages, checked_mask, same_places, whole_array
from .measuring import ids_of, image_ids, masked_pair, measure
from .tokens import DIGEST, PIECE, Measured, Tokens, fingerprint

__all__ = [
    "DIGEST",
    "PIECE",
    "Block",
    "FlatImages",
    "MappedFile",
    "MaskedImages",
    "Measured",
    "Tokens",
    "checked_mask",
    "fingerprint",
    "ids_of",
    "image_ids",
    "masked_pair",
    "measure",
    "same_places",
    "whole_array",
]
