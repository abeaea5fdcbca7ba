// Exact assignment (maximised) of one matrix or of many, for one vector width.
//
// An epsilon-scaled auction (Bertsekas 1988) finds prices that are nearly right; augmenting row
// reduction and shortest augmenting paths (Jonker & Volgenant 1987) then make them exactly right.
// Whatever the prices are, weak duality makes
//     sum_k price_k + sum_i max_k (A[i, k] - price_k)
// an upper bound on the value of every assignment (for prices that are zero wherever a column may
// stay free), so each result carries a certificate that does not depend on the solver being right.
#pragma once

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simd.h"
#include "solver.h"

namespace {

using semrsm::Batch;
using semrsm::Outcome;
using semrsm::Results;
using semrsm::Stage;
using semrsm::Status;

#define SEMRSM_INLINE inline __attribute__((always_inline))

constexpr int64_t alignment = 64;  // bytes: a cache line, and the widest vector

// Hands out aligned pieces of one allocation.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { free(memory_); }

  bool reserve(int64_t bytes) {
    if (bytes <= size_) {
      used_ = 0;
      return true;
    }
    free(memory_);
    memory_ = nullptr;
    void* fresh = nullptr;
    const bool got = posix_memalign(&fresh, alignment, static_cast<size_t>(bytes)) == 0;
    memory_ = got ? static_cast<char*>(fresh) : nullptr;
    size_ = got ? bytes : 0;
    used_ = 0;
    return got;
  }
  template <class T>
  static int64_t bytes(int64_t count) {
    const int64_t raw = count * static_cast<int64_t>(sizeof(T));
    return (raw + alignment - 1) / alignment * alignment;
  }
  template <class T>
  T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(memory_ + used_);
    used_ += bytes<T>(count);
    return piece;
  }

 private:
  char* memory_ = nullptr;
  int64_t size_ = 0;
  int64_t used_ = 0;
};

struct MatrixView {  // a matrix of the batch, turned so that rows <= columns
  int rows, columns;
  int64_t row_stride, column_stride;
  bool turned;
};

inline MatrixView view_of(int rows, int columns, int64_t row_stride, int64_t column_stride) {
  if (rows <= columns) return {rows, columns, row_stride, column_stride, false};
  return {columns, rows, column_stride, row_stride, true};
}

template <class T, int Bytes>
struct Solver {
  using S = Simd<T, Bytes>;
  using Vector = typename S::Vector;
  using Index = typename S::Index;
  using Indices = typename S::Indices;
  static constexpr int lanes = S::size;
  static constexpr int worth_remembering = 400;  // columns; shorter rows are as fast to read again
  static constexpr T infinity = static_cast<T>(INFINITY);

  // Everything that one matrix needs while it is being solved.
  struct Problem {
    const T* a;        // row i starts at a + i * step; `stride` elements of it may be read
    int64_t step;
    T* copy;           // (rows, stride) room for a copy of the matrix, padded with -infinity
    T* price;          // (stride)
    int32_t* row_of;   // (columns) row that holds the column, or -1
    int32_t* column_of;  // (rows)
    int32_t* free_rows;  // (rows) a stack
    T* distance;         // (stride)
    Index* open;         // (stride) all bits set where the column is free
    Index* through;      // (stride) row from which the shortest path reaches the column
    T* path_price;       // (stride) prices, infinite where the column has been passed
    int32_t* passed;     // (columns)
    T* passed_distance;  // (columns)
    T* remembered;         // (rows, candidates) affinities of the columns that lead in their lanes
    Index* remembered_at;  // (rows, candidates) those columns
    T* others;             // (rows) the largest value of any other column when they were found
    int free_count;
    int rows, columns;
    int64_t stride;  // the columns rounded up to whole vectors: the length of every array of columns
    T epsilon, last_epsilon;
    bool remembers;
    int64_t bids_left;
    T smallest, largest;  // of the entries
    int exponent;         // the entries were divided by two to this power
    int64_t matrix;       // which one of the batch
    MatrixView view;
    bool live;
  };

  static int64_t stride_of(int columns) { return (columns + lanes - 1) / lanes * lanes; }
  static int64_t bytes_of(int rows, int columns) {
    const int64_t stride = stride_of(columns);
    return Arena::bytes<T>(stride * rows) + 3 * Arena::bytes<T>(stride) +
           2 * Arena::bytes<Index>(stride) + 2 * Arena::bytes<int32_t>(columns) +
           2 * Arena::bytes<int32_t>(rows) + Arena::bytes<T>(columns) +
           (columns <= worth_remembering ? 0 : bytes_to_remember(rows));
  }
  static int64_t bytes_to_remember(int rows) {
    return Arena::bytes<T>(int64_t{rows} * candidates) +
           Arena::bytes<Index>(int64_t{rows} * candidates) + Arena::bytes<T>(rows);
  }
  static void place(Problem& p, Arena& arena, int rows, int columns) {
    const int64_t stride = stride_of(columns);
    p.copy = arena.take<T>(stride * rows);
    p.price = arena.take<T>(stride);
    p.distance = arena.take<T>(stride);
    p.path_price = arena.take<T>(stride);
    p.through = arena.take<Index>(stride);
    p.open = arena.take<Index>(stride);
    p.row_of = arena.take<int32_t>(columns);
    p.passed = arena.take<int32_t>(columns);
    p.column_of = arena.take<int32_t>(rows);
    p.free_rows = arena.take<int32_t>(rows);
    p.passed_distance = arena.take<T>(columns);
    p.remembers = columns > worth_remembering;
    if (p.remembers) {
      p.remembered = arena.take<T>(int64_t{rows} * candidates);
      p.remembered_at = arena.take<Index>(int64_t{rows} * candidates);
      p.others = arena.take<T>(rows);
    }
  }

