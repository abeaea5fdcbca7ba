// Fewer rows than columns: rows of zeros make the problem square, and bid as one.
//
// Nothing is copied: all of them are one row. Their columns have one price, `level`, below which no
// column lies; so epsilon-complementary slackness holds for the group as a whole, without which they
// would outbid each other at every column. The group's prices only rise, like all others.
#pragma once

#include "row_scan.h"

namespace {

// From here on the problem is square; prices stay as they are.
template <class P>
inline void pad(P& p) {
  p.padded = p.fresh_padding = true;
  p.rows = p.columns;
  forget(p);
}

template <class P>
SEMRSM_INLINE bool is_zero_row(const P& p, int i) {
  return i >= p.real_rows;
}

// The cheapest column that no row of zeros holds; of equals the first, whatever the vector width is.
template <class P>
inline int cheapest_column(const P& p) {
  using S = typename P::S;
  typename P::Vector least = S::all(P::infinity);
  typename P::Indices at = {}, here = {};
  for (int64_t k = 0; k < p.stride; k += P::lanes) {
    const typename P::Vector price = S::load(p.price + k) + S::load(p.blocked + k);
    at = price < least ? here : at;
    least = S::min(price, least);
    here += 1;
  }
  const typename P::Indices place = at * P::lanes + lane_numbers<P>();
  int best = 0;
  for (int l = 1; l < P::lanes; ++l) {
    const bool first = least[l] == least[best] && place[l] < place[best];
    if (least[l] < least[best] || first) best = l;
  }
  return static_cast<int>(place[best]);
}

// The bid of a row of zeros: for the cheapest column that none of them holds. It pays epsilon only
// where it ousts a row of the matrix, and what it pays all of them pay.
template <class P>
__attribute__((noinline)) void bid_as_one(P& p, int i) {
  using T = typename P::Value;
  const int k = cheapest_column(p);
  const T price = p.price[k];
  const int32_t ousted = p.row_of[k];
  const T fresh = ousted < 0 ? price : price + p.epsilon;
  --p.bids_left;
  if (ousted >= 0 && !(fresh > price)) {
    p.losers[p.lost++] = i;
    --p.free_count;
    return;
  }
  p.row_of[k] = i;
  p.open[k] = 0;
  p.blocked[k] = P::infinity;
  if (fresh > p.level) {
    p.level = fresh;
    for (int c = 0; c < p.columns; ++c) {
      if (is_zero_row(p, p.row_of[c])) p.price[c] = fresh;
    }
  }
  p.price[k] = p.level;
  p.free_rows[p.free_count - 1] = ousted;
  p.free_count -= ousted < 0;
}

// The start of a phase: the rows of the matrix are freed, rows of zeros keep their columns, and prices
// below their level rise to it. Rows of zeros that hold nothing lie at the bottom of the stack: they
// bid last, when most columns that the others do not want are known.
template <class P>
inline void free_rows_padded(P& p) {
  int waiting = 0;
  int32_t* const stack = p.free_rows;
  if (p.fresh_padding) {
    p.fresh_padding = false;
    p.level = -P::infinity;
    for (int64_t k = 0; k < p.stride; ++k) p.blocked[k] = k < p.columns ? 0 : P::infinity;
    for (int k = 0; k < p.columns; ++k) p.row_of[k] = -1;
    for (int i = p.real_rows; i < p.rows; ++i) stack[waiting++] = i;
  } else {
    for (int f = 0; f < p.free_count; ++f) {  // in place: never more than were read
      if (is_zero_row(p, stack[f])) stack[waiting++] = stack[f];
    }
    for (int f = 0; f < p.lost; ++f) {
      if (is_zero_row(p, p.losers[f])) stack[waiting++] = p.losers[f];
    }
    for (int k = 0; k < p.columns; ++k) {
      if (!is_zero_row(p, p.row_of[k])) p.row_of[k] = -1;
      if (p.price[k] < p.level) p.price[k] = p.level;
    }
  }
  p.free_count = waiting;
  for (int i = p.real_rows - 1; i >= 0; --i) p.free_rows[p.free_count++] = i;
}

}  // namespace
