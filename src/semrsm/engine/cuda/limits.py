"""What the kernel takes, for those who must know before Triton is loaded."""

#: Columns of the largest matrix.
LARGEST = 4096

#: The relative gap between value and bound that is asked of the kernel, unless that of the matcher
#: is wider: float32 prices rarely do better than 1e-6.
TOLERANCE = 1e-5
