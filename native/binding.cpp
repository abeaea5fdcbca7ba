// The Python module semrsm._native: checks nothing that src/semrsm has checked already.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "banded.h"
#include "solver.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Offsets = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Sizes = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Doubles = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Columns = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Thresholds = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Flag = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Buffer = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::vector<semrsm::Kernels> available_kernels() {
  std::vector<semrsm::Kernels> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
    found.push_back(semrsm::avx512_kernels());
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    found.push_back(semrsm::avx2_kernels());
  }
#endif
  found.push_back(semrsm::baseline_kernels());
  return found;
}

const std::vector<semrsm::Kernels>& all_kernels() {
  static const std::vector<semrsm::Kernels> kernels = available_kernels();
  return kernels;
}

const semrsm::Kernels& kernels_named(const std::string& name) {
  if (name.empty()) return all_kernels().front();
  for (const semrsm::Kernels& kernels : all_kernels()) {
    if (name == kernels.name) return kernels;
  }
  throw std::invalid_argument("this CPU cannot run the kernels '" + name + "'");
}

// Every matrix must lie inside the buffer and every result inside the outputs: memory safety does not
// rest on the caller.
template <class T>
void check(const semrsm::Batch<T>& batch, int64_t size, int64_t columns_size) {
  for (int64_t m = 0; m < batch.count; ++m) {
    const int64_t rows = batch.rows[m], columns = batch.columns[m];
    if (rows < 0 || columns < 0) throw std::invalid_argument("negative size");
    if (columns_size >= 0 && (batch.result_offsets[m] < 0 ||
                              batch.result_offsets[m] + rows > columns_size)) {
      throw std::invalid_argument("the result does not fit into its array");
    }
    if (rows == 0 || columns == 0) continue;
    const int64_t last = batch.offsets[m] + (rows - 1) * batch.row_stride +
                         (columns - 1) * batch.column_stride;
    if (batch.offsets[m] < 0 || last >= size || last < 0) {
      throw std::invalid_argument("the matrix does not lie inside its buffer");
    }
  }
}

// The arguments and results of both kinds of kernel: (status, where) as in semrsm::Outcome. Prices come
// from exact assignments only: S of the rows, then T of the columns, from price_offsets[m] on.
template <class T>
void define(nb::module_& module, const char* name,
            semrsm::Outcome (*semrsm::Kernels::*kernel)(const semrsm::Batch<T>&,
                                                        const semrsm::Results&)) {
  module.def(
      name,
      [kernel](const Buffer<T>& data, const Offsets& offsets, const Sizes& rows,
               const Sizes& columns, const Offsets& result_offsets, int64_t row_stride,
               int64_t column_stride, double tolerance, int64_t taken, const Flag& cancelled,
               const Doubles& values, const Doubles& upper_bounds,
               const std::optional<Columns>& assigned, const std::string& kernels,
               const std::optional<Doubles>& prices, const std::optional<Offsets>& price_offsets) {
        const size_t count = offsets.shape(0);
        if (rows.shape(0) != count || columns.shape(0) != count ||
            result_offsets.shape(0) != count || values.shape(0) != count ||
            upper_bounds.shape(0) != count || cancelled.shape(0) != 1 ||
            prices.has_value() != price_offsets.has_value() ||
            (price_offsets && price_offsets->shape(0) != count)) {
          throw std::invalid_argument("the arrays of the batch differ in length");
        }
        if (row_stride < 0 || column_stride < 0 || taken < 0) {
          throw std::invalid_argument("negative stride or count");
        }
        const semrsm::Batch<T> batch = {
            data.data(),   offsets.data(), rows.data(),   columns.data(),
            result_offsets.data(), static_cast<int64_t>(count), row_stride, column_stride,
            tolerance,     taken,          cancelled.data(), nullptr, nullptr, nullptr};
        check(batch, static_cast<int64_t>(data.shape(0)),
              assigned ? static_cast<int64_t>(assigned->shape(0)) : -1);
        for (size_t m = 0; prices && m < count; ++m) {
          const int64_t first = price_offsets->data()[m];
          const int64_t last = first + rows.data()[m] + columns.data()[m];
          if (first < 0 || last > static_cast<int64_t>(prices->shape(0))) {
            throw std::invalid_argument("the prices do not fit into their array");
          }
        }
        const semrsm::Results results = {values.data(),
                                         upper_bounds.data(),
                                         assigned ? assigned->data() : nullptr,
                                         nullptr,
                                         prices ? prices->data() : nullptr,
                                         price_offsets ? price_offsets->data() : nullptr};
        const semrsm::Kernels& chosen = kernels_named(kernels);
        semrsm::Outcome outcome;
        {
          nb::gil_scoped_release release;
          outcome = (chosen.*kernel)(batch, results);
        }
        if (outcome.status == semrsm::Status::out_of_memory) throw std::bad_alloc();
        return nb::make_tuple(static_cast<int>(outcome.status), outcome.where);
      },
      "data"_a.noconvert(), "offsets"_a.noconvert(), "rows"_a.noconvert(), "columns"_a.noconvert(),
      "result_offsets"_a.noconvert(), "row_stride"_a, "column_stride"_a, "tolerance"_a, "taken"_a,
      "cancelled"_a.noconvert(), "values"_a.noconvert(), "upper_bounds"_a.noconvert(),
      "assigned"_a.noconvert().none(), "kernels"_a, "prices"_a.noconvert().none() = nb::none(),
      "price_offsets"_a.noconvert().none() = nb::none());
}

