// The solver for one vector width. How it works: docs/solver.md; one idea a header:
//   problem.h   what a matrix needs while it is solved        row_scan.h  best and second best of a row
//   reading.h   one pass over a matrix                        start.h     first prices and epsilon
//   auction.h   bids in phases                                padding.h   fewer rows than columns
//   finish.h    shortest augmenting paths                     bounds.h    certificates (sums.h)
//   conclude.h  results, float64 where needed                 batch.h     several matrices abreast
#pragma once

#include "batch.h"
#include "greedy.h"

namespace {

// The table of one instruction set.
template <int Bytes>
semrsm::Kernels kernels_of(const char* name) {
  return {name, assign<float, Bytes>, assign<double, Bytes>, greedy<float, Bytes>,
          greedy<double, Bytes>};
}

}  // namespace