  // ---------------------------------------------------------------- the two inner loops

  struct TopTwo {
    T best, second;
    int at;
  };

  // Best and second best of A - price in each lane of a few vectors, and the columns of the best.
  static constexpr int kept = 16 / lanes < 1 ? 1 : (16 / lanes > 4 ? 4 : 16 / lanes);
  static constexpr int chains = kept < 2 ? 2 : kept;  // dependent operations that run side by side
  static constexpr int candidates = kept * lanes;
  struct Leaders {
    Vector best[chains], second[chains];
    Indices at[chains];
  };

  // One pass over a row of A - price.
  static SEMRSM_INLINE Leaders scan_row(const T* row, const T* price, int64_t width) {
    Leaders found;
    for (int u = 0; u < chains; ++u) {
      found.best[u] = found.second[u] = S::all(-infinity);
      found.at[u] = Indices{};
    }
    Indices here = Indices{};
    const auto step = [&](int u, int64_t k) __attribute__((always_inline)) {
      const Vector value = S::load(row + k) - S::load(price + k);
      const Indices better = value > found.best[u];
      found.second[u] = S::max(found.second[u], S::min(value, found.best[u]));
      found.at[u] = better ? here : found.at[u];
      found.best[u] = S::max(value, found.best[u]);
      here += 1;
    };
    int64_t k = 0;
    for (; k + chains * lanes <= width; k += chains * lanes) {
      for (int u = 0; u < chains; ++u) step(u, k + u * lanes);
    }
    for (int u = 0; u < chains - 1; ++u) {
      if (k + u * lanes < width) step(u, k + u * lanes);
    }
    Indices lane;
    for (int l = 0; l < lanes; ++l) lane[l] = l;
    for (int u = 0; u < chains; ++u) found.at[u] = found.at[u] * lanes + lane;
    return found;
  }

  // Merges the vectors from `Remaining` on into the ones before.
  template <int Remaining>
  static SEMRSM_INLINE void merge(Leaders& found) {
    for (int u = Remaining; u < chains; ++u) {
      const int into = u % Remaining;
      const Indices better = found.best[u] > found.best[into];
      found.second[into] = S::max(S::max(found.second[into], found.second[u]),
                                  S::min(found.best[into], found.best[u]));
      found.at[into] = better ? found.at[u] : found.at[into];
      found.best[into] = S::max(found.best[u], found.best[into]);
    }
  }

  static SEMRSM_INLINE TopTwo top_of(Leaders found) {
    merge<1>(found);
    reduce<lanes / 2>(found.best[0], found.second[0], found.at[0]);
    return {found.best[0][0], found.second[0][0], static_cast<int>(found.at[0][0])};
  }

  static SEMRSM_INLINE TopTwo top_two(const T* row, const T* price, int64_t width) {
    return top_of(scan_row(row, price, width));
  }

  // The same from memory, where that is enough: a scan leaves behind the best column of each lane and
  // the largest value among all others. Prices only rise, so no other column can pass that value
  // later; while the best remembered column stays above it, the row need not be read again. The
  // second best is then at most too high, by which a bid gets more careful, never wrong.
  static SEMRSM_INLINE TopTwo top_two_remembered(const Problem& p, int i) {
    const T* const values = p.remembered + static_cast<int64_t>(i) * candidates;
    const Index* const columns = p.remembered_at + static_cast<int64_t>(i) * candidates;
    Leaders found;
    for (int u = 0; u < chains; ++u) {
      found.second[u] = found.best[u] = S::all(-infinity);
      found.at[u] = Indices{};
    }
    for (int u = 0; u < kept; ++u) {
      Vector price;
      for (int l = 0; l < lanes; ++l) price[l] = p.price[columns[u * lanes + l]];
      found.best[u] = S::load(values + u * lanes) - price;
      found.at[u] = *reinterpret_cast<const Indices*>(columns + u * lanes);
    }
    TopTwo top = top_of(found);
    const T others = p.others[i];
    if (top.best > others) {
      top.second = top.second > others ? top.second : others;
      return top;
    }
    return top_two_and_remember(p, i);
  }

  static TopTwo top_two_and_remember(const Problem& p, int i) {
    const T* const row = p.a + i * p.step;
    T* const values = p.remembered + static_cast<int64_t>(i) * candidates;
    Index* const columns = p.remembered_at + static_cast<int64_t>(i) * candidates;
    Leaders found = scan_row(row, p.price, p.stride);
    merge<kept>(found);
    Vector others = found.second[0];
    for (int u = 1; u < kept; ++u) others = S::max(others, found.second[u]);
    T most = others[0];
    for (int l = 1; l < lanes; ++l) most = others[l] > most ? others[l] : most;
    p.others[i] = most;
    for (int u = 0; u < kept; ++u) {
      *reinterpret_cast<Indices*>(columns + u * lanes) = found.at[u];
      for (int l = 0; l < lanes; ++l) values[u * lanes + l] = row[found.at[u][l]];
    }
    if constexpr (kept < chains) {
      for (int u = kept; u < chains; ++u) {
        found.best[u] = found.second[u] = S::all(-infinity);
      }
    }
    return top_of(found);
  }

