// The inner loop of the auction: the best and the second best of A - price in a row, from the row
// itself or from what its last reading left behind.
#pragma once

#include "problem.h"

namespace {

template <class T>
struct TopTwo {
  T best, second;
  int at;
};

// Best and second best of A - price in each lane of a few vectors, and the columns of the best.
template <class P>
struct Leaders {
  static constexpr int chains = P::kept < 2 ? 2 : P::kept;  // operations that run side by side
  typename P::Vector best[chains], second[chains];
  typename P::Indices at[chains];

  SEMRSM_INLINE void clear() {
    for (int u = 0; u < chains; ++u) {
      best[u] = second[u] = P::S::all(-P::infinity);
      at[u] = typename P::Indices{};
    }
  }
};

template <class P>
SEMRSM_INLINE Leaders<P> scan_row(const P& p, Row<typename P::Value> row) {
  using S = typename P::S;
  constexpr int chains = Leaders<P>::chains, lanes = P::lanes;
  Leaders<P> found;
  found.clear();
  typename P::Indices here = {};
  const auto step = [&](int u, const typename P::Value* from, int64_t k)
                        __attribute__((always_inline)) {
    const typename P::Vector value = S::load(from) - S::load(p.price + k);
    const typename P::Indices better = value > found.best[u];
    found.second[u] = S::max(found.second[u], S::min(value, found.best[u]));
    found.at[u] = better ? here : found.at[u];
    found.best[u] = S::max(value, found.best[u]);
    here += 1;
  };
  int64_t k = 0;
  for (; k + chains * lanes <= p.whole; k += chains * lanes) {
    for (int u = 0; u < chains; ++u) step(u, row.whole + k + u * lanes, k + u * lanes);
  }
  for (int u = 0; u < chains - 1; ++u) {
    if (k + u * lanes < p.whole) step(u, row.whole + k + u * lanes, k + u * lanes);
  }
  if (p.whole < p.stride) step(chains - 1, row.tail, p.whole);
  for (int u = 0; u < chains; ++u) found.at[u] = found.at[u] * lanes + lane_numbers<P>();
  return found;
}

// Merges the vectors from `Remaining` on into the ones before.
template <int Remaining, class P>
SEMRSM_INLINE void merge(Leaders<P>& found) {
  using S = typename P::S;
  for (int u = Remaining; u < Leaders<P>::chains; ++u) {
    const int into = u % Remaining;
    const typename P::Indices better = found.best[u] > found.best[into];
    found.second[into] = S::max(S::max(found.second[into], found.second[u]),
                                S::min(found.best[into], found.best[u]));
    found.at[into] = better ? found.at[u] : found.at[into];
    found.best[into] = S::max(found.best[u], found.best[into]);
  }
}

template <int Shift, class P>
SEMRSM_INLINE void reduce(Leaders<P>& found) {
  if constexpr (Shift > 0) {
    using S = typename P::S;
    const typename P::Vector best = S::template rotate<Shift>(found.best[0]);
    const typename P::Vector second = S::template rotate<Shift>(found.second[0]);
    const typename P::Indices at = S::template rotate<Shift>(found.at[0]);
    const typename P::Indices better = best > found.best[0];
    found.second[0] = S::max(S::max(found.second[0], second), S::min(found.best[0], best));
    found.at[0] = better ? at : found.at[0];
    found.best[0] = S::max(best, found.best[0]);
    reduce<Shift / 2>(found);
  }
}

template <class P>
SEMRSM_INLINE TopTwo<typename P::Value> top_of(Leaders<P> found) {
  merge<1>(found);
  reduce<P::lanes / 2>(found);
  return {found.best[0][0], found.second[0][0], static_cast<int>(found.at[0][0])};
}

template <class P>
SEMRSM_INLINE TopTwo<typename P::Value> top_two(const P& p, Row<typename P::Value> row) {
  return top_of(scan_row(p, row));
}

// ---------------------------------------------------------------- remembering

// A memory holds while prices rise: other new prices start with an empty one.
template <class P>
inline void forget(P& p) {
  if (!p.remembers) return;
  const size_t count = static_cast<size_t>(p.rows) * P::candidates;
  for (int i = 0; i < p.rows; ++i) p.others[i] = P::infinity;
  memset(p.remembered, 0, sizeof(typename P::Value) * count);
  memset(p.remembered_at, 0, sizeof(typename P::Index) * count);
}

template <class P>
TopTwo<typename P::Value> top_two_and_remember(const P& p, int i) {
  using S = typename P::S;
  const Row<typename P::Value> row = real_row(p, i);
  typename P::Value* const values = p.remembered + static_cast<int64_t>(i) * P::candidates;
  typename P::Index* const columns = p.remembered_at + static_cast<int64_t>(i) * P::candidates;
  Leaders<P> found = scan_row(p, row);
  merge<P::kept>(found);
  typename P::Vector others = found.second[0];
  for (int u = 1; u < P::kept; ++u) others = S::max(others, found.second[u]);
  p.others[i] = P::S::highest(others);
  for (int u = 0; u < P::kept; ++u) {
    *reinterpret_cast<typename P::Indices*>(columns + u * P::lanes) = found.at[u];
    for (int l = 0; l < P::lanes; ++l) {
      values[u * P::lanes + l] = entry(p, row, static_cast<int64_t>(found.at[u][l]));
    }
  }
  for (int u = P::kept; u < Leaders<P>::chains; ++u) {
    found.best[u] = found.second[u] = S::all(-P::infinity);
  }
  return top_of(found);
}

// A reading leaves the best column of each lane behind, and the largest value among all others.
// Prices only rise, so no other column can pass that value later; while the best remembered column
// stays above it, the row need not be read again. The second best is then at most too high, by which
// a bid gets more careful, never wrong.
template <class P>
SEMRSM_INLINE TopTwo<typename P::Value> top_two_remembered(const P& p, int i) {
  const typename P::Value* const values = p.remembered + static_cast<int64_t>(i) * P::candidates;
  const typename P::Index* const columns =
      p.remembered_at + static_cast<int64_t>(i) * P::candidates;
  Leaders<P> found;
  found.clear();
  for (int u = 0; u < P::kept; ++u) {
    typename P::Vector price;
    for (int l = 0; l < P::lanes; ++l) price[l] = p.price[columns[u * P::lanes + l]];
    found.best[u] = P::S::load(values + u * P::lanes) - price;
    found.at[u] = *reinterpret_cast<const typename P::Indices*>(columns + u * P::lanes);
  }
  TopTwo<typename P::Value> top = top_of(found);
  const typename P::Value others = p.others[i];
  if (top.best > others) {
    top.second = top.second > others ? top.second : others;
    return top;
  }
  return top_two_and_remember(p, i);
}

template <bool Remembers, class P>
SEMRSM_INLINE TopTwo<typename P::Value> top_two_of(const P& p, int i) {
  if constexpr (Remembers) {
    return top_two_remembered(p, i);
  } else {
    return top_two(p, real_row(p, i));
  }
}

}  // namespace