// Exact assignment of those matrices only whose value may reach `stop_below`.
template <class T>
void define_search(nb::module_& module,
                   semrsm::Outcome (*semrsm::Kernels::*kernel)(const semrsm::Batch<T>&,
                                                               const semrsm::Results&)) {
  module.def(
      "search",
      [kernel](const Buffer<T>& data, const Offsets& offsets, const Sizes& rows,
               const Sizes& columns, int64_t row_stride, double tolerance, const Flag& cancelled,
               const Thresholds& stop_below, const std::optional<Buffer<T>>& prices,
               const std::optional<Offsets>& price_offsets, const Doubles& values,
               const Doubles& upper_bounds, const Bytes& stages, const std::string& kernels) {
        const size_t count = offsets.shape(0);
        if (rows.shape(0) != count || columns.shape(0) != count || values.shape(0) != count ||
            upper_bounds.shape(0) != count || stages.shape(0) != count ||
            stop_below.shape(0) != count || cancelled.shape(0) != 1 ||
            prices.has_value() != price_offsets.has_value() ||
            (price_offsets && price_offsets->shape(0) != count)) {
          throw std::invalid_argument("the arrays of the batch differ in length");
        }
        if (row_stride < 0) throw std::invalid_argument("negative stride");
        const semrsm::Batch<T> batch = {
            data.data(), offsets.data(), rows.data(), columns.data(), offsets.data(),
            static_cast<int64_t>(count), row_stride, 1, tolerance, 0, cancelled.data(),
            stop_below.data(), prices ? prices->data() : nullptr,
            price_offsets ? price_offsets->data() : nullptr};
        check(batch, static_cast<int64_t>(data.shape(0)), -1);
        for (size_t m = 0; prices && m < count; ++m) {
          const int64_t first = price_offsets->data()[m];
          if (first < 0 || first + columns.data()[m] > static_cast<int64_t>(prices->shape(0))) {
            throw std::invalid_argument("the prices do not lie inside their array");
          }
        }
        const semrsm::Results results = {values.data(), upper_bounds.data(), nullptr,
                                         stages.data(), nullptr, nullptr};
        const semrsm::Kernels& chosen = kernels_named(kernels);
        semrsm::Outcome outcome;
        {
          nb::gil_scoped_release release;
          outcome = (chosen.*kernel)(batch, results);
        }
        if (outcome.status == semrsm::Status::out_of_memory) throw std::bad_alloc();
        return nb::make_tuple(static_cast<int>(outcome.status), outcome.where);
      },
      "data"_a.noconvert(), "offsets"_a.noconvert(), "rows"_a.noconvert(), "columns"_a.noconvert(),
      "row_stride"_a, "tolerance"_a, "cancelled"_a.noconvert(), "stop_below"_a.noconvert(),
      "prices"_a.noconvert().none(), "price_offsets"_a.noconvert().none(), "values"_a.noconvert(),
      "upper_bounds"_a.noconvert(), "stages"_a.noconvert(), "kernels"_a);
}

