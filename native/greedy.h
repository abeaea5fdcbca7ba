// Greedy assignment: rows in descending order of their best entry, each taking its best free column.
#pragma once

#include "batch.h"

namespace {

template <class T>
struct Ranked {
  T best;
  int32_t row;
};

template <class T>
int compare(const void* left, const void* right) {  // descending; ties by row
  const Ranked<T>& a = *static_cast<const Ranked<T>*>(left);
  const Ranked<T>& b = *static_cast<const Ranked<T>*>(right);
  if (a.best != b.best) return a.best > b.best ? -1 : 1;
  return a.row < b.row ? -1 : 1;
}

template <class P>
inline void match_greedily(P& p, Ranked<typename P::Value>* ranked, int taken) {
  using T = typename P::Value;
  for (int64_t k = 0; k < p.stride; ++k) p.price[k] = k < taken ? P::infinity : 0;
  for (int i = 0; i < taken; ++i) p.column_of[i] = -1;
  for (int i = taken; i < p.real_rows; ++i) ranked[i] = {top_two(p, real_row(p, i)).best, i};
  qsort(ranked + taken, static_cast<size_t>(p.real_rows - taken), sizeof(Ranked<T>), compare<T>);
  for (int n = taken; n < p.real_rows; ++n) {
    const int i = ranked[n].row;
    const Row<T> row = real_row(p, i);
    const TopTwo<T> top = top_two(p, row);
    int best = top.at;
    if (top.second == top.best) {  // of equal columns the first, whatever the vector width is
      best = taken;
      while (entry(p, row, best) - p.price[best] != top.best) ++best;
    }
    p.column_of[i] = best;
    p.price[best] = P::infinity;  // no one else can afford it
  }
}

// The first batch.taken rows and columns are left out of the matching, but not of the bound.
template <class T, int Bytes>
Outcome greedy(const Batch<T>& batch, const Results& results) {
  using P = Problem<T, Bytes>;
  Arena arena;
  int widest;
  const int64_t bytes = bytes_of_largest<P>(batch, widest);
  if (!arena.reserve(bytes + Arena::bytes<Ranked<T>>(widest))) return {Status::out_of_memory, 0};
  for (int64_t m = 0; m < batch.count; ++m) {
    if (*batch.cancelled) return {Status::cancelled, 0};
    const MatrixView view = view_in(batch, m);
    if (view.rows == 0) {
      write_empty(view, results, m, batch.result_offsets[m]);
      continue;
    }
    arena.restart();
    P p;
    place(p, arena, view.rows, view.columns);
    Ranked<T>* const ranked = arena.take<Ranked<T>>(view.rows);
    const T* const from = batch.data + batch.offsets[m];
    if (!read(p, from, view)) return {Status::not_finite, m};
    results.upper_bounds[m] = bound_of_maxima(p);
    const int taken = batch.taken < view.rows ? static_cast<int>(batch.taken) : view.rows;
    match_greedily(p, ranked, taken);
    results.values[m] = value_of(p, from);
    if (results.assigned) {
      write_columns(p, results.assigned + batch.result_offsets[m], taken);
    }
  }
  return {Status::done, 0};
}

}  // namespace
