// Reading a matrix: where it lies if possible, in one pass that also gathers what the start needs.
#pragma once

#include "problem.h"

namespace {

template <class P>
inline void copy_turned(P& p, const typename P::Value* from) {
  const MatrixView& view = p.view;
  constexpr int block = 16;  // rows of the source per turn: its cache lines are used whole
  for (int first = 0; first < view.rows; first += block) {
    const int last = first + block < view.rows ? first + block : view.rows;
    for (int k = 0; k < view.columns; ++k) {
      const typename P::Value* source = from + k * view.column_stride;
      for (int i = first; i < last; ++i) p.copy[i * p.stride + k] = source[i * view.row_stride];
    }
  }
}

template <class P>
inline void point_at_copy(P& p) {
  p.a = p.copy;
  p.step = p.stride;
  p.tails = p.copy + p.whole;
  p.tail_step = p.stride;
}

// Brings entries near the limits of the type (sums of prices would overflow; differences would be
// denormal) to the middle of its range by a power of two, which changes no comparison.
template <class P>
inline void normalise(P& p) {
  using T = typename P::Value;
  p.exponent = 0;
  p.scaled_exactly = true;
  const T size = -p.smallest > p.largest ? -p.smallest : p.largest;
  if (size == 0 || (size > T(1e-15) && size < T(1e15))) return;
  (void)frexp(static_cast<double>(size), &p.exponent);
  // In two steps: 2^-exponent itself may not be a number of type T.
  const int half = p.exponent / 2;
  const T first = static_cast<T>(ldexp(1.0, -half)), back = static_cast<T>(ldexp(1.0, half));
  const T second = static_cast<T>(ldexp(1.0, half - p.exponent));
  const T second_back = static_cast<T>(ldexp(1.0, p.exponent - half));
  for (int i = 0; i < p.real_rows; ++i) {
    const Row<T> row = real_row(p, i);
    T* const target = p.copy + i * p.stride;
    for (int k = 0; k < p.columns; ++k) {
      const T whole = entry(p, row, k), scaled = whole * first * second;
      p.scaled_exactly &= scaled * second_back * back == whole;
      target[k] = scaled;
    }
    for (int64_t k = p.columns; k < p.stride; ++k) target[k] = -P::infinity;
  }
  point_at_copy(p);
  p.smallest = p.smallest * first * second;
  p.largest = p.largest * first * second;
}

// Points at the matrix, or copies it, and leaves the sums of its columns in `price`. False where an
// entry is NaN or infinite: x - x is zero for a finite x and NaN for any other.
template <class P>
inline bool read(P& p, const typename P::Value* from, const MatrixView& view) {
  using T = typename P::Value;
  using S = typename P::S;
  constexpr int lanes = P::lanes;
  p.view = view;
  const bool in_place = view.column_stride == 1;
  if (in_place) {
    p.a = from;
    p.step = view.row_stride;
    p.tails = p.tail_room;
    p.tail_step = lanes;
  } else {
    copy_turned(p, from);
    for (int i = 0; i < view.rows; ++i) {
      for (int64_t k = view.columns; k < p.stride; ++k) p.copy[i * p.stride + k] = -P::infinity;
    }
    point_at_copy(p);
  }
  for (int64_t k = 0; k < p.stride; ++k) p.price[k] = 0;
  const typename P::Vector middle = S::all(from[0]), nothing = {};
  typename P::Vector low = middle, high = middle, bad = {}, squares = {};
  const auto take = [&](typename P::Vector value) __attribute__((always_inline)) {
    low = S::min(value, low);
    high = S::max(value, high);
    bad += value - value;
    squares += (value - middle) * (value - middle);
  };
  const int rest = static_cast<int>(view.columns - p.whole);
  const typename P::Indices filled = lane_numbers<P>() < static_cast<typename P::Index>(rest);
  const T* const end = p.a + (view.rows - 1) * p.step + view.columns;
  for (int i = 0; i < view.rows; ++i) {
    const T* const row = p.a + i * p.step;
    for (int64_t k = 0; k < p.whole; k += lanes) {
      const typename P::Vector value = S::load(row + k);
      take(value);
      S::store(p.price + k, S::load(p.price + k) + value);
    }
    if (rest == 0) continue;
    typename P::Vector tail = {};
    if (row + p.whole + lanes <= end) {
      tail = S::load(row + p.whole);  // with what follows in memory, which is not used
    } else {
      for (int l = 0; l < rest; ++l) tail[l] = row[p.whole + l];
    }
    if (in_place) {
      S::store(p.tail_room + int64_t{i} * lanes, filled ? tail : S::all(-P::infinity));
    }
    take(filled ? tail : middle);
    S::store(p.price + p.whole, S::load(p.price + p.whole) + (filled ? tail : nothing));
  }
  p.smallest = low[0];
  p.largest = high[0];
  p.squares = 0;
  T poison = 0;
  for (int l = 0; l < lanes; ++l) {
    p.smallest = low[l] < p.smallest ? low[l] : p.smallest;
    p.largest = high[l] > p.largest ? high[l] : p.largest;
    p.squares += squares[l];
    poison += bad[l];
  }
  p.middle = from[0];
  if (!(poison == 0)) return false;
  normalise(p);
  return true;
}

}  // namespace
