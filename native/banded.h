// Pairs of images that lie inside two buffers: exact assignment inside a window, and the values of
// given matchings. The implementation is in banded.cpp.
#pragma once

#include <stdint.h>

#include "solver.h"

namespace semrsm {

// Images of one size, one vector after the other.
template <class T>
struct ImagePairs {
  const T* left;
  const T* right;
  const int64_t* rows;     // (count,) the first element of the left image of each pair
  const int64_t* columns;  // (count,) likewise of the right image
  int64_t count;
  int64_t stride;  // elements between vectors
  int64_t channels;
};

// Matches vectors at most `radius` cells apart: values and upper bounds (count,), and the partner of
// each vector (count, height * width).
template <class T>
Outcome solve_banded(const ImagePairs<T>& pairs, int64_t height, int64_t width, int64_t radius,
                     const volatile uint8_t* cancelled, double* values, double* upper_bounds,
                     int32_t* assigned);

// sum over s of <x_s, y_matching[s]> in float64 for each pair; -1 leaves a vector out.
template <class T>
void matched_sums(const ImagePairs<T>& pairs, int64_t size, const int32_t* matchings,
                  double* values);

}  // namespace semrsm