// The images of pairs: offsets of the first vector of both images of each pair, in elements.
template <class T>
void check_pairs(const Buffer<T>& left, const Buffer<T>& right, const Offsets& rows,
                 const Offsets& columns, const Columns& matchings, int64_t size, int64_t stride) {
  const size_t count = rows.shape(0);
  if (columns.shape(0) != count || size < 1 || stride < 1 ||
      matchings.shape(0) != count * size_t(size)) {
    throw std::invalid_argument("the arrays of the pairs differ in length");
  }
  const int64_t image = size * stride;
  for (size_t p = 0; p < count; ++p) {
    if (rows.data()[p] < 0 || columns.data()[p] < 0 ||
        rows.data()[p] + image > int64_t(left.shape(0)) ||
        columns.data()[p] + image > int64_t(right.shape(0))) {
      throw std::invalid_argument("an image does not lie inside its buffer");
    }
  }
}

// Exact assignment of vectors at most `radius` cells apart.
template <class T>
void define_banded(nb::module_& module) {
  module.def(
      "banded",
      [](const Buffer<T>& left, const Buffer<T>& right, const Offsets& rows, const Offsets& columns,
         int64_t height, int64_t width, int64_t channels, int64_t radius, const Flag& cancelled,
         const Doubles& values, const Doubles& upper_bounds, const Columns& assigned) {
        const size_t count = rows.shape(0);
        if (height < 1 || width < 1 || radius < 0 || cancelled.shape(0) != 1 ||
            values.shape(0) != count || upper_bounds.shape(0) != count) {
          throw std::invalid_argument("the arrays of the pairs differ in length");
        }
        const int64_t size = height * width;
        check_pairs(left, right, rows, columns, assigned, size, channels);
        semrsm::Outcome outcome = {semrsm::Status::done, 0};
        {
          nb::gil_scoped_release release;
          const semrsm::ImagePairs<T> pairs = {left.data(),    right.data(), rows.data(),
                                               columns.data(), int64_t(count), channels,
                                               channels};
          outcome = semrsm::solve_banded(pairs, height, width, radius, cancelled.data(),
                                         values.data(), upper_bounds.data(), assigned.data());
        }
        return nb::make_tuple(static_cast<int>(outcome.status), outcome.where);
      },
      "left"_a.noconvert(), "right"_a.noconvert(), "rows"_a.noconvert(), "columns"_a.noconvert(),
      "height"_a, "width"_a, "channels"_a, "radius"_a, "cancelled"_a.noconvert(),
      "values"_a.noconvert(), "upper_bounds"_a.noconvert(), "assigned"_a.noconvert());
}

// The inner products of matched vectors in float64.
template <class T>
void define_matched_sums(nb::module_& module) {
  module.def(
      "matched_sums",
      [](const Buffer<T>& left, const Buffer<T>& right, const Offsets& rows, const Offsets& columns,
         int64_t size, int64_t stride, int64_t channels, const Columns& matchings,
         const Doubles& values) {
        check_pairs(left, right, rows, columns, matchings, size, stride);
        if (channels < 0 || channels > stride || values.shape(0) != rows.shape(0)) {
          throw std::invalid_argument("the arrays of the pairs differ in length");
        }
        for (size_t k = 0; k < matchings.shape(0); ++k) {
          if (matchings.data()[k] >= size) throw std::invalid_argument("not a vector of an image");
        }
        nb::gil_scoped_release release;
        const semrsm::ImagePairs<T> pairs = {left.data(),    right.data(),
                                             rows.data(),    columns.data(),
                                             int64_t(rows.shape(0)), stride, channels};
        semrsm::matched_sums(pairs, size, matchings.data(), values.data());
      },
      "left"_a.noconvert(), "right"_a.noconvert(), "rows"_a.noconvert(), "columns"_a.noconvert(),
      "size"_a, "stride"_a, "channels"_a, "matchings"_a.noconvert(), "values"_a.noconvert());
}

}  // namespace

NB_MODULE(_native, module) {
  module.doc() = "Batched exact and greedy assignment; the public face is semrsm.assign.";
  module.def("kernels", [] {
    nb::list names;
    for (const semrsm::Kernels& kernels : all_kernels()) names.append(kernels.name);
    return names;
  });
  define_banded<float>(module);
  define_banded<double>(module);
  define_matched_sums<float>(module);
  define_matched_sums<double>(module);
  define<float>(module, "assign", &semrsm::Kernels::assign_float);
  define<double>(module, "assign", &semrsm::Kernels::assign_double);
  define_search<float>(module, &semrsm::Kernels::assign_float);
  define_search<double>(module, &semrsm::Kernels::assign_double);
  define<float>(module, "greedy", &semrsm::Kernels::greedy_float);
  define<double>(module, "greedy", &semrsm::Kernels::greedy_double);
}
