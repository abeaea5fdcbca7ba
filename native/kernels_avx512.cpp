// The kernels for 512-bit vectors.
#include "solver_impl.h"

semrsm::Kernels semrsm::avx512_kernels() { return kernels_of<64>("avx512"); }
