// The kernels for 256-bit vectors.
#include "solver_impl.h"

semrsm::Kernels semrsm::avx2_kernels() { return kernels_of<32>("avx2"); }
