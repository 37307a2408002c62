// Conversion of arrays. Python checks arguments and explains errors before it calls; a binding only refuses.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/without_gil.hpp"
#include "core/row_set.hpp"
#include "kernels/kernel_table.hpp"
#include "parallel/parallel_for.hpp"
#include "scan/linear_scan.hpp"

namespace hashkit::bindings {

namespace py = pybind11;

// C-contiguous arrays of exactly this type; every argument of this type is declared noconvert().
template <class Value>
using Array = py::array_t<Value, py::array::c_style>;

inline void require(bool condition, const char* message) {
  if (!condition) throw py::value_error(message);
}

inline CodesView view_codes(const Array<uint8_t>& codes) {
  require(codes.ndim() == 2, "codes must have two dimensions");
  const auto n_bytes = static_cast<size_t>(codes.shape(1));
  require(n_bytes >= 1 && n_bytes <= kMaxBytes, "codes must have 1 to 512 bytes");
  return {codes.data(), static_cast<size_t>(codes.shape(0)), n_bytes};
}

// A bitmap of n_rows rows.
inline RowSet view_row_set(const Array<uint8_t>& rows, size_t n_rows) {
  require(rows.ndim() == 1 && static_cast<size_t>(rows.size()) == (n_rows + 7) / 8,
          "rows must have a bit for each code");
  return {rows.data()};
}

using MaybeRows = std::optional<Array<uint8_t>>;

inline RowSet view_row_set(const MaybeRows& rows, size_t n_rows) {
  return rows ? view_row_set(*rows, n_rows) : RowSet{};
}

using MaybeMask = std::optional<Array<bool>>;

// The rows in a bitmap, or all rows; and of these the ones whose entry in a mask is true.
class MaskedRows {
 public:
  MaskedRows(const MaybeRows& bitmap, const MaybeMask& mask, size_t n_rows) : set_(view_row_set(bitmap, n_rows)) {
    if (!mask) return;
    if (bitmap) {
      ranks_ = without_gil([&] { return ranks_of(set_.bits, n_rows); });
      set_.ranks = ranks_.data();
    }
    set_.mask = reinterpret_cast<const uint8_t*>(mask->data());
    require(mask->ndim() == 1 && static_cast<size_t>(mask->size()) == (bitmap ? ranks_.back() : n_rows),
            "mask must have an entry for each row");
  }
  MaskedRows(const MaskedRows&) = delete;
  MaskedRows& operator=(const MaskedRows&) = delete;

  RowSet set() const noexcept { return set_; }

 private:
  RowSet set_;
  std::vector<size_t> ranks_;
};

// The number of threads that a call may use, 1 to kMaxThreads.
struct ThreadCount {
  size_t n = 1;
  operator size_t() const noexcept { return n; }
};

// The table of the named instruction set; of the default one if the name is empty.
inline const KernelTable& kernels_named(const std::string& isa) {
  return kernel_table(isa.empty() ? default_isa() : isa_from_name(isa));
}

// Passes a vector to numpy without a copy.
template <class Value, class Allocator>
py::array_t<Value> to_array(std::vector<Value, Allocator>&& values) {
  using Vector = std::vector<Value, Allocator>;
  auto owned = std::make_unique<Vector>(std::move(values));
  const py::capsule owner(owned.get(), [](void* p) { delete static_cast<Vector*>(p); });
  const Vector* vector = owned.release();  // the capsule's, now that there is one
  return py::array_t<Value>(static_cast<py::ssize_t>(vector->size()), vector->data(), owner);
}

// Distances and rows of the k nearest of each query, as search(distances, rows, stats) fills them in. If `counts` are
// given, its rows become what columns(stats) makes of the stats of each query; else there are no stats.
template <class Stats, class Columns, class Search>
py::tuple k_nearest_arrays(size_t n_queries, size_t k, std::optional<Array<int64_t>>& counts, const Columns& columns,
                           const Search& search) {
  py::array_t<int32_t> distances({n_queries, k});
  py::array_t<int64_t> rows({n_queries, k});
  int32_t* to_distances = distances.mutable_data();
  int64_t* to_rows = rows.mutable_data();
  std::vector<Stats> stats(counts ? n_queries : 0);
  without_gil([&] { search(to_distances, to_rows, counts ? stats.data() : nullptr); });
  int64_t* to = counts ? counts->mutable_data() : nullptr;
  for (const Stats& of : stats) {
    for (int64_t value : columns(of)) *to++ = value;
  }
  return py::make_tuple(std::move(distances), std::move(rows));
}

}  // namespace hashkit::bindings

namespace pybind11::detail {

template <>
struct type_caster<hashkit::bindings::ThreadCount> {
  PYBIND11_TYPE_CASTER(hashkit::bindings::ThreadCount, const_name("int"));

  bool load(handle source, bool) {
    if (!PyLong_Check(source.ptr())) return false;
    const size_t n = PyLong_AsSize_t(source.ptr());  // its maximum if there is an error, as for 10**30
    if (PyErr_Occurred() != nullptr) PyErr_Clear();
    if (n < 1 || n > hashkit::kMaxThreads) throw value_error("n_threads must be 1 to 8192");
    value.n = n;
    return true;
  }
};

}  // namespace pybind11::detail
