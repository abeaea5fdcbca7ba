// Upper bounds by weak duality, of the entries as given, in exact arithmetic: whatever the column
// prices p are, and whether or not the solver is right, no assignment has a larger value than
//     sum_k p_k + sum_i max_k (A[i, k] - p_k) + (columns - rows) * max_k (-p_k),
// where the last term counts for the columns that stay free: rows of zeros. Each bound is rounded
// upwards, with an error term that covers every rounding on the way.
#pragma once

#include "row_scan.h"
#include "sums.h"

namespace {

// Entries that were scaled down may have lost bits below the smallest number of their type: one such
// number for each of two roundings and each row, which is the error of any assignment.
template <class P>
inline double scaling_error(const P& p) {
  if (p.scaled_exactly) return 0;
  const double least = sizeof(typename P::Value) == sizeof(float) ? 0x1p-149 : 0x1p-1074;
  return 2 * least * p.real_rows;
}

// From the scaled problem back to the given entries.
template <class P>
inline double unscaled(const P& p, double bound) {
  const double given = ldexp(bound, p.exponent);
  const bool fell = ldexp(given, -p.exponent) < bound;  // among denormal numbers
  return fell ? nextafter(given, static_cast<double>(INFINITY)) : given;
}

template <class P>
SEMRSM_INLINE typename Simd<double, P::width>::Vector widened(const typename P::Value* from) {
  constexpr int wide = P::width / static_cast<int>(sizeof(double));
  typedef typename P::Value Narrow __attribute__((
      vector_size(wide * sizeof(typename P::Value)), aligned(sizeof(typename P::Value)), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Narrow*>(from),
                                 typename Simd<double, P::width>::Vector);
}

// Calls step(entries, prices) for each vector of float64 of a row.
template <class P, class Step>
SEMRSM_INLINE void for_doubles(const P& p, Row<typename P::Value> row, const Step& step) {
  constexpr int wide = P::width / static_cast<int>(sizeof(double));
  for (int64_t k = 0; k < p.whole; k += wide) {
    step(widened<P>(row.whole + k), widened<P>(p.price + k));
  }
  for (int64_t k = p.whole; k < p.columns; k += wide) {
    step(widened<P>(row.tail + (k - p.whole)), widened<P>(p.price + k));
  }
}

// max_k (A[i, k] - price_k), each difference rounded once: the maximum is the rounded maximum.
template <class P>
SEMRSM_INLINE double most_of_row(const P& p, int i) {
  using D = Simd<double, P::width>;
  typename D::Vector best = D::all(-static_cast<double>(INFINITY));
  for_doubles(p, real_row(p, i), [&](typename D::Vector value, typename D::Vector price)
                                     __attribute__((always_inline)) {
    best = D::max(value - price, best);
  });
  return D::highest(best);
}

// The same without reading the row, where a remembered column certainly leads: the others had lower
// values when they were last read, by more than the rounding of those, and have only fallen since.
template <class P>
inline bool most_remembered(const P& p, int i, double& most) {
  using T = typename P::Value;
  const T* const values = p.remembered + static_cast<int64_t>(i) * P::candidates;
  const typename P::Index* const columns =
      p.remembered_at + static_cast<int64_t>(i) * P::candidates;
  most = -static_cast<double>(INFINITY);
  for (int c = 0; c < P::candidates; ++c) {
    const double value = static_cast<double>(values[c]) - static_cast<double>(p.price[columns[c]]);
    most = value > most ? value : most;
  }
  const double others = static_cast<double>(p.others[i]);
  const double rounding = sizeof(T) == sizeof(float) ? FLT_EPSILON : DBL_EPSILON;
  return most >= others + fabs(others) * rounding;
}

// The same with what the rounding lost, exactly: the largest pair (difference, loss).
template <class P>
inline void most_exactly(const P& p, int i, double& most, double& lost) {
  using D = Simd<double, P::width>;
  typename D::Vector best = D::all(-static_cast<double>(INFINITY)), best_lost = {};
  for_doubles(p, real_row(p, i), [&](typename D::Vector value, typename D::Vector price)
                                     __attribute__((always_inline)) {
    const typename D::Vector rounded = value - price, of_price = value - rounded;
    const typename D::Vector loss = (value - (rounded + of_price)) + (of_price - price);
    const typename D::Indices better =
        (rounded > best) | ((rounded == best) & (loss > best_lost));
    best = better ? rounded : best;
    best_lost = better ? loss : best_lost;
  });
  most = best[0];
  lost = best_lost[0];
  for (int l = 1; l < D::size; ++l) {
    if (best[l] > most || (best[l] == most && best_lost[l] > lost)) {
      most = best[l];
      lost = best_lost[l];
    }
  }
}

// What the columns contribute: the sum of their prices, and the free ones their highest -price.
template <class P>
inline ExactSum sum_of_prices(const P& p) {
  ExactSum sum;
  double lowest = static_cast<double>(INFINITY);
  for (int k = 0; k < p.columns; ++k) {
    const double price = static_cast<double>(p.price[k]);
    sum.add(price);
    lowest = price < lowest ? price : lowest;
  }
  if (p.real_rows < p.columns) {
    const double free = static_cast<double>(p.real_rows - p.columns);
    const double term = free * lowest;
    sum.add(term);
    sum.add(fma(free, lowest, -term));
  }
  return sum;
}

// The dual bound at the prices of the problem.
template <class P>
inline double dual_bound(const P& p) {
  ExactSum sum = sum_of_prices(p);
  double size = 0;
  for (int i = 0; i < p.real_rows; ++i) {
    double most;
    if (!(p.remembers && most_remembered(p, i, most))) most = most_of_row(p, i);
    sum.add(most);
    size += fabs(most);
  }
  // Each maximum was rounded once; DBL_EPSILON is twice that, and covers the rounding of `size`.
  return unscaled(p, sum.upwards(DBL_EPSILON * size + scaling_error(p)));
}

// The same bound from exact differences: it has no error where numbers allow it, as with integers.
template <class P>
inline double exact_dual_bound(const P& p) {
  ExactSum sum = sum_of_prices(p);
  for (int i = 0; i < p.real_rows; ++i) {
    double most, lost;
    most_exactly(p, i, most, lost);
    sum.add(most);
    sum.add(lost);
  }
  return unscaled(p, sum.upwards(scaling_error(p)));
}

// ---------------------------------------------------------------- bounds without solving

// min(sum of row maxima, sum of column maxima): the dual bound at the prices zero, from each side.
// Leaves the maxima of the rows in `passed_distance` and of the columns in `distance`.
template <class P>
inline double bound_of_maxima(const P& p) {
  using S = typename P::S;
  ExactSum by_rows, by_columns;
  for (int64_t k = 0; k < p.stride; ++k) p.distance[k] = -P::infinity;
  for (int i = 0; i < p.real_rows; ++i) {
    typename P::Vector most = S::all(-P::infinity);
    for_vectors(p, real_row(p, i), [&](typename P::Vector value, int64_t k)
                                       __attribute__((always_inline)) {
      most = S::max(value, most);
      S::store(p.distance + k, S::max(value, S::load(p.distance + k)));
    });
    p.passed_distance[i] = P::S::highest(most);
    by_rows.add(static_cast<double>(p.passed_distance[i]));
  }
  const double rows = by_rows.upwards(scaling_error(p));
  if (p.real_rows < p.columns) return unscaled(p, rows);  // some columns stay free
  for (int k = 0; k < p.columns; ++k) by_columns.add(static_cast<double>(p.distance[k]));
  const double columns = by_columns.upwards(scaling_error(p));
  return unscaled(p, rows < columns ? rows : columns);
}

// A difference that is not above zero, and was rounded in T, from above.
template <class T>
SEMRSM_INLINE double rounded_up(T difference) {
  const double rounding = sizeof(T) == sizeof(float) ? FLT_EPSILON : DBL_EPSILON;
  return static_cast<double>(difference) * (1 - rounding);
}

// The dual bound at row prices r_i = max_k A[i, k] and column prices max_i (A[i, k] - r_i), which are
// below zero where a column leads in no row; and the same with rows and columns exchanged. For square
// matrices only. bound_of_maxima() has left the maxima of the rows and of the columns.
template <class P>
inline double reduced_bound(const P& p) {
  using T = typename P::Value;
  using S = typename P::S;
  const T* const row_maxima = p.passed_distance;
  QuickSum by_rows, by_columns;
  for (int64_t k = 0; k < p.stride; ++k) {
    p.path_price[k] = -P::infinity;
    if (k >= p.columns) p.distance[k] = 0;
  }
  for (int i = 0; i < p.real_rows; ++i) {
    const typename P::Vector highest = S::all(row_maxima[i]);
    typename P::Vector most = S::all(-P::infinity);
    for_vectors(p, real_row(p, i), [&](typename P::Vector value, int64_t k)
                                       __attribute__((always_inline)) {
      most = S::max(value - S::load(p.distance + k), most);
      S::store(p.path_price + k, S::max(value - highest, S::load(p.path_price + k)));
    });
    by_rows.add(static_cast<double>(row_maxima[i]));
    by_columns.add(rounded_up(P::S::highest(most)));
  }
  for (int k = 0; k < p.columns; ++k) {
    by_rows.add(rounded_up(p.path_price[k]));
    by_columns.add(static_cast<double>(p.distance[k]));
  }
  const int64_t count = 2 * int64_t{p.columns};
  const double rows = by_rows.upwards(count), columns = by_columns.upwards(count);
  return unscaled(p, add_upwards(rows < columns ? rows : columns, scaling_error(p)));
}

// The bound of maxima where the matrix lies, before anything is copied: most matrices of a search need
// no more. NaN where bound_of_maxima() must decide: entries that are not finite, or nearly so, and rows
// shorter than a vector.
template <class P>
inline double bound_in_place(const P& p, const typename P::Value* from, int rows, int columns,
                             int64_t row_stride) {
  using T = typename P::Value;
  using S = typename P::S;
  using Vector = typename P::Vector;
  constexpr int together = 4;  // rows for each time that the maxima of the columns are read
  if (columns < P::lanes) return static_cast<double>(NAN);
  T* const column_maxima = p.distance;
  for (int k = 0; k < columns; ++k) column_maxima[k] = -P::infinity;
  Vector sums[together] = {};  // of everything: not finite if an entry is not
  QuickSum by_rows, by_columns;
  for (int first = 0; first < rows; first += together) {
    const T* row[together];
    Vector most[together];
    for (int u = 0; u < together; ++u) {  // the last row again, where there are no more
      row[u] = from + (first + u < rows ? first + u : rows - 1) * row_stride;
      most[u] = S::all(-P::infinity);
    }
    const auto step = [&](int k) __attribute__((always_inline)) {
      Vector highest = S::load(column_maxima + k);
      for (int u = 0; u < together; ++u) {
        const Vector value = S::load(row[u] + k);
        most[u] = S::max(value, most[u]);
        highest = S::max(value, highest);
        sums[u] += value;
      }
      S::store_anywhere(column_maxima + k, highest);
    };
    int k = 0;
    for (; k + P::lanes <= columns; k += P::lanes) step(k);
    if (k < columns) step(columns - P::lanes);  // some columns again, which changes no maximum
    for (int u = 0; u < together && first + u < rows; ++u) {
      by_rows.add(static_cast<double>(S::highest(most[u])));
    }
  }
  T total = 0;
  for (int u = 0; u < together; ++u) {
    for (int l = 0; l < P::lanes; ++l) total += sums[u][l];
  }
  if (!(total - total == 0)) return static_cast<double>(NAN);
  for (int k = 0; k < columns; ++k) by_columns.add(static_cast<double>(column_maxima[k]));
  const double of_rows = by_rows.upwards(rows), of_columns = by_columns.upwards(columns);
  if (rows != columns) return rows < columns ? of_rows : of_columns;  // of the larger some stay free
  return of_rows < of_columns ? of_rows : of_columns;
}

}  // namespace