  template <bool Remembers>
  static SEMRSM_INLINE TopTwo top_two_of(const Problem& p, int i) {
    if constexpr (Remembers) {
      return top_two_remembered(p, i);
    } else {
      return top_two(p.a + i * p.step, p.price, p.stride);
    }
  }

  template <int Shift>
  static SEMRSM_INLINE void reduce(Vector& best, Vector& second, Indices& place) {
    if constexpr (Shift > 0) {
      const Vector other_best = S::template rotate<Shift>(best);
      const Vector other_second = S::template rotate<Shift>(second);
      const Indices other_place = S::template rotate<Shift>(place);
      const Indices better = other_best > best;
      second = S::max(S::max(second, other_second), S::min(best, other_best));
      place = better ? other_place : place;
      best = S::max(other_best, best);
      reduce<Shift / 2>(best, second, place);
    }
  }

  struct Nearest {
    T distance;
    int at;
  };

  // Relaxes all distances through one row and finds the nearest column not yet passed, in one pass.
  // Among equals a free column wins: without that, ties lead through one taken column after another.
  static SEMRSM_INLINE Nearest relax(const Problem& p, int i, T length) {
    const T* const row = p.a + i * p.step;
    const Vector base = S::all(length), far = S::all(infinity);
    const Indices source = S::all_indices(static_cast<Index>(i));
    Vector nearest = far, nearest_open = far;
    Indices at = Indices{}, at_open = Indices{}, here = Indices{};
    for (int64_t k = 0; k < p.stride; k += lanes) {
      const Vector fresh = (base - S::load(row + k)) + S::load(p.path_price + k);
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
    }
    Indices lane;
    for (int l = 0; l < lanes; ++l) lane[l] = l;
    Indices place = at * lanes + lane, place_open = at_open * lanes + lane;
    reduce_nearest<lanes / 2>(nearest, place);
    reduce_nearest<lanes / 2>(nearest_open, place_open);
    if (nearest_open[0] <= nearest[0]) return {nearest_open[0], static_cast<int>(place_open[0])};
    return {nearest[0], static_cast<int>(place[0])};
  }

  template <int Shift>
  static SEMRSM_INLINE void reduce_nearest(Vector& nearest, Indices& place) {
    if constexpr (Shift > 0) {
      const Vector other = S::template rotate<Shift>(nearest);
      const Indices other_place = S::template rotate<Shift>(place);
      const Indices nearer = other < nearest;
      place = nearer ? other_place : place;
      nearest = S::min(other, nearest);
      reduce_nearest<Shift / 2>(nearest, place);
    }
  }

  // ---------------------------------------------------------------- reading a matrix

  // Points at a matrix of whole vectors where it lies, or copies it into its padded place; false where
  // an entry is NaN or infinite.
  static bool read(Problem& p, const T* from, const MatrixView& view) {
    p.view = view;
    p.rows = view.rows;
    p.columns = view.columns;
    p.stride = stride_of(view.columns);
    const bool in_place = view.column_stride == 1 && view.columns == p.stride;
    p.a = in_place ? from : p.copy;
    p.step = in_place ? view.row_stride : p.stride;
    T smallest = infinity, largest = -infinity, poison = 0;
    if (view.column_stride != 1) copy_turned(p, from);
    for (int i = 0; i < view.rows; ++i) {
      T* const target = p.copy + i * p.stride;
      if (view.column_stride == 1 && !in_place) {
        memcpy(target, from + i * view.row_stride, sizeof(T) * static_cast<size_t>(view.columns));
      }
      if (!in_place) {
        for (int64_t k = view.columns; k < p.stride; ++k) target[k] = -infinity;
      }
      scan(p.a + i * p.step, view.columns, smallest, largest, poison);
    }
    if (!(poison == 0)) return false;
    p.smallest = smallest;
    p.largest = largest;
    normalise(p);
    return true;
  }

  static void copy_turned(Problem& p, const T* from) {
    const MatrixView& view = p.view;
    constexpr int block = 16;  // rows of the source per turn: its cache lines are used whole
    for (int first = 0; first < view.rows; first += block) {
      const int last = first + block < view.rows ? first + block : view.rows;
      for (int k = 0; k < view.columns; ++k) {
        const T* source = from + k * view.column_stride;
        for (int i = first; i < last; ++i) p.copy[i * p.stride + k] = source[i * view.row_stride];
      }
    }
  }

  // x - x is zero for a finite x and NaN for any other: `poison` stays zero while all are finite.
  static SEMRSM_INLINE void scan(const T* row, int columns, T& smallest, T& largest, T& poison) {
    Vector low = S::all(smallest), high = S::all(largest), bad = S::all(poison);
    int k = 0;
    for (; k + lanes <= columns; k += lanes) {
      const Vector value = S::load(row + k);
      low = S::min(value, low);
      high = S::max(value, high);
      bad += value - value;
    }
    for (int l = 0; l < lanes; ++l) {
      smallest = low[l] < smallest ? low[l] : smallest;
      largest = high[l] > largest ? high[l] : largest;
      poison += bad[l];
    }
    for (; k < columns; ++k) {
      smallest = row[k] < smallest ? row[k] : smallest;
      largest = row[k] > largest ? row[k] : largest;
      poison += row[k] - row[k];
    }
  }

