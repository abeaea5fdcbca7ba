// The kernels for 512-bit vectors.
#include "kernels.h"

semrsm::Kernels semrsm::avx512_kernels() { return kernels_of<64>("avx512"); }
