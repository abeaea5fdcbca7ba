"""The limits of the kernel, for modules that need them before Triton is loaded."""

#: Columns of the largest matrix.
LARGEST = 4096

#: The relative gap between value and bound that the kernel must reach, unless the matcher's
#: tolerance is wider: float32 prices rarely do better than 1e-6.
TOLERANCE = 1e-5