  // Brings entries near the limits of the type (sums of prices would overflow; differences would be
  // denormal) to the middle of its range by a power of two, which changes no comparison.
  static void normalise(Problem& p) {
    p.exponent = 0;
    const T size = -p.smallest > p.largest ? -p.smallest : p.largest;
    if (size == 0 || (size > T(1e-15) && size < T(1e15))) return;
    (void)frexp(static_cast<double>(size), &p.exponent);
    // In two steps: 2^-exponent itself may not be a number of type T.
    const int half = p.exponent / 2;
    const T first = static_cast<T>(ldexp(1.0, -half));
    const T second = static_cast<T>(ldexp(1.0, half - p.exponent));
    for (int i = 0; i < p.rows; ++i) {
      const T* const row = p.a + i * p.step;
      T* const target = p.copy + i * p.stride;
      for (int k = 0; k < p.columns; ++k) target[k] = row[k] * first * second;
    }
    p.a = p.copy;
    p.step = p.stride;
    p.smallest = p.smallest * first * second;
    p.largest = p.largest * first * second;
  }

  // ---------------------------------------------------------------- auction

  static void start_prices(Problem& p) {
    for (int64_t k = 0; k < p.stride; ++k) p.price[k] = 0;
    if (p.remembers) forget(p);
  }

  // The memory holds while prices rise: new prices start with an empty one.
  static void forget(Problem& p) {
    for (int i = 0; i < p.rows; ++i) p.others[i] = infinity;
    memset(p.remembered, 0, sizeof(T) * static_cast<size_t>(p.rows) * candidates);
    memset(p.remembered_at, 0, sizeof(Index) * static_cast<size_t>(p.rows) * candidates);
  }

  static void free_all(Problem& p) {
    for (int k = 0; k < p.columns; ++k) p.row_of[k] = -1;
    for (int i = 0; i < p.rows; ++i) p.free_rows[i] = p.rows - 1 - i;
    p.free_count = p.rows;
  }

  // The schedule was chosen by measurement on EfficientNet-Lite0 features: it is flat near here.
  static void start_auction(Problem& p) {
    const T range = p.largest - p.smallest;
    p.epsilon = T(0.015) * range;
    p.last_epsilon = T(0.0015) * range;
    start_phase(p);
  }

  static void start_phase(Problem& p) {
    free_all(p);
    p.bids_left = int64_t{64} * p.rows;  // price wars are left to the augmenting paths
  }

  template <bool Remembers>
  static SEMRSM_INLINE void bid(Problem& p) {
    const int i = p.free_rows[p.free_count - 1];
    const TopTwo top = top_two_of<Remembers>(p, i);
    p.price[top.at] += (top.best - top.second) + p.epsilon;
    const int32_t ousted = p.row_of[top.at];
    p.row_of[top.at] = i;
    p.free_rows[p.free_count - 1] = ousted;
    p.free_count -= ousted < 0;
    --p.bids_left;
  }

  // After a phase: true where another one follows.
  static bool next_phase(Problem& p) {
    const bool war = p.free_count > 0;
    if (war || p.epsilon <= p.last_epsilon) return false;
    const T smaller = p.epsilon * T(0.1);
    p.epsilon = smaller > p.last_epsilon ? smaller : p.last_epsilon;
    start_phase(p);
    return true;
  }

  // ---------------------------------------------------------------- exact finish

  // From any prices (zero ones where rows < columns), ends with an optimal assignment.
  static bool finish(Problem& p, const volatile uint8_t* cancelled) {
    reduce_rows(p);
    for (int64_t k = 0; k < p.stride; ++k) p.open[k] = k < p.columns && p.row_of[k] < 0 ? -1 : 0;
    for (int f = 0; f < p.free_count; ++f) {
      if (!augment(p, p.free_rows[f], cancelled)) return false;
    }
    for (int k = 0; k < p.columns; ++k) {
      if (p.row_of[k] >= 0) p.column_of[p.row_of[k]] = k;
    }
    return true;
  }

  // Bids without epsilon: each leaves its row tight. Rows that tie for a taken column stay free.
  static void reduce_rows(Problem& p) {
    for (int k = 0; k < p.columns; ++k) p.row_of[k] = -1;
    p.free_count = 0;
    int64_t bids_left = int64_t{4} * p.rows;
    for (int first = 0; first < p.rows; ++first) {
      int i = first;
      while (true) {
        const TopTwo top = p.remembers ? top_two_of<true>(p, i) : top_two_of<false>(p, i);
        const T raised = p.price[top.at] + (top.best - top.second);
        const int32_t holder = p.row_of[top.at];
        if (holder >= 0 && (!(raised > p.price[top.at]) || bids_left <= 0)) {
          p.free_rows[p.free_count++] = i;
          break;
        }
        p.price[top.at] = raised;
        p.row_of[top.at] = i;
        if (holder < 0) break;
        i = holder;
        --bids_left;
      }
    }
    for (int k = 0; k < p.columns; ++k) {
      if (p.row_of[k] >= 0) p.column_of[p.row_of[k]] = k;
    }
  }

