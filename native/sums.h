// Sums in float64 that are never below the exact ones.
#pragma once

#include <float.h>
#include <math.h>
#include <stdint.h>

namespace {

constexpr double unit = DBL_EPSILON / 2;  // of one rounding: fl(x) lies within unit * |fl(x)| of x

// The smallest number that is at least x + y.
inline double add_upwards(double x, double y) {
  const double sum = x + y, of_y = sum - x;
  const double lost = (x - (sum - of_y)) + (y - of_y);  // exactly (Knuth's TwoSum)
  return lost > 0 ? nextafter(sum, static_cast<double>(INFINITY)) : sum;
}

// A compensated sum: what each addition loses is known exactly, and summed as well. Exact terms whose
// sums are exact too give the exact sum, not one above it.
class ExactSum {
 public:
  inline void add(double term) {
    const double sum = sum_ + term, of_term = sum - sum_;
    const double lost = (sum_ - (sum - of_term)) + (term - of_term);
    sum_ = sum;
    lost_ += lost;
    size_ += fabs(lost);
    ++count_;
  }
  double nearest() const { return sum_ + lost_; }
  // At least the exact sum plus `more` >= 0. The sum of the losses is off by at most count * unit times
  // the sum of their sizes (each known to a factor of 1 + count * unit), for which twice that stands.
  double upwards(double more) const {
    const double error = (static_cast<double>(count_) + 4) * DBL_EPSILON * size_;
    return add_upwards(sum_, add_upwards(add_upwards(lost_, error), more));
  }

 private:
  double sum_ = 0, lost_ = 0, size_ = 0;
  int64_t count_ = 0;
};

// A plain sum that keeps the sum of the sizes of its terms: n additions are off by at most
// n * unit / (1 - n * unit) times that, for which twice n * unit stands. For bounds that decide at
// once and are seldom close.
class QuickSum {
 public:
  inline void add(double term) {
    sum_ += term;
    size_ += fabs(term);
  }
  double upwards(int64_t count) const {
    return add_upwards(sum_, static_cast<double>(count) * DBL_EPSILON * size_);
  }

 private:
  double sum_ = 0, size_ = 0;
};

}  // namespace
