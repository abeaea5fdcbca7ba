// Where the prices start and how large epsilon is, from what the entries look like.
#pragma once

#include "problem.h"

namespace {

constexpr int few_columns = 64;  // up to here all entries are as cheap to judge by as a sample

// How entries spread within a row, robustly (one huge entry must not set epsilon), and whether rows
// have ties at the top.
template <class T>
struct Look {
  T spread, variance;
  bool ties;
};

template <class T>
SEMRSM_INLINE void insert_sorted(T* sorted, int count, T value) {
  int at = count;
  for (; at > 0 && sorted[at - 1] > value; --at) sorted[at] = sorted[at - 1];
  sorted[at] = value;
}

// Medians over a few rows at regular steps. Each row is cut into 16 groups of columns, the same at
// every vector width: the spread is the median group maximum less the median group minimum, and a row
// has ties where its two highest group maxima are equal.
template <class P>
inline Look<typename P::Value> look_at_rows(const P& p) {
  using T = typename P::Value;
  constexpr int most = 16, groups = 16;
  T spreads[most], variances[most], sorted[groups];
  const int twelfth = p.real_rows / 12, fewest = p.real_rows < 4 ? p.real_rows : 4;
  const int n = twelfth < fewest ? fewest : (twelfth < most ? twelfth : most);
  int ties = 0;
  for (int s = 0; s < n; ++s) {
    const Row<T> row = real_row(p, static_cast<int>(int64_t{s} * p.real_rows / n));
    const T middle = entry(p, row, 0);
    T high[groups], low[groups], sum[groups], squares[groups];
    for (int g = 0; g < groups; ++g) {
      high[g] = -P::infinity;
      low[g] = P::infinity;
      sum[g] = squares[g] = 0;
    }
    const auto take = [&](int g, T entry) __attribute__((always_inline)) {
      const T value = entry - middle;
      high[g] = value > high[g] ? value : high[g];
      low[g] = value < low[g] ? value : low[g];
      sum[g] += value;
      squares[g] += value * value;
    };
    int k = 0;
    for (; k + groups <= p.whole; k += groups) {
      for (int g = 0; g < groups; ++g) take(g, row.whole[k + g]);
    }
    for (; k < p.columns; ++k) take(k % groups, entry(p, row, k));
    T total = 0, total_squares = 0;
    for (int g = 0; g < groups; ++g) {
      total += sum[g];
      total_squares += squares[g];
    }
    for (int g = 0; g < groups; ++g) insert_sorted(sorted, g, high[g]);
    ties += sorted[groups - 1] == sorted[groups - 2];
    const T up = sorted[groups / 2];
    for (int g = 0; g < groups; ++g) insert_sorted(sorted, g, low[g]);
    const T mean = total / static_cast<T>(p.columns);
    insert_sorted(spreads, s, up - sorted[groups / 2]);
    insert_sorted(variances, s, total_squares / static_cast<T>(p.columns) - mean * mean);
  }
  return {spreads[n / 2], variances[n / 2], 2 * ties > n};
}

// Whether two lanes of a row have the same largest entry.
template <class P>
inline bool has_tie(const P& p, int i) {
  using S = typename P::S;
  typename P::Vector most = S::all(-P::infinity);
  for_vectors(p, real_row(p, i), [&](typename P::Vector value, int64_t)
                                     __attribute__((always_inline)) {
    most = S::max(value, most);
  });
  const typename P::Indices equal = most == S::all(S::highest(most));
  typename P::Index count = 0;
  for (int l = 0; l < P::lanes; ++l) count += equal[l];
  return count < -1;
}

template <class P>
inline double sum_of_columns(const P& p) {
  double sum = 0;
  for (int k = 0; k < p.columns; ++k) sum += static_cast<double>(p.price[k]);
  return sum;
}

// For few columns: range and half the variance of all entries, and ties in most of a few rows.
template <class P>
inline Look<typename P::Value> look_at_all(const P& p) {
  using T = typename P::Value;
  const double count = static_cast<double>(p.real_rows) * p.columns;
  const double mean = sum_of_columns(p) / count - static_cast<double>(p.middle);
  const double variance = static_cast<double>(p.squares) / count - mean * mean;
  constexpr int most = 4;
  int ties = 0;
  for (int s = 0; s < most; ++s) ties += has_tie(p, s * p.real_rows / most);
  return {p.largest - p.smallest, static_cast<T>(0.5 * variance), 2 * ties > most};
}

// Means of the columns are good first prices where columns differ by more than chance (where entries
// are independent noise they would only break ties), and no outliers make them.
template <class P>
inline bool means_matter(const P& p, const Look<typename P::Value>& look) {
  using T = typename P::Value;
  double sum = 0, squares = 0;
  const double middle = static_cast<double>(p.price[0]);
  for (int k = 0; k < p.columns; ++k) {
    const double value = static_cast<double>(p.price[k]) - middle;
    sum += value;
    squares += value * value;
  }
  const double n = p.columns;
  const double variance = (squares - sum * sum / n) / n / p.real_rows / p.real_rows;
  return variance > 0.15 * static_cast<double>(look.variance) &&
         !(p.largest - p.smallest > T(15) * look.spread);
}

// Prices start at multiples of a power of two, and epsilon is one (auction.h): where entries are numbers
// of few digits, integers above all, prices then have no rounding, and the bound meets the value.
template <class T>
inline T power_of_two_near(T x) {
  int exponent;
  const double mantissa = frexp(static_cast<double>(x), &exponent);
  return static_cast<T>(ldexp(1.0, mantissa < 0.70710678 ? exponent - 1 : exponent));
}

// Decides on prices and epsilon, and whether rows of zeros bid from the start; `price` holds the sums of
// the columns (reading.h). Means count the rows of zeros, if these are not too many for means to matter.
template <class P>
inline void choose_start(P& p) {
  using T = typename P::Value;
  const T range = p.largest - p.smallest;
  Look<T> look = {0, 0, false};
  if (range > 0) look = p.columns > few_columns ? look_at_rows(p) : look_at_all(p);
  p.ties = look.ties;
  const bool wide = look.spread > 0 && range > T(4) * look.spread;
  p.spread = wide ? T(4) * look.spread : range;
  const bool near_square = 4 * int64_t{p.real_rows} >= 3 * int64_t{p.columns};
  p.from_means = near_square && range > 0 && p.exponent == 0 && !look.ties && means_matter(p, look);
  if (!p.from_means) {
    for (int64_t k = 0; k < p.stride; ++k) p.price[k] = 0;
    return;
  }
  const T share = T(1) / static_cast<T>(p.columns);
  // Adding and subtracting it rounds to a multiple of a thousandth of the range.
  const T rounding =
      power_of_two_near(range) * T(1.5 / 1024) * (sizeof(T) == 4 ? 0x1p23f : T(0x1p52));
  for (int64_t k = 0; k < p.stride; ++k) p.price[k] = (p.price[k] * share + rounding) - rounding;
}

}  // namespace
