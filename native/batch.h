// Batches: a few matrices are solved side by side in one thread, and a search leaves those that a bound
// rules out.
#pragma once

#include "conclude.h"
#include "reading.h"
#include "start.h"

namespace {

inline void write_empty(const MatrixView& view, const Results& results, int64_t matrix,
                        int64_t result_offset) {
  results.values[matrix] = results.upper_bounds[matrix] = 0;
  const int rows = view.turned ? view.columns : view.rows;
  for (int i = 0; results.assigned && i < rows; ++i) results.assigned[result_offset + i] = -1;
  for (int n = 0; results.prices && n < view.columns; ++n) {
    results.prices[results.price_offsets[matrix] + n] = 0;
  }
}

// ---------------------------------------------------------------- leaving matrices unsolved

template <class P>
inline bool stop(const P& p, const Batch<typename P::Value>& batch, const Results& results,
                 double bound, Stage stage) {
  if (!(bound < batch.stop_below[p.matrix])) return false;
  results.values[p.matrix] = static_cast<double>(NAN);
  results.upper_bounds[p.matrix] = bound;
  results.stages[p.matrix] = static_cast<uint8_t>(stage);
  return true;
}

// Tries the bounds that cost a pass over the matrix each; true where one of them is low enough. The
// prices are as before after it.
template <class P>
inline bool stop_before_auction(P& p, const Batch<typename P::Value>& batch,
                                const Results& results) {
  using T = typename P::Value;
  if (stop(p, batch, results, bound_of_maxima(p), Stage::maxima)) return true;
  if (p.real_rows == p.columns &&
      stop(p, batch, results, reduced_bound(p), Stage::reduced)) {
    return true;
  }
  if (batch.prices == nullptr || p.view.turned) return false;
  const T* const given = batch.prices + batch.price_offsets[p.matrix];
  const size_t bytes = sizeof(T) * static_cast<size_t>(p.stride);
  memcpy(p.path_price, p.price, bytes);
  for (int k = 0; k < p.columns; ++k) {
    p.price[k] = static_cast<T>(ldexp(static_cast<double>(given[k]), -p.exponent));
  }
  const bool enough = stop(p, batch, results, dual_bound(p), Stage::prices);
  memcpy(p.price, p.path_price, bytes);
  return enough;
}

// ---------------------------------------------------------------- the loop

template <class P>
struct Solving {
  using T = typename P::Value;
  const Batch<T>& batch;
  const Results& results;
  Arena arena_for_doubles;
  int64_t next = 0;
  Outcome outcome = {Status::done, 0};

  Solving(const Batch<T>& matrices, const Results& to) : batch(matrices), results(to) {}

  // Takes matrices from the batch until one needs bids; false when none is left.
  bool begin_next(P& p, Arena& arena) {
    while (next < batch.count && outcome.status == Status::done) {
      if (*batch.cancelled) {
        outcome.status = Status::cancelled;
        return false;
      }
      const int64_t m = next++;
      const MatrixView view = view_in(batch, m);
      if (view.rows == 0) {
        write_empty(view, results, m, batch.result_offsets[m]);
        continue;
      }
      arena.restart();
      place(p, arena, view.rows, view.columns);
      p.matrix = m;
      const T* const from = batch.data + batch.offsets[m];
      if (batch.stop_below && batch.column_stride == 1 &&
          stop(p, batch, results,
               bound_in_place(p, from, batch.rows[m], batch.columns[m], batch.row_stride),
               Stage::maxima)) {
        continue;
      }
      if (!read(p, from, view)) {
        outcome = {Status::not_finite, m};
        return false;
      }
      choose_start(p);
      forget(p);
      if (batch.stop_below && stop_before_auction(p, batch, results)) continue;
      start_bidding(p);
      if (p.columns > 1) return true;
      bid_for_the_only_column(p);
      end(p);
    }
    return false;
  }

  void end(P& p) {
    const Status status = conclude(p, batch, results, arena_for_doubles);
    if (status != Status::done) outcome.status = status;
  }

  // After a phase: ends the matrix, and begins another in its place, or goes on with it.
  void end_phase(P& p, Arena& arena) {
    if (*batch.cancelled) {
      outcome.status = Status::cancelled;
      return;
    }
    if (!(batch.stop_below && stop(p, batch, results, dual_bound(p), Stage::auction))) {
      if (next_phase(p)) return;
      end(p);
    }
    p.live = begin_next(p, arena);
  }

  // `MayRemember`: whether some matrix of the batch is large enough for that.
  template <int abreast, bool MayRemember>
  Outcome run(int64_t bytes) {
    Arena arenas[abreast];
    P problems[abreast];
    uint32_t rounds = 0;  // of bids: a war for prices can take long
    bool live = false;
    for (int n = 0; n < abreast; ++n) {
      if (!arenas[n].reserve(bytes)) return {Status::out_of_memory, 0};
      problems[n].live = begin_next(problems[n], arenas[n]);
      live |= problems[n].live;
    }
    while (live && outcome.status == Status::done) {
      bool waiting = false;
      for (int n = 0; n < abreast; ++n) {
        P& p = problems[n];
        if (!p.live) continue;
        bid_of<MayRemember>(p);
        waiting |= (p.free_count == 0) | (p.bids_left <= 0);
      }
      if ((++rounds & 0xfff) == 0 && *batch.cancelled) return {Status::cancelled, 0};
      if (!waiting) continue;
      live = false;
      for (int n = 0; n < abreast && outcome.status == Status::done; ++n) {
        P& p = problems[n];
        if (p.live && (p.free_count == 0 || p.bids_left <= 0)) end_phase(p, arenas[n]);
        live |= p.live;
      }
    }
    return outcome;
  }
};

template <class P>
inline int64_t bytes_of_largest(const Batch<typename P::Value>& batch, int& widest) {
  int64_t most = 0;
  widest = 0;
  for (int64_t m = 0; m < batch.count; ++m) {
    const MatrixView view = view_in(batch, m);
    const int64_t bytes = bytes_of<P>(view.rows, view.columns);
    most = bytes > most ? bytes : most;
    widest = view.columns > widest ? view.columns : widest;
  }
  return most;
}

// A bid waits for its own loads and comparisons: a few matrices in turn fill those waits, as long as
// they stay in cache together.
template <class T, int Bytes>
Outcome assign(const Batch<T>& batch, const Results& results) {
  using P = Problem<T, Bytes>;
  int widest;
  const int64_t bytes = bytes_of_largest<P>(batch, widest);
  Solving<P> solving(batch, results);
  if (widest > P::worth_remembering) {
    return batch.count >= 2 ? solving.template run<2, true>(bytes)
                            : solving.template run<1, true>(bytes);
  }
  if (batch.count >= 4 && bytes <= 64 * 1024) return solving.template run<4, false>(bytes);
  if (batch.count >= 2) return solving.template run<2, false>(bytes);
  return solving.template run<1, false>(bytes);
}

}  // namespace
