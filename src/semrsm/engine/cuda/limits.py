"""The limits of the kernel, importable without Triton."""

#: Columns of the largest matrix.
LARGEST = 4096

#: The kernel stops at this relative gap between value and bound, unless that of the matcher
#: is wider: float32 prices rarely do better than 1e-6.
TOLERANCE = 1e-5
