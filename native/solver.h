// The interface of the compiled kernels to binding.cpp, the same for every instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace semrsm {

// A batch of affinity matrices that lie inside one buffer, each with its own place and shape.
template <class T>
struct Batch {
  const T* data;
  const int64_t* offsets;     // (count,) first element of each matrix, in elements
  const int32_t* rows;        // (count,)
  const int32_t* columns;     // (count,)
  const int64_t* result_offsets;  // (count,) where the columns of each matrix start in `assigned`
  int64_t count;
  int64_t row_stride;         // elements between rows
  int64_t column_stride;      // elements between columns
  double tolerance;           // a wider relative gap than this is solved again in float64
  int64_t taken;              // greedy only: leading rows and columns that the caller has matched
  const volatile uint8_t* cancelled;  // becomes non-zero when the caller wants to leave
  // A matrix is left unsolved as soon as its value is known to be smaller than this; null: none is.
  const double* stop_below;      // (count,)
  const T* prices;               // of columns, tried as a bound before solving; null: there are none
  const int64_t* price_offsets;  // (count,) first price of each matrix, in elements
};

// Which bound showed that a matrix need not be solved, in order of cost.
enum class Stage : uint8_t { solved, maxima, reduced, prices, auction };

// The results for each matrix. `assigned`, `stages` and `prices` may be null.
struct Results {
  double* values;        // (count,) sum of the assigned affinities, rounded once
  double* upper_bounds;  // (count,) no assignment of this matrix has a larger value, exactly
  int32_t* assigned;     // column of each row, -1 where a row stays free
  uint8_t* stages;       // (count,) a Stage each; null without `stop_below`
  double* prices;        // prices of the rows, then of the columns of each matrix
  const int64_t* price_offsets;  // (count,) the first price of each matrix in `prices`
};

enum class Status : int { done, not_finite, cancelled, out_of_memory };

struct Outcome {
  Status status;
  int64_t where;  // the matrix that is not finite
};

struct Kernels {
  const char* name;
  Outcome (*assign_float)(const Batch<float>&, const Results&);
  Outcome (*assign_double)(const Batch<double>&, const Results&);
  Outcome (*greedy_float)(const Batch<float>&, const Results&);
  Outcome (*greedy_double)(const Batch<double>&, const Results&);
};

// One for each instruction set that this build holds; see CMakeLists.txt.
Kernels baseline_kernels();
Kernels avx2_kernels();
Kernels avx512_kernels();

}  // namespace semrsm
