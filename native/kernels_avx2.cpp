// The kernels for 256-bit vectors.
#include "kernels.h"

semrsm::Kernels semrsm::avx2_kernels() { return kernels_of<32>("avx2"); }
