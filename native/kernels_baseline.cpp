// The kernels for 128-bit vectors: SSE2 on x86-64, NEON on 64-bit Arm, plain code elsewhere.
#include "kernels.h"

semrsm::Kernels semrsm::baseline_kernels() { return kernels_of<16>("baseline"); }
