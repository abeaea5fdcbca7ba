// Exact assignment between two grids of vectors where partners are at most r cells apart: a band of
// (2r + 1)^2 affinities for each row, computed here, so that the whole matrix never exists.
//
// The method is that of the dense solver: an auction with eps-scaling, then shortest augmenting
// paths from the rows that are left, and a dual bound from the final prices, all in float64.
#include "banded.h"

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <utility>
#include <vector>

namespace semrsm {
namespace {

// Several sums, so that the compiler can keep them in one vector register.
template <class T, class Sum = T>
Sum dot(const T* a, const T* b, int64_t channels) {
  Sum sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  int64_t c = 0;
  for (; c + 8 <= channels; c += 8) {
    for (int k = 0; k < 8; ++k) sums[k] += Sum(a[c + k]) * Sum(b[c + k]);
  }
  for (; c < channels; ++c) sums[0] += Sum(a[c]) * Sum(b[c]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// sum over s of <x_s, y_matching[s]> in float64; -1 leaves a vector out.
template <class T>
double matched_sum(const T* x, const T* y, const int32_t* matching, int64_t rows, int64_t stride,
                   int64_t channels) {
  double sum = 0;
  for (int64_t s = 0; s < rows; ++s) {
    if (matching[s] >= 0) sum += dot<T, double>(x + s * stride, y + matching[s] * stride, channels);
  }
  return sum;
}

// The solver for pairs of one grid; its arrays are used again from pair to pair.
class Banded {
 public:
  Banded(int64_t height, int64_t width, int64_t radius, const volatile uint8_t* cancelled)
      : height_(height), width_(width), radius_(radius), side_(2 * radius + 1),
        rows_(height * width), band_(side_ * side_), line_(width + 2 * radius),
        cancelled_(cancelled) {
    // Columns lie in a grid with a border, so that no row has to know where the image ends.
    const size_t columns = size_t((height + 2 * radius) * line_);
    affinity_.resize(size_t(rows_ * band_));
    gains_.assign(size_t((band_ + 7) / 8 * 8), -std::numeric_limits<double>::infinity());
    price_.resize(columns);
    owner_.resize(columns);
    column_.resize(size_t(rows_));
    distance_.resize(columns);
    from_.resize(columns);
    seen_.assign(columns, 0);
    closed_.assign(columns, 0);
  }

  // Fills the band; false if an affinity is not finite.
  template <class T>
  bool load(const T* x, const T* y, int64_t channels) {
    const double none = -std::numeric_limits<double>::infinity();
    bool finite = true;
    for (int64_t i = 0; i < height_; ++i) {
      for (int64_t j = 0; j < width_; ++j) {
        const int64_t s = i * width_ + j;
        double* out = affinity_.data() + s * band_;
        for (int64_t a = i - radius_; a <= i + radius_; ++a) {
          for (int64_t b = j - radius_; b <= j + radius_; ++b, ++out) {
            if (a < 0 || a >= height_ || b < 0 || b >= width_) {
              *out = none;
              continue;
            }
            *out = double(dot(x + s * channels, y + (a * width_ + b) * channels, channels));
            finite = finite && std::isfinite(*out);
          }
        }
      }
    }
    return finite;
  }

  // Solves the loaded pair; false if cancelled. `assigned` (rows) gets the column of each row.
  bool solve(double* value, double* bound, int32_t* assigned) {
    std::fill(price_.begin(), price_.end(), 0.0);
    std::fill(owner_.begin(), owner_.end(), -1);
    std::fill(column_.begin(), column_.end(), int64_t(-1));
    const double spread = mean_spread();
    if (spread > 0) {
      for (double step = spread / 16; step > spread * 1e-3; step /= 6) {
        if (!auction(step)) return false;
      }
    }
    // Without a step a row ends with its very best column, as augmenting paths need it.
    if (!auction(0)) return false;
    for (int64_t s = 0; s < rows_; ++s) {
      if (column_[s] < 0) {
        if (*cancelled_) return false;
        augment(s);
      }
    }
    double sum = 0, dual = 0;
    for (int64_t s = 0; s < rows_; ++s) {
      sum += affinity_[s * band_ + entry_of(s, column_[s])];
      dual += price_[column_[s]] + best(s).top;
      const int64_t row = column_[s] / line_ - radius_, across = column_[s] % line_ - radius_;
      assigned[s] = int32_t(row * width_ + across);
    }
    *value = sum;
    *bound = std::max(dual, sum);
    return true;
  }

 private:
  // The first column of the band of a row, in the grid with a border.
  int64_t corner(int64_t s) const { return (s / width_) * line_ + s % width_; }

  int64_t entry_of(int64_t s, int64_t column) const {
    const int64_t from = column - corner(s);
    return (from / line_) * side_ + from % line_;
  }

  struct Best {
    double top, second;
    int64_t at;  // the column of the largest gain
  };

  // The two largest gains of a row, affinity less price. Branches would be guessed wrong half of the
  // time, so all gains are written out, and eight running maxima and runners-up are kept abreast.
  Best best(int64_t s) {
    switch (side_) {
      case 3: return best_of<3>(s);
      case 5: return best_of<5>(s);
      case 7: return best_of<7>(s);
      case 9: return best_of<9>(s);
      default: return best_of<0>(s);
    }
  }

  template <int Side>
  Best best_of(int64_t s) {
    const int64_t side = Side ? Side : side_;
    const double* a = affinity_.data() + s * band_;
    const double* price = price_.data() + corner(s);
    double* gains = gains_.data();
    for (int64_t i = 0; i < side; ++i, a += side, price += line_, gains += side) {
      for (int64_t j = 0; j < side; ++j) gains[j] = a[j] - price[j];
    }
    const double none = -std::numeric_limits<double>::infinity();
    double tops[8], seconds[8];
    for (int k = 0; k < 8; ++k) tops[k] = gains_[k], seconds[k] = none;
    const double* all = gains_.data();
    const int64_t count = int64_t(gains_.size());  // filled up with -inf
    for (int64_t e = 8; e < count; e += 8) {
      for (int k = 0; k < 8; ++k) {
        const double gain = all[e + k];
        const double lower = gain < tops[k] ? gain : tops[k];
        seconds[k] = lower > seconds[k] ? lower : seconds[k];
        tops[k] = gain > tops[k] ? gain : tops[k];
      }
    }
    Best found = {tops[0], seconds[0], -1};
    for (int k = 1; k < 8; ++k) {
      const double lower = tops[k] < found.top ? tops[k] : found.top;
      found.second = std::max(found.second, std::max(lower, seconds[k]));
      found.top = std::max(found.top, tops[k]);
    }
    int64_t e = 0;
    while (all[e] != found.top) ++e;
    found.at = corner(s) + (e / side) * line_ + e % side;
    return found;
  }

  double mean_spread() const {
    double total = 0;
    for (int64_t s = 0; s < rows_; ++s) {
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      int64_t count = 0;
      for (const double* a = affinity_.data() + s * band_, *end = a + band_; a != end; ++a) {
        if (!std::isfinite(*a)) continue;
        top = std::max(top, *a);
        sum += *a;
        ++count;
      }
      total += top - sum / double(count);
    }
    return total / double(std::max<int64_t>(rows_, 1));
  }

  // One phase: rows bid for the column of largest gain, `step` above the second best.
  bool auction(double step) {
    queue_.clear();
    for (int64_t s = 0; s < rows_; ++s) {
      const int64_t own = column_[s];
      if (own >= 0) {
        const double gain = affinity_[s * band_ + entry_of(s, own)] - price_[own];
        if (gain >= best(s).top - step) continue;  // it would not bid again
        owner_[own] = -1;
        column_[s] = -1;
      }
      queue_.push_back(s);
    }
    // A war of prices between rows that are alike is left to the augmenting paths.
    int64_t bids = 40 * rows_;
    for (size_t next = 0; next < queue_.size() && bids > 0; ++next, --bids) {
      if ((next & 1023) == 0 && *cancelled_) return false;
      const int64_t s = queue_[next];
      const Best found = best(s);
      const int64_t at = found.at;
      // Where there is only one column, there is no second best.
      const double second = std::isfinite(found.second) ? found.second : found.top;
      const int64_t loser = owner_[at];
      const double raise = found.top - second + step;
      if (loser >= 0 && !(raise > 0)) continue;  // a tie: left to the augmenting paths
      price_[at] += raise;
      if (loser >= 0) {
        column_[loser] = -1;
        queue_.push_back(loser);
      }
      owner_[at] = s;
      column_[s] = at;
    }
    return true;
  }

  // The shortest augmenting path from a free row (Dijkstra over columns), and the new prices.
  void augment(int64_t start) {
    using Entry = std::pair<double, int64_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> open;
    ++epoch_;
    scanned_.clear();
    int64_t s = start;
    double reached = 0;
    int64_t end = -1;
    while (true) {
      const double* a = affinity_.data() + s * band_;
      const int64_t own = column_[s];
      const double gain =
          own < 0 ? best(s).top : affinity_[s * band_ + entry_of(s, own)] - price_[own];
      int64_t first = corner(s);
      for (int64_t i = 0; i < side_; ++i, a += side_, first += line_) {
        for (int64_t j = 0; j < side_; ++j) {
          const int64_t t = first + j;
          const double length = reached + std::max(0.0, gain - (a[j] - price_[t]));
          if (!(length < std::numeric_limits<double>::infinity())) continue;  // off the image
          if (seen_[t] != epoch_ || length < distance_[t]) {
            seen_[t] = epoch_;
            distance_[t] = length;
            from_[t] = s;
            open.push({length, t});
          }
        }
      }
      while (true) {  // a perfect matching exists, so there is always one
        const Entry top = open.top();
        open.pop();
        end = top.second;
        if (top.first == distance_[end] && closed_[end] != epoch_) {
          reached = top.first;
          break;
        }
      }
      if (owner_[end] < 0) break;
      scanned_.push_back({end, reached});
      closed_[end] = epoch_;
      s = owner_[end];
    }
    for (const std::pair<int64_t, double>& one : scanned_) price_[one.first] += reached - one.second;
    for (int64_t t = end; t >= 0;) {
      const int64_t row = from_[t], next = column_[row];
      owner_[t] = row;
      column_[row] = t;
      t = row == start ? -1 : next;
    }
  }

  const int64_t height_, width_, radius_, side_, rows_, band_, line_;
  const volatile uint8_t* cancelled_;
  std::vector<double> affinity_, price_, distance_, gains_;
  std::vector<int64_t> owner_, column_, from_, queue_, seen_, closed_;
  std::vector<std::pair<int64_t, double>> scanned_;
  int64_t epoch_ = 0;
};

}  // namespace

template <class T>
Outcome solve_banded(const ImagePairs<T>& pairs, int64_t height, int64_t width, int64_t radius,
                     const volatile uint8_t* cancelled, double* values, double* upper_bounds,
                     int32_t* assigned) {
  Banded solver(height, width, radius, cancelled);
  for (int64_t p = 0; p < pairs.count; ++p) {
    if (!solver.load(pairs.left + pairs.rows[p], pairs.right + pairs.columns[p], pairs.channels)) {
      return {Status::not_finite, p};
    }
    if (!solver.solve(values + p, upper_bounds + p, assigned + p * height * width)) {
      return {Status::cancelled, p};
    }
  }
  return {Status::done, 0};
}

template <class T>
void matched_sums(const ImagePairs<T>& pairs, int64_t size, const int32_t* matchings,
                  double* values) {
  for (int64_t p = 0; p < pairs.count; ++p) {
    values[p] = matched_sum(pairs.left + pairs.rows[p], pairs.right + pairs.columns[p],
                            matchings + p * size, size, pairs.stride, pairs.channels);
  }
}

template Outcome solve_banded(const ImagePairs<float>&, int64_t, int64_t, int64_t,
                              const volatile uint8_t*, double*, double*, int32_t*);
template Outcome solve_banded(const ImagePairs<double>&, int64_t, int64_t, int64_t,
                              const volatile uint8_t*, double*, double*, int32_t*);
template void matched_sums(const ImagePairs<float>&, int64_t, const int32_t*, double*);
template void matched_sums(const ImagePairs<double>&, int64_t, const int32_t*, double*);

}  // namespace semrsm
