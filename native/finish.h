// The exact finish: rows that the bids left over are placed by shortest augmenting paths (Jonker and
// Volgenant 1987) over the reduced costs.
#pragma once

#include "auction.h"

namespace {

template <class T>
struct Nearest {
  T distance;
  int at;
};

// The least lane, and its place.
template <int Shift, class P>
SEMRSM_INLINE void reduce_nearest(typename P::Vector& nearest, typename P::Indices& place) {
  if constexpr (Shift > 0) {
    using S = typename P::S;
    const typename P::Vector other = S::template rotate<Shift>(nearest);
    const typename P::Indices other_place = S::template rotate<Shift>(place);
    const typename P::Indices nearer = other < nearest;
    place = nearer ? other_place : place;
    nearest = S::min(other, nearest);
    reduce_nearest<Shift / 2, P>(nearest, place);
  }
}

// Relaxes all distances through one row and finds the nearest column not yet passed, in one pass.
// Among equals a free column wins: without that, ties lead through one taken column after another.
template <class P>
SEMRSM_INLINE Nearest<typename P::Value> relax(const P& p, int i, typename P::Value length) {
  using S = typename P::S;
  using Vector = typename P::Vector;
  using Indices = typename P::Indices;
  const Vector base = S::all(length), far = S::all(P::infinity);
  const Indices source = S::all_indices(static_cast<typename P::Index>(i));
  Vector nearest = far, nearest_open = far;
  Indices at = {}, at_open = {}, here = {};
  for_vectors(p, row_at(p, i), [&](Vector value, int64_t k) __attribute__((always_inline)) {
    const Vector fresh = (base - value) + S::load(p.path_price + k);
    const Vector old = S::load(p.distance + k);
    Indices* const origin = reinterpret_cast<Indices*>(p.through + k);
    const Indices shorter = fresh < old;
    const Vector shortest = S::min(fresh, old);
    S::store(p.distance + k, shortest);
    *origin = shorter ? source : *origin;
    at = shortest < nearest ? here : at;
    nearest = S::min(shortest, nearest);
    const Vector if_open = *reinterpret_cast<const Indices*>(p.open + k) ? shortest : far;
    at_open = if_open < nearest_open ? here : at_open;
    nearest_open = S::min(if_open, nearest_open);
    here += 1;
  });
  Indices place = at * P::lanes + lane_numbers<P>();
  Indices place_open = at_open * P::lanes + lane_numbers<P>();
  reduce_nearest<P::lanes / 2, P>(nearest, place);
  reduce_nearest<P::lanes / 2, P>(nearest_open, place_open);
  if (nearest_open[0] <= nearest[0]) return {nearest_open[0], static_cast<int>(place_open[0])};
  return {nearest[0], static_cast<int>(place[0])};
}

// Marks a column as passed by the search, at that distance.
template <class P>
SEMRSM_INLINE void pass(P& p, int column, typename P::Value at, int& passed) {
  p.passed[passed] = column;
  p.passed_distance[passed++] = at;
  p.distance[column] = P::infinity;
  p.path_price[column] = P::infinity;
}

// Dijkstra from one free row to the nearest free column; the columns of all rows of zeros are passed
// together, since one such row reaches what any of them does. False where cancelled.
template <class P>
inline bool augment(P& p, int start, const volatile uint8_t* cancelled) {
  using T = typename P::Value;
  memcpy(p.path_price, p.price, sizeof(T) * static_cast<size_t>(p.stride));
  for (int64_t k = 0; k < p.stride; ++k) p.distance[k] = P::infinity;
  int passed = 0, i = start;
  T length = 0;
  int column;
  while (true) {
    if (*cancelled) return false;
    const Nearest<T> next = relax(p, i, length);
    column = next.at;
    const T at = next.distance;
    if (p.row_of[column] < 0) {
      length = at;
      break;
    }
    i = p.row_of[column];
    if (is_zero_row(p, i)) {
      for (int k = 0; k < p.columns; ++k) {
        if (is_zero_row(p, p.row_of[k])) pass(p, k, at, passed);
      }
    } else {
      pass(p, column, at, passed);
    }
    // The distance to row i, so that relaxing adds its reduced costs A[i, column] - price - ....
    length = at + (entry(p, row_at(p, i), column) - p.price[column]);
  }
  for (int n = 0; n < passed; ++n) {
    const T rise = length - p.passed_distance[n];
    if (rise > 0) p.price[p.passed[n]] += rise;  // rounding never lowers a price: memories need it
  }
  p.open[column] = 0;
  while (true) {
    const int row = static_cast<int>(p.through[column]);
    const int previous = row == start ? -1 : p.column_of[row];
    p.row_of[column] = row;
    p.column_of[row] = column;
    if (row == start) return true;
    column = previous;
  }
}

// The rows that did not come to bid without epsilon take a free column each where one is best.
template <class P>
inline void place_easy_rows(P& p) {
  while (p.free_count > 0) {
    const int i = p.free_rows[--p.free_count];
    if (!is_zero_row(p, i)) {
      const auto top = p.remembers ? top_two_of<true>(p, i) : top_two_of<false>(p, i);
      if (p.row_of[top.at] < 0) {
        p.price[top.at] += top.best - top.second;
        p.row_of[top.at] = i;
        p.open[top.at] = 0;
        continue;
      }
    }
    p.losers[p.lost++] = i;
  }
}

// After a phase without epsilon, ends with an optimal assignment. False where cancelled.
template <class P>
inline bool finish(P& p, const volatile uint8_t* cancelled) {
  place_easy_rows(p);
  for (int k = 0; k < p.columns; ++k) {
    if (p.row_of[k] >= 0) p.column_of[p.row_of[k]] = k;
  }
  for (int f = 0; f < p.lost; ++f) {
    if (!augment(p, p.losers[f], cancelled)) return false;
  }
  return true;
}

}  // namespace
