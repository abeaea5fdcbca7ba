// The auction: phases of bids with falling epsilon (Bertsekas 1988), the last of them without.
#pragma once

#include "padding.h"
#include "start.h"

namespace {

// A phase that takes more bids a row than this is a war for prices, left to the shortest paths.
constexpr int64_t bids_a_row = 64, bids_a_row_without_epsilon = 5;

template <class P>
inline void start_phase(P& p, typename P::Value epsilon) {
  p.epsilon = epsilon;
  if (p.padded) {
    free_rows_padded(p);
  } else {
    for (int k = 0; k < p.columns; ++k) p.row_of[k] = -1;
    for (int i = 0; i < p.rows; ++i) p.free_rows[i] = p.rows - 1 - i;
    p.free_count = p.rows;
  }
  for (int64_t k = 0; k < p.stride; ++k) p.open[k] = k < p.columns && p.row_of[k] < 0 ? -1 : 0;
  p.lost = 0;
  p.bids_left = (epsilon > 0 ? bids_a_row : bids_a_row_without_epsilon) * p.rows;
}

// The schedule was chosen by measurement, mostly on EfficientNet-Lite0 features: it is flat near here.
// Each further phase has an eighth of the epsilon, and costs less than the paths that it saves where
// there are more columns. Ties do not come apart by a finer one.
template <class P>
inline void start_auction(P& p) {
  using T = typename P::Value;
  p.may_auction = false;
  const T epsilon = power_of_two_near(T(p.ties ? 0.03 : 0.008) * p.spread);
  const double last = p.remembers ? 1.0 / 64 : (p.columns > few_columns ? 1.0 / 8 : 1.0);
  p.last_epsilon = p.ties ? epsilon : epsilon * T(last);
  start_phase(p, epsilon);
}

template <class P>
inline bool hardly_fewer_rows(const P& p) {
  return !p.remembers && 10 * int64_t{p.rows} > 9 * int64_t{p.columns};
}

// The first phase. Where ties abound epsilon would only count them. Most problems with fewer rows than
// columns are easy: rows find their columns from zero prices without epsilon, and the columns that
// stay free keep the price zero. Where means matter rows compete, and the auction follows at once.
template <class P>
inline void start_bidding(P& p) {
  p.may_auction = p.spread > 0;
  if (p.from_means && p.rows < p.columns) pad(p);
  if (p.rows == p.columns && p.may_auction && !p.ties) {
    start_auction(p);
  } else {
    start_phase(p, 0);
    // Short rows that compete for nearly all columns are seldom easy.
    if (p.rows < p.columns && hardly_fewer_rows(p)) p.bids_left = 2 * int64_t{p.rows};
  }
}

// A free column whose A - price is `best`, or -1.
template <class P>
inline int free_column_as_good(const P& p, int i, typename P::Value best) {
  using S = typename P::S;
  const Row<typename P::Value> row = real_row(p, i);
  for (int64_t k = 0; k < p.stride; k += P::lanes) {
    const typename P::Vector value = S::load(k < p.whole ? row.whole + k : row.tail);
    const typename P::Indices equal = (value - S::load(p.price + k)) == S::all(best);
    const typename P::Indices good = equal & *reinterpret_cast<const typename P::Indices*>(p.open + k);
    if (!S::any(good)) continue;
    for (int l = 0; l < P::lanes; ++l) {
      if (good[l]) return static_cast<int>(k + l);
    }
  }
  return -1;
}

// A row that cannot raise the price of its best column, which is taken: it takes another as good
// that is free, or gives up for this phase.
template <bool Padded, class P>
__attribute__((noinline)) void settle(P& p, int i, typename P::Value best) {
  const int column = free_column_as_good(p, i, best);
  --p.free_count;
  if (column < 0) {
    p.losers[p.lost++] = i;
    return;
  }
  p.row_of[column] = i;
  p.open[column] = 0;
  if (Padded) p.blocked[column] = 0;
}

// One bid.
template <bool Remembers, bool Padded, class P>
SEMRSM_INLINE void bid(P& p) {
  using T = typename P::Value;
  const int i = p.free_rows[p.free_count - 1];
  if (Padded && __builtin_expect(is_zero_row(p, i), 0)) return bid_as_one(p, i);
  const TopTwo<T> top = top_two_of<Remembers>(p, i);
  const T price = p.price[top.at], raised = price + ((top.best - top.second) + p.epsilon);
  const int32_t ousted = p.row_of[top.at];
  --p.bids_left;
  if (__builtin_expect((ousted >= 0) & !(raised > price), 0)) {
    return settle<Padded>(p, i, top.best);
  }
  p.price[top.at] = raised;
  p.row_of[top.at] = i;
  p.open[top.at] = 0;
  if (Padded) p.blocked[top.at] = 0;
  p.free_rows[p.free_count - 1] = ousted;
  p.free_count -= ousted < 0;
}

// `MayRemember` and `MayBePadded` say what the batch holds: the bid for small squares is lean.
template <bool MayRemember, class P>
SEMRSM_INLINE void bid_of(P& p) {
  if (MayRemember && p.remembers) {
    if (p.padded) return bid<true, true>(p);
    return bid<true, false>(p);
  }
  if (__builtin_expect(p.padded, 0)) return bid<false, true>(p);
  bid<false, false>(p);
}

// One entry: there is no second best to bid against.
template <class P>
inline void bid_for_the_only_column(P& p) {
  p.row_of[0] = 0;
  p.free_count = 0;
}

// After a phase: true where another one follows.
template <class P>
inline bool next_phase(P& p) {
  using T = typename P::Value;
  const int unplaced = p.free_count + p.lost;
  if (p.epsilon > 0) {
    const bool last = unplaced > 0 || p.epsilon <= p.last_epsilon;
    start_phase(p, last ? T(0) : p.epsilon * T(1.0 / 8));
    return true;
  }
  // Where too many rows did not find a column at once, there is an auction after all.
  if (!p.may_auction || unplaced * (p.remembers ? 6 : 3) <= p.real_rows) return false;
  if (p.rows < p.columns) pad(p);
  start_auction(p);
  return true;
}

}  // namespace
