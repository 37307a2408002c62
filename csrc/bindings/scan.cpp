#include "bindings/arrays.hpp"
#include "scan/linear_scan.hpp"

namespace hashkit::bindings {
namespace {

void require_same_width(CodesView codes, CodesView queries) {
  require(codes.n_bytes == queries.n_bytes, "queries must have the width of the codes");
}

py::tuple k_nearest_by_scan(const Array<uint8_t>& codes, const Array<uint8_t>& queries, size_t k, ThreadCount n_threads,
                            const MaybeRows& allowed, const std::optional<Array<int32_t>>& limits,
                            const MaybeMask& mask, const std::string& isa) {
  const CodesView stored = view_codes(codes), query_view = view_codes(queries);
  require_same_width(stored, query_view);
  require(!limits || (limits->ndim() == 1 && static_cast<size_t>(limits->size()) == query_view.n_codes),
          "limits must have one entry for each query");
  const int32_t* limit_of = limits ? limits->data() : nullptr;
  const MaskedRows rows_allowed(allowed, mask, stored.n_codes);
  require(k <= stored.n_codes, "k must not exceed the number of codes");
  const KernelTable& kernels = kernels_named(isa);
  py::array_t<int32_t> distances({query_view.n_codes, k});
  py::array_t<int64_t> rows({query_view.n_codes, k});
  int32_t* to_distances = distances.mutable_data();
  int64_t* to_rows = rows.mutable_data();
  without_gil([&] {
    scan_k_nearest(kernels, stored, rows_allowed.set(), query_view, k, n_threads, to_distances, to_rows, limit_of);
  });
  return py::make_tuple(std::move(distances), std::move(rows));
}

py::tuple within_radius_by_scan(const Array<uint8_t>& codes, const Array<uint8_t>& queries, int radius,
                                ThreadCount n_threads, const MaybeRows& allowed, const std::string& isa) {
  const CodesView stored = view_codes(codes), query_view = view_codes(queries);
  require_same_width(stored, query_view);
  const KernelTable& kernels = kernels_named(isa);
  const RowSet rows_allowed = view_row_set(allowed, stored.n_codes);
  auto found =
      without_gil([&] { return scan_within_radius(kernels, stored, rows_allowed, query_view, radius, n_threads); });
  return py::make_tuple(to_array(std::move(found.offsets)), to_array(std::move(found.distances)),
                        to_array(std::move(found.rows)));
}

}  // namespace

static void bind_scan(py::module_& module) {
  const auto codes = py::arg("codes").noconvert(), queries = py::arg("queries").noconvert();
  const auto allowed = py::arg("allowed").noconvert() = py::none();
  module.def("scan_k_nearest", &k_nearest_by_scan, codes, queries, py::arg("k"), py::arg("n_threads"), allowed,
             py::arg("limits").noconvert() = py::none(), py::arg("mask").noconvert() = py::none(), py::arg("isa") = "",
             "(distances int32, rows int64), each (n_queries, k), by (distance, row), among the rows in a bitmap, of "
             "these those in a mask, and within limits; where nothing is left distance 2**31 - 1 and row -1.");
  module.def("scan_within_radius", &within_radius_by_scan, codes, queries, py::arg("radius"), py::arg("n_threads"),
             allowed, py::arg("isa") = "",
             "(offsets int64, distances int32, rows int64) of the codes within the inclusive radius.");
}

}  // namespace hashkit::bindings
