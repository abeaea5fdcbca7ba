// Everything that one matrix needs while it is being solved, and how its rows are read.
#pragma once

#include <math.h>
#include <string.h>

#include "arena.h"
#include "simd.h"
#include "solver.h"

#define SEMRSM_INLINE inline __attribute__((always_inline))

namespace {

struct MatrixView {  // a matrix of the batch, turned so that rows <= columns
  int rows, columns;
  int64_t row_stride, column_stride;
  bool turned;
};

inline MatrixView view_of(int rows, int columns, int64_t row_stride, int64_t column_stride) {
  if (rows <= columns) return {rows, columns, row_stride, column_stride, false};
  return {columns, rows, column_stride, row_stride, true};
}

template <class Batch>
inline MatrixView view_in(const Batch& batch, int64_t matrix) {
  return view_of(batch.rows[matrix], batch.columns[matrix], batch.row_stride, batch.column_stride);
}

template <class T, int Bytes>
struct Problem {
  using Value = T;
  using S = Simd<T, Bytes>;
  using Vector = typename S::Vector;
  using Index = typename S::Index;
  using Indices = typename S::Indices;
  static constexpr int width = Bytes;
  static constexpr int lanes = S::size;
  static constexpr T infinity = static_cast<T>(INFINITY);

  // What a row remembers of its last reading (row_scan.h): the best column of each lane of so many
  // vectors. Rows of at most 400 columns are as fast to read again.
  static constexpr int worth_remembering = 400;
  static constexpr int kept = 16 / lanes < 1 ? 1 : (16 / lanes > 4 ? 4 : 16 / lanes);
  static constexpr int candidates = kept * lanes;

  // The whole vectors of row i lie at a + i * step, where the caller left them if possible; its last
  // columns, filled up with -infinity to one vector more, at tails + i * tail_step.
  const T* a;
  int64_t step;
  const T* tails;
  int64_t tail_step;
  T* copy;       // (real_rows, stride) room for a turned or a scaled copy
  T* tail_room;  // (real_rows, lanes)

  int real_rows;   // of the matrix
  int rows;        // real_rows, or columns where rows of zeros make the problem square (padding.h)
  int columns;
  int64_t whole;   // the columns rounded down to whole vectors
  int64_t stride;  // and rounded up: the length of every array of columns

  T* price;            // (stride)
  int32_t* row_of;     // (columns) row that holds the column, or -1
  int32_t* column_of;  // (rows)
  int32_t* free_rows;  // (rows) a stack
  int32_t* losers;     // (rows) rows that gave up in this phase
  int free_count, lost;

  T epsilon, last_epsilon;
  T spread;  // what epsilon is measured by
  bool from_means;   // prices start at the means of the columns
  bool ties;         // so many equal entries that bids without epsilon may place most rows
  bool may_auction;  // there has been no auction yet
  int64_t bids_left;

  bool padded;
  bool fresh_padding;  // the rows of zeros have not bid yet
  const T* zeros;      // (stride) a row of zeros, -infinity beyond the columns
  T* blocked;          // (stride) infinite where a row of zeros holds the column, else 0
  T level;             // the price of all columns that rows of zeros hold

  bool remembers;
  T* remembered;         // (rows, candidates) entries of the columns that lead in their lanes
  Index* remembered_at;  // (rows, candidates) those columns
  T* others;             // (rows) the largest value of any other column when they were found

  T* distance;         // (stride) and the rest for shortest paths (finish.h)
  Index* open;         // (stride) all bits set where the column is free
  Index* through;      // (stride) row from which the shortest path reaches the column
  T* path_price;       // (stride) prices, infinite where the column has been passed
  int32_t* passed;     // (columns)
  T* passed_distance;  // (columns)

