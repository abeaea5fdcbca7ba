"""The feature store: a Zarr v3 group that an extraction fills chunk by chunk.

::

    features.zarr/
      zarr.json             in its attributes: what is run on what, and at last the ids of all rows
      <layer>/              (N, C, H, W) or (N, T, D); a chunk is all of some neighbouring images
      logits/               (N, K) float32, where there are class scores
      .progress/<k>.json    until it is complete: chunk k is there, in every array
      .lock                 held by the process that fills it

A chunk is written to the disk before its record is, and the record is written aside and renamed.
What has been interrupted has no record and is written again.
"""

from .filling import save, writing
from .format import CHUNK_BYTES, CHUNK_IMAGES, FORMAT, array_names, attributes_of, progress_of
from .plans import check_target, left_out_of
from .reading import read
from .writer import Writer

__all__ = [
    "CHUNK_BYTES",
    "CHUNK_IMAGES",
    "FORMAT",
    "Writer",
    "array_names",
    "attributes_of",
    "check_target",
    "left_out_of",
    "progress_of",
    "read",
    "save",
    "writing",
]
