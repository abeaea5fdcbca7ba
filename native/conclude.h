// The end of a matrix: value, certificate, columns and prices; in float64 where float32 is not enough.
#pragma once

#include "bounds.h"
#include "finish.h"

namespace {

using semrsm::Batch;
using semrsm::Outcome;
using semrsm::Results;
using semrsm::Stage;
using semrsm::Status;

struct Certificate {
  double value, bound;
  // Against the value, which is never larger than the sum of the sizes of the chosen entries.
  bool within(double tolerance) const {
    return bound - value <= tolerance * (fabs(value) > fabs(bound) ? fabs(value) : fabs(bound));
  }
};

// The sum of the chosen entries of the matrix as given, rounded once.
template <class P>
inline double value_of(const P& p, const typename P::Value* from) {
  ExactSum sum;
  for (int i = 0; i < p.real_rows; ++i) {
    if (p.column_of[i] < 0) continue;
    sum.add(static_cast<double>(
        from[i * p.view.row_stride + p.column_of[i] * p.view.column_stride]));
  }
  return sum.nearest();
}

template <class P>
inline Certificate certify(const P& p, const typename P::Value* from) {
  Certificate found;
  found.value = value_of(p, from);
  // Where the value has few digits, as with integers, nothing may have been rounded.
  const bool few_digits = static_cast<double>(static_cast<float>(found.value)) == found.value;
  found.bound = few_digits ? exact_dual_bound(p) : dual_bound(p);
  if (found.bound < found.value) found.bound = found.value;  // which may have been rounded upwards
  return found;
}

// Costs in which each row and column has a zero, and the optimum is a sum of zeros, leave no room for
// any rounding: bounds without rounding are tried.
template <class P>
inline void sharpen(const P& p, Certificate& found) {
  const double exact = exact_dual_bound(p), maxima = bound_of_maxima(p);
  const double best = exact < maxima ? exact : maxima;
  if (best < found.bound) found.bound = best < found.value ? found.value : best;
}

// Writes the columns in the orientation that the caller gave; rows before `first` are not touched.
template <class P>
inline void write_columns(const P& p, int32_t* to, int first) {
  if (!p.view.turned) {
    for (int i = first; i < p.real_rows; ++i) to[i] = p.column_of[i];
    return;
  }
  for (int k = first; k < p.columns; ++k) to[k] = -1;
  for (int i = first; i < p.real_rows; ++i) {
    if (p.column_of[i] >= 0) to[p.column_of[i]] = i;
  }
}

// Prices u of the caller's rows, then v of the columns, with u_i + v_k >= A[i, k] exactly, and not
// below zero on the longer side; their sum is the bound, up to rounding.
template <class P>
inline void write_prices(const P& p, const typename P::Value* from, double* to) {
  double* const of_rows = p.view.turned ? to + p.columns : to;
  double* const of_columns = p.view.turned ? to : to + p.real_rows;
  double lowest = 0;
  if (p.real_rows < p.columns) {
    lowest = static_cast<double>(p.price[0]);
    for (int k = 1; k < p.columns; ++k) {
      const double price = static_cast<double>(p.price[k]);
      lowest = price < lowest ? price : lowest;
    }
  }
  for (int k = 0; k < p.columns; ++k) {
    of_columns[k] = ldexp(static_cast<double>(p.price[k]) - lowest, p.exponent);
  }
  for (int i = 0; i < p.real_rows; ++i) {
    double most = -static_cast<double>(INFINITY);
    for (int k = 0; k < p.columns; ++k) {
      const double given = static_cast<double>(
          from[i * p.view.row_stride + k * p.view.column_stride]);
      const double needed = add_upwards(given, -of_columns[k]);
      most = needed > most ? needed : most;
    }
    of_rows[i] = most;
  }
}

template <class P>
inline void write(const P& p, const Results& results, const typename P::Value* from,
                  int64_t result_offset, int64_t matrix, const Certificate& found) {
  results.values[matrix] = found.value;
  results.upper_bounds[matrix] = found.bound;
  if (results.assigned) write_columns(p, results.assigned + result_offset, 0);
  if (results.prices) write_prices(p, from, results.prices + results.price_offsets[matrix]);
}

// Solves a matrix of float32 again in float64, from the prices that were found: they are nearly right.
template <class P>
inline Status solve_in_double(const P& p, const Batch<float>& batch, const Results& results,
                              Arena& arena) {
  using Q = Problem<double, P::width>;
  const int rows = p.real_rows, columns = p.columns;
  const int64_t count = static_cast<int64_t>(rows) * columns;
  if (!arena.reserve(Arena::bytes<double>(count) + bytes_of<Q>(rows, columns))) {
    return Status::out_of_memory;
  }
  const float* const from = batch.data + batch.offsets[p.matrix];
  double* const copy = arena.take<double>(count);
  for (int i = 0; i < rows; ++i) {
    for (int k = 0; k < columns; ++k) {
      copy[static_cast<int64_t>(i) * columns + k] =
          static_cast<double>(from[i * p.view.row_stride + k * p.view.column_stride]);
    }
  }
  Q q;
  place(q, arena, rows, columns);
  (void)read(q, copy, {rows, columns, columns, 1, p.view.turned});
  forget(q);
  if (p.padded) pad(q);
  // Where columns stay free and no rows of zeros bid for them, their prices must be zero.
  const bool starts_there = p.rows == columns;
  for (int64_t k = 0; k < q.stride; ++k) {
    q.price[k] = starts_there && k < columns
                     ? ldexp(static_cast<double>(p.price[k]), p.exponent - q.exponent)
                     : 0.0;
  }
  start_phase(q, 0.0);
  while (q.free_count > 0 && q.bids_left > 0) bid_of<true>(q);
  if (!finish(q, batch.cancelled)) return Status::cancelled;
  Certificate found = certify(q, copy);
  if (!found.within(batch.tolerance)) sharpen(q, found);
  write(q, results, copy, batch.result_offsets[p.matrix], p.matrix, found);
  return Status::done;
}

// Finishes a matrix after its last phase and writes its results.
template <class P>
inline Status conclude(P& p, const Batch<typename P::Value>& batch, const Results& results,
                       Arena& arena_for_doubles) {
  using T = typename P::Value;
  if (results.stages) results.stages[p.matrix] = static_cast<uint8_t>(Stage::solved);
  if constexpr (sizeof(T) < sizeof(double)) {
    // So many rows are left where float32 cannot tell the columns apart: paths would lead astray.
    if (p.remembers && 2 * (p.lost + p.free_count) > p.rows) {
      return solve_in_double(p, batch, results, arena_for_doubles);
    }
  }
  if (!finish(p, batch.cancelled)) return Status::cancelled;
  const T* const from = batch.data + batch.offsets[p.matrix];
  Certificate found = certify(p, from);
  if (!found.within(batch.tolerance)) {
    if constexpr (sizeof(T) < sizeof(double)) {
      return solve_in_double(p, batch, results, arena_for_doubles);
    } else {
      sharpen(p, found);
    }
  }
  write(p, results, from, batch.result_offsets[p.matrix], p.matrix, found);
  return Status::done;
}

}  // namespace