  // Dijkstra from one free row to the nearest free column over the reduced costs.
  static bool augment(Problem& p, int start, const volatile uint8_t* cancelled) {
    memcpy(p.path_price, p.price, sizeof(T) * static_cast<size_t>(p.stride));
    for (int64_t k = 0; k < p.stride; ++k) p.distance[k] = infinity;
    int passed = 0, i = start;
    T length = 0;
    int column;
    while (true) {
      if (*cancelled) return false;
      const Nearest next = relax(p, i, length);
      column = next.at;
      const T at = next.distance;
      if (p.row_of[column] < 0) {
        length = at;
        break;
      }
      p.passed[passed] = column;
      p.passed_distance[passed++] = at;
      p.distance[column] = infinity;
      p.path_price[column] = infinity;
      i = p.row_of[column];
      // The distance to row i, so that relaxing adds its reduced costs A[i, column] - price - ....
      length = at + (p.a[i * p.step + column] - p.price[column]);
    }
    for (int n = 0; n < passed; ++n) {
      // Rounding must never lower a price: where columns may stay free, bounds need it.
      const T rise = length - p.passed_distance[n];
      if (rise > 0) p.price[p.passed[n]] += rise;
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

  // ---------------------------------------------------------------- certificate

  static double upper_bound(const Problem& p) {
    double total = 0;
    for (int k = 0; k < p.columns; ++k) total += static_cast<double>(p.price[k]);
    for (int i = 0; i < p.rows; ++i) {
      double most;
      if (!(p.remembers && most_remembered(p, i, most))) most = most_of_row(p, i);
      total += most;
    }
    return ldexp(total, p.exponent);
  }

  // max_k (A[i, k] - price_k) in float64.
  static double most_of_row(const Problem& p, int i) {
    constexpr int wide = Bytes / static_cast<int>(sizeof(double));
    using D = Simd<double, Bytes>;
    const T* const row = p.a + i * p.step;
    typename D::Vector best = D::all(-static_cast<double>(INFINITY));
    for (int64_t k = 0; k < p.stride; k += wide) {
      best = D::max(widen(row + k) - widen(p.price + k), best);
    }
    double most = best[0];
    for (int l = 1; l < wide; ++l) most = best[l] > most ? best[l] : most;
    return most;
  }

  // The same without reading the row, where a remembered column certainly leads: the others had lower
  // values when they were last read, by more than the rounding of those, and have only fallen since.
  static bool most_remembered(const Problem& p, int i, double& most) {
    const T* const values = p.remembered + static_cast<int64_t>(i) * candidates;
    const Index* const columns = p.remembered_at + static_cast<int64_t>(i) * candidates;
    most = -static_cast<double>(INFINITY);
    for (int c = 0; c < candidates; ++c) {
      const double value =
          static_cast<double>(values[c]) - static_cast<double>(p.price[columns[c]]);
      most = value > most ? value : most;
    }
    const double others = static_cast<double>(p.others[i]);
    const double rounding = sizeof(T) == sizeof(float) ? FLT_EPSILON : DBL_EPSILON;
    return most >= others + fabs(others) * rounding;
  }

  static SEMRSM_INLINE typename Simd<double, Bytes>::Vector widen(const T* from) {
    constexpr int wide = Bytes / static_cast<int>(sizeof(double));
    typedef T Narrow
        __attribute__((vector_size(wide * sizeof(T)), aligned(sizeof(T)), may_alias));
    return __builtin_convertvector(*reinterpret_cast<const Narrow*>(from),
                                   typename Simd<double, Bytes>::Vector);
  }

  // ---------------------------------------------------------------- batches

  static double value_of(const Problem& p, const T* from) {
    double total = 0;
    for (int i = 0; i < p.rows; ++i) {
      if (p.column_of[i] < 0) continue;
      total += static_cast<double>(
          from[i * p.view.row_stride + p.column_of[i] * p.view.column_stride]);
    }
    return total;
  }

  // Writes the columns in the orientation that the caller gave; rows before `first` are not touched.
  static void write_columns(const Problem& p, int32_t* to, int first) {
    if (!p.view.turned) {
      for (int i = first; i < p.rows; ++i) to[i] = p.column_of[i];
      return;
    }
    for (int k = first; k < p.columns; ++k) to[k] = -1;
    for (int i = first; i < p.rows; ++i) {
      if (p.column_of[i] >= 0) to[p.column_of[i]] = i;
    }
  }

  static MatrixView view_of(const Batch<T>& batch, int64_t matrix) {
    return ::view_of(batch.rows[matrix], batch.columns[matrix], batch.row_stride,
                     batch.column_stride);
  }

  static int64_t bytes_of_largest(const Batch<T>& batch) {
    int64_t most = 0;
    for (int64_t m = 0; m < batch.count; ++m) {
      const MatrixView view = view_of(batch, m);
      const int64_t bytes = bytes_of(view.rows, view.columns);
      if (bytes > most) most = bytes;
    }
    return most;
  }

  static void clear(const MatrixView& view, double& value, double& bound, int32_t* assigned) {
    value = bound = 0;
    if (assigned == nullptr) return;
    for (int i = 0; i < (view.turned ? view.columns : view.rows); ++i) assigned[i] = -1;
  }

  // A bid waits for its own loads and comparisons: a few matrices in turn fill those waits, as long as
  // they stay in cache together.
  static Outcome assign(const Batch<T>& batch, const Results& results) {
    const int64_t bytes = bytes_of_largest(batch);
    int widest = 0;
    for (int64_t m = 0; m < batch.count; ++m) {
      const MatrixView view = view_of(batch, m);
      if (view.columns > widest) widest = view.columns;
    }
    if (widest > worth_remembering) {
      return batch.count >= 2 ? assign<2, true>(batch, results, bytes)
                              : assign<1, true>(batch, results, bytes);
    }
    if (batch.count >= 4 && bytes <= 64 * 1024) return assign<4, false>(batch, results, bytes);
    if (batch.count >= 2) return assign<2, false>(batch, results, bytes);
    return assign<1, false>(batch, results, bytes);
  }

  // `Remembers`: whether some matrix is large enough for that.
  template <int abreast, bool Remembers>
  static Outcome assign(const Batch<T>& batch, const Results& results, int64_t bytes) {
    Outcome outcome = {Status::done, 0};
    Arena arenas[abreast];
    Arena arena_for_doubles;
    Problem problems[abreast];
    int64_t next = 0;
    uint32_t rounds = 0;  // of bids: a war for prices can take long
    int live = 0;
    for (int n = 0; n < abreast; ++n) {
      if (!arenas[n].reserve(bytes)) return {Status::out_of_memory, 0};
      problems[n].live =
          begin_next(batch, results, problems[n], arenas[n], arena_for_doubles, next, outcome);
      live += problems[n].live;
    }
    while (live > 0 && outcome.status == Status::done) {
      bool waiting = false;
      for (int n = 0; n < abreast; ++n) {
        Problem& p = problems[n];
        if (!p.live) continue;
        if (Remembers && p.remembers) {
          bid<true>(p);
        } else {
          bid<false>(p);
        }
        waiting |= (p.free_count == 0) | (p.bids_left == 0);
      }
      if ((++rounds & 0xfff) == 0 && *batch.cancelled) return {Status::cancelled, 0};
      if (!waiting) continue;
      for (int n = 0; n < abreast; ++n) {
        Problem& p = problems[n];
        if (!p.live || (p.free_count > 0 && p.bids_left > 0)) continue;
        if (*batch.cancelled) return {Status::cancelled, 0};
        if (!(batch.stop_below && stop(batch, results, p, upper_bound(p), Stage::auction))) {
          if (next_phase(p)) continue;
          conclude(batch, results, p, arena_for_doubles, outcome);
        }
        p.live = begin_next(batch, results, p, arenas[n], arena_for_doubles, next, outcome);
        live -= !p.live;
      }
    }
    return outcome;
  }

  // Takes matrices from the batch until one needs an auction; false when none is left.
  static bool begin_next(const Batch<T>& batch, const Results& results, Problem& p, Arena& arena,
                         Arena& arena_for_doubles, int64_t& next, Outcome& outcome) {
    while (next < batch.count && outcome.status == Status::done) {
      if (*batch.cancelled) {
        outcome.status = Status::cancelled;
        return false;
      }
      const int64_t m = next++;
      const MatrixView view = view_of(batch, m);
      if (view.rows == 0) {
        clear(view, results.values[m], results.upper_bounds[m],
              results.assigned ? results.assigned + batch.result_offsets[m] : nullptr);
        continue;
      }
      (void)arena.reserve(0);
      place(p, arena, view.rows, view.columns);
      p.matrix = m;
      if (batch.stop_below && stop(batch, results, p, bound_in_place(batch, p), Stage::maxima)) {
        continue;
      }
      if (!read(p, batch.data + batch.offsets[m], view)) {
        outcome.status = Status::not_finite;
        outcome.where = m;
        return false;
      }
      start_prices(p);
      if (batch.stop_below && stop_before_auction(batch, results, p)) continue;
      if (p.rows == p.columns && p.smallest < p.largest) {
        start_auction(p);
        return true;
      }
      // Columns that stay free must keep the price zero, which an auction in phases does not promise.
      conclude(batch, results, p, arena_for_doubles, outcome);
    }
    return false;
  }

  // Finishes one matrix and writes its results.
  static void conclude(const Batch<T>& batch, const Results& results, Problem& p,
                       Arena& arena_for_doubles, Outcome& outcome) {
    const T* const from = batch.data + batch.offsets[p.matrix];
    int32_t* const assigned =
        results.assigned ? results.assigned + batch.result_offsets[p.matrix] : nullptr;
    if (!finish(p, batch.cancelled)) {
      outcome.status = Status::cancelled;
      return;
    }
    if (results.stages) results.stages[p.matrix] = static_cast<uint8_t>(Stage::solved);
    double value = value_of(p, from);
    double bound = upper_bound(p);
    if constexpr (sizeof(T) < sizeof(double)) {
      if (!(bound - value <= batch.tolerance * magnitude(value, bound))) {
        outcome.status = solve_in_double(p, from, batch.cancelled, arena_for_doubles, value, bound,
                                         assigned);
        if (outcome.status != Status::done) return;
        results.values[p.matrix] = value;
        results.upper_bounds[p.matrix] = bound;
        return;
      }
    }
    if (assigned) write_columns(p, assigned, 0);
    results.values[p.matrix] = value;
    results.upper_bounds[p.matrix] = bound > value ? bound : value;  // both are rounded sums
  }

  static double magnitude(double value, double bound) {
    return fabs(value) > fabs(bound) ? fabs(value) : fabs(bound);
  }

  static Status solve_in_double(const Problem& p, const T* from, const volatile uint8_t* cancelled,
                                Arena& arena, double& value, double& bound, int32_t* assigned) {
    using D = Solver<double, Bytes>;
    const int64_t count = static_cast<int64_t>(p.rows) * p.columns;
    if (!arena.reserve(Arena::bytes<double>(count) + D::bytes_of(p.rows, p.columns))) {
      return Status::out_of_memory;
    }
    double* const copy = arena.take<double>(count);
    for (int i = 0; i < p.rows; ++i) {
      for (int k = 0; k < p.columns; ++k) {
        copy[static_cast<int64_t>(i) * p.columns + k] =
            static_cast<double>(from[i * p.view.row_stride + k * p.view.column_stride]);
      }
    }
    typename D::Problem q;
    D::place(q, arena, p.rows, p.columns);
    (void)D::read(q, copy, {p.rows, p.columns, p.columns, 1, p.view.turned});
    D::start_prices(q);
    if (p.rows == p.columns) {  // the prices found in float are nearly right
      for (int k = 0; k < p.columns; ++k) {
        q.price[k] = ldexp(static_cast<double>(p.price[k]), p.exponent - q.exponent);
      }
    }
    if (!D::finish(q, cancelled)) return Status::cancelled;
    value = D::value_of(q, copy);
    bound = D::upper_bound(q);
    bound = bound > value ? bound : value;
    if (assigned) D::write_columns(q, assigned, 0);
    return Status::done;
  }

  // ---------------------------------------------------------------- leaving matrices unsolved

  // min(sum of row maxima, sum of column maxima) where the matrix lies, before anything is copied:
  // most matrices of a search need no more. NaN where bound_of_maxima() must decide: entries that are
  // not finite, or nearly so, and rows shorter than a vector.
  static double bound_in_place(const Batch<T>& batch, const Problem& p) {
    constexpr int together = 4;  // rows for each time that the maxima of the columns are read
    const int rows = batch.rows[p.matrix], columns = batch.columns[p.matrix];
    if (batch.column_stride != 1 || columns < lanes) return static_cast<double>(NAN);
    const T* const from = batch.data + batch.offsets[p.matrix];
    T* const column_maxima = p.distance;
    for (int k = 0; k < columns; ++k) column_maxima[k] = -infinity;
    Vector sums[together] = {};  // of everything: not finite if an entry is not
    double by_rows = 0, by_columns = 0;
    for (int first = 0; first < rows; first += together) {
      const T* row[together];
      Vector most[together];
      for (int u = 0; u < together; ++u) {  // the last row again, where there are no more
        row[u] = from + (first + u < rows ? first + u : rows - 1) * batch.row_stride;
        most[u] = S::all(-infinity);
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
      for (; k + lanes <= columns; k += lanes) step(k);
      if (k < columns) step(columns - lanes);  // some columns again, which changes no maximum
      for (int u = 0; u < together && first + u < rows; ++u) {
        by_rows += static_cast<double>(highest_of<lanes / 2>(most[u]));
      }
    }
    T total = 0;
    for (int u = 0; u < together; ++u) {
      for (int l = 0; l < lanes; ++l) total += sums[u][l];
    }
    if (!(total - total == 0)) return static_cast<double>(NAN);
    for (int k = 0; k < columns; ++k) by_columns += static_cast<double>(column_maxima[k]);
    if (rows != columns) return rows < columns ? by_rows : by_columns;  // of the larger some stay free
    return by_rows < by_columns ? by_rows : by_columns;
  }

  template <int Shift>
  static SEMRSM_INLINE T highest_of(Vector value) {
    if constexpr (Shift > 0) {
      return highest_of<Shift / 2>(S::max(S::template rotate<Shift>(value), value));
    } else {
      return value[0];
    }
  }

  // Tries the bounds that cost a pass over the matrix each; true where one of them is low enough.
  static bool stop_before_auction(const Batch<T>& batch, const Results& results, Problem& p) {
    if (stop(batch, results, p, bound_of_maxima(p), Stage::maxima)) return true;
    if (p.rows == p.columns && stop(batch, results, p, reduced_bound(p), Stage::reduced)) return true;
    if (batch.prices == nullptr || p.view.turned) return false;
    const T* const prices = batch.prices + batch.price_offsets[p.matrix];
    const T scale = static_cast<T>(ldexp(1.0, -p.exponent));
    for (int k = 0; k < p.columns; ++k) p.price[k] = prices[k] * scale;
    const bool enough = stop(batch, results, p, upper_bound(p), Stage::prices);
    start_prices(p);
    return enough;
  }

  static bool stop(const Batch<T>& batch, const Results& results, const Problem& p, double bound,
                   Stage stage) {
    if (!(bound < batch.stop_below[p.matrix])) return false;
    results.values[p.matrix] = static_cast<double>(NAN);
    results.upper_bounds[p.matrix] = bound;
    results.stages[p.matrix] = static_cast<uint8_t>(stage);
    return true;
  }

  // The dual bound at row prices r_i = max_k A[i, k] and column prices max_i (A[i, k] - r_i), which
  // are below zero where a column leads in no row; and the same with rows and columns exchanged. For
  // square matrices only. bound_of_maxima() has left the maxima of the rows and of the columns.
  static double reduced_bound(const Problem& p) {
    const T* const row_maxima = p.passed_distance;
    double by_rows = 0, by_columns = 0;
    for (int64_t k = 0; k < p.stride; ++k) {
      p.path_price[k] = -infinity;
      if (k >= p.columns) p.distance[k] = 0;
    }
    for (int i = 0; i < p.rows; ++i) {
      const T* const row = p.a + i * p.step;
      const Vector highest = S::all(row_maxima[i]);
      Vector most = S::all(-infinity);
      for (int64_t k = 0; k < p.stride; k += lanes) {
        const Vector value = S::load(row + k);
        most = S::max(value - S::load(p.distance + k), most);
        S::store(p.path_price + k, S::max(value - highest, S::load(p.path_price + k)));
      }
      T least = most[0];
      for (int l = 1; l < lanes; ++l) least = most[l] > least ? most[l] : least;
      by_rows += static_cast<double>(row_maxima[i]);
      by_columns += rounded_up(least);
    }
    for (int k = 0; k < p.columns; ++k) {
      by_rows += rounded_up(p.path_price[k]);
      by_columns += static_cast<double>(p.distance[k]);
    }
    return ldexp(by_rows < by_columns ? by_rows : by_columns, p.exponent);
  }

  // A difference that is not above zero, and was rounded in T, from above.
  static double rounded_up(T difference) {
    const double rounding = sizeof(T) == sizeof(float) ? FLT_EPSILON : DBL_EPSILON;
    return static_cast<double>(difference) * (1 - rounding);
  }

  // ---------------------------------------------------------------- greedy

  struct Ranked {
    T best;
    int32_t row;
  };
  static int compare(const void* left, const void* right) {  // descending; ties by row
    const Ranked& a = *static_cast<const Ranked*>(left);
    const Ranked& b = *static_cast<const Ranked*>(right);
    if (a.best != b.best) return a.best > b.best ? -1 : 1;
    return a.row < b.row ? -1 : 1;
  }

  // Rows in descending order of their best affinity, each taking its best free column. The first
  // batch.taken rows and columns are left out of the matching, but not of the bound.
  static Outcome greedy(const Batch<T>& batch, const Results& results) {
    Arena arena;
    const int64_t bytes = bytes_of_largest(batch);
    for (int64_t m = 0; m < batch.count; ++m) {
      if (*batch.cancelled) return {Status::cancelled, 0};
      const MatrixView view = view_of(batch, m);
      int32_t* const assigned =
          results.assigned ? results.assigned + batch.result_offsets[m] : nullptr;
      if (view.rows == 0) {
        clear(view, results.values[m], results.upper_bounds[m], assigned);
        continue;
      }
      if (!arena.reserve(bytes + Arena::bytes<Ranked>(view.columns))) {
        return {Status::out_of_memory, 0};
      }
      Problem p;
      place(p, arena, view.rows, view.columns);
      Ranked* const ranked = arena.take<Ranked>(view.rows);
      if (!read(p, batch.data + batch.offsets[m], view)) return {Status::not_finite, m};
      start_prices(p);
      results.upper_bounds[m] = bound_of_maxima(p);

      const int taken = batch.taken < view.rows ? static_cast<int>(batch.taken) : view.rows;
      for (int k = 0; k < taken; ++k) p.price[k] = infinity;  // no one can afford it
      for (int i = 0; i < taken; ++i) p.column_of[i] = -1;
      for (int i = taken; i < view.rows; ++i) {
        ranked[i] = {top_two(p.a + i * p.step, p.price, p.stride).best, i};
      }
      qsort(ranked + taken, static_cast<size_t>(view.rows - taken), sizeof(Ranked), compare);
      for (int n = taken; n < view.rows; ++n) {
        const int i = ranked[n].row;
        const T* const row = p.a + i * p.step;
        const TopTwo top = top_two(row, p.price, p.stride);
        int best = top.at;
        if (top.second == top.best) {  // of equal columns the first, whatever the vector width is
          best = taken;
          while (row[best] - p.price[best] != top.best) ++best;
        }
        p.column_of[i] = best;
        p.price[best] = infinity;
      }
      results.values[m] = value_of(p, batch.data + batch.offsets[m]);
      if (assigned) write_columns(p, assigned, taken);
    }
    return {Status::done, 0};
  }

  // min(sum of row maxima, sum of column maxima): the dual bound at the prices zero, from each side.
  static double bound_of_maxima(const Problem& p) {
    double by_rows = 0, by_columns = 0;
    for (int64_t k = 0; k < p.stride; ++k) p.distance[k] = -infinity;
    for (int i = 0; i < p.rows; ++i) {
      const T* const row = p.a + i * p.step;
      Vector most = S::all(-infinity);
      for (int64_t k = 0; k < p.stride; k += lanes) {
        const Vector value = S::load(row + k);
        most = S::max(value, most);
        S::store(p.distance + k, S::max(value, S::load(p.distance + k)));
      }
      T highest = most[0];
      for (int l = 1; l < lanes; ++l) highest = most[l] > highest ? most[l] : highest;
      p.passed_distance[i] = highest;
      by_rows += static_cast<double>(highest);
    }
    if (p.rows < p.columns) return ldexp(by_rows, p.exponent);  // some columns stay free
    for (int k = 0; k < p.columns; ++k) by_columns += static_cast<double>(p.distance[k]);
    return ldexp(by_rows < by_columns ? by_rows : by_columns, p.exponent);
  }
};

// The table of one instruction set.
template <int Bytes>
semrsm::Kernels kernels_of(const char* name) {
  return {name, Solver<float, Bytes>::assign, Solver<double, Bytes>::assign,
          Solver<float, Bytes>::greedy, Solver<double, Bytes>::greedy};
}

}  // namespace