  T smallest, largest;    // of the entries
  T middle, squares;      // an entry, and the sum of squared differences of all entries from it
  int exponent;           // the entries were divided by two to this power
  bool scaled_exactly;    // ... which lost no bits
  int64_t matrix;         // which one of the batch
  MatrixView view;
  bool live;
};

template <class P>
inline int64_t stride_of(int columns) {
  return (columns + P::lanes - 1) / P::lanes * P::lanes;
}

template <class P>
inline int64_t bytes_of(int real_rows, int columns) {
  using T = typename P::Value;
  using Index = typename P::Index;
  const int64_t stride = stride_of<P>(columns);
  int64_t bytes = Arena::bytes<T>(stride * real_rows) + Arena::bytes<T>(P::lanes * real_rows) +
                  3 * Arena::bytes<T>(stride) + 2 * Arena::bytes<Index>(stride) +
                  2 * Arena::bytes<int32_t>(columns) + Arena::bytes<T>(columns) +
                  3 * Arena::bytes<int32_t>(columns);
  if (real_rows < columns) bytes += 2 * Arena::bytes<T>(stride);
  if (columns > P::worth_remembering) {
    const int64_t count = int64_t{columns} * P::candidates;
    bytes += Arena::bytes<T>(count) + Arena::bytes<Index>(count) + Arena::bytes<T>(columns);
  }
  return bytes;
}

// Arrays of rows have room for the rows of zeros too: as many rows as columns.
template <class P>
inline void place(P& p, Arena& arena, int real_rows, int columns) {
  using T = typename P::Value;
  using Index = typename P::Index;
  const int64_t stride = stride_of<P>(columns);
  p.real_rows = p.rows = real_rows;
  p.columns = columns;
  p.whole = columns / P::lanes * P::lanes;
  p.stride = stride;
  p.padded = p.fresh_padding = false;
  p.price = arena.take<T>(stride);
  p.distance = arena.take<T>(stride);
  p.path_price = arena.take<T>(stride);
  p.through = arena.take<Index>(stride);
  p.open = arena.take<Index>(stride);
  p.row_of = arena.take<int32_t>(columns);
  p.passed = arena.take<int32_t>(columns);
  p.passed_distance = arena.take<T>(columns);
  p.column_of = arena.take<int32_t>(columns);
  p.free_rows = arena.take<int32_t>(columns);
  p.losers = arena.take<int32_t>(columns);
  p.tail_room = arena.take<T>(P::lanes * int64_t{real_rows});
  if (real_rows < columns) {
    T* const zeros = arena.take<T>(stride);
    for (int64_t k = 0; k < stride; ++k) zeros[k] = k < columns ? 0 : -P::infinity;
    p.zeros = zeros;
    p.blocked = arena.take<T>(stride);
  }
  p.remembers = columns > P::worth_remembering;
  if (p.remembers) {
    p.remembered = arena.take<T>(int64_t{columns} * P::candidates);
    p.remembered_at = arena.take<Index>(int64_t{columns} * P::candidates);
    p.others = arena.take<T>(columns);
  }
  p.copy = arena.take<T>(stride * real_rows);  // last: mostly it is not touched
}

// ---------------------------------------------------------------- rows

template <class T>
struct Row {
  const T* whole;
  const T* tail;
};

template <class P>
SEMRSM_INLINE Row<typename P::Value> real_row(const P& p, int i) {
  return {p.a + i * p.step, p.tails + i * p.tail_step};
}

// Any row: those beyond the rows of the matrix are rows of zeros.
template <class P>
SEMRSM_INLINE Row<typename P::Value> row_at(const P& p, int i) {
  if (__builtin_expect(i < p.real_rows, 1)) return real_row(p, i);
  return {p.zeros, p.zeros + p.whole};
}

template <class P>
SEMRSM_INLINE typename P::Value entry(const P& p, Row<typename P::Value> row, int64_t k) {
  return k < p.whole ? row.whole[k] : row.tail[k - p.whole];
}

// Calls step(vector of the row, first column) for each vector of a row.
template <class P, class Step>
SEMRSM_INLINE void for_vectors(const P& p, Row<typename P::Value> row, const Step& step) {
  int64_t k = 0;
  for (; k < p.whole; k += P::lanes) step(P::S::load(row.whole + k), k);
  if (k < p.stride) step(P::S::load(row.tail), k);
}

template <class P>
SEMRSM_INLINE typename P::Indices lane_numbers() {
  typename P::Indices lane;
  for (int l = 0; l < P::lanes; ++l) lane[l] = l;
  return lane;
}

}  // namespace
