#include "jaccard/jaccard.hpp"

#include <algorithm>

#include "bindings/arrays.hpp"
#include "core/gather.hpp"

namespace hashkit::bindings {
namespace {

py::tuple popcount_order(const Array<uint8_t>& codes, ThreadCount n_threads, const std::string& isa) {
  const CodesView view = view_codes(codes);
  const KernelTable& kernels = kernels_named(isa);
  py::array_t<uint8_t> sorted({view.n_codes, view.n_bytes});
  py::array_t<int64_t> starts(static_cast<py::ssize_t>(8 * view.n_bytes + 2));
  py::array_t<int64_t> rows(static_cast<py::ssize_t>(view.n_codes));
  uint8_t* to_sorted = sorted.mutable_data();
  int64_t* to_starts = starts.mutable_data();
  int64_t* to_rows = rows.mutable_data();
  without_gil([&] { sort_by_popcount(kernels, view, n_threads, to_sorted, to_starts, to_rows); });
  return py::make_tuple(std::move(sorted), std::move(starts), std::move(rows));
}

PopcountOrder view_order(const Array<uint8_t>& codes, const Array<int64_t>& starts, const Array<int64_t>& rows,
                         const MaybeRows& allowed) {
  const CodesView view = view_codes(codes);
  const auto n_codes = static_cast<int64_t>(view.n_codes);
  const int64_t *first = starts.data(), *last = first + 8 * view.n_bytes + 1;
  require(starts.ndim() == 1 && static_cast<size_t>(starts.size()) == 8 * view.n_bytes + 2,
          "starts must have one entry for each popcount, and the end");
  require(*first == 0 && *last == n_codes && std::is_sorted(first, last + 1), "starts must ascend from 0 to the end");
  require(rows.ndim() == 1 && rows.size() == n_codes, "rows must have one entry for each code");
  const auto is_row = [=](int64_t row) { return row >= 0 && row < n_codes; };
  // Without a bitmap they are returned unchanged.
  require(!allowed || std::all_of(rows.data(), rows.data() + n_codes, is_row), "rows must be in the codes");
  return {view, first, rows.data()};
}

CodesView view_queries(const Array<uint8_t>& queries, const PopcountOrder& order) {
  const CodesView view = view_codes(queries);
  require(view.n_bytes == order.codes.n_bytes, "queries must have the width of the codes");
  return view;
}

py::tuple k_nearest_by_jaccard(const Array<uint8_t>& codes, const Array<int64_t>& starts, const Array<int64_t>& rows,
                               const Array<uint8_t>& queries, size_t k, ThreadCount n_threads, const MaybeRows& allowed,
                               const std::optional<Array<uint8_t>>& sketches, const std::string& isa) {
  const PopcountOrder order = view_order(codes, starts, rows, allowed);
  const CodesView query_view = view_queries(queries, order);
  const RowSet set = view_row_set(allowed, order.codes.n_codes);
  require(k <= (allowed ? count_rows(set, order.codes.n_codes) : order.codes.n_codes),
          "k must not exceed the number of allowed codes");
  const CodesView sketch_view = sketches ? view_codes(*sketches) : order.codes;
  require(sketch_view.n_codes == order.codes.n_codes && sketch_view.n_bytes <= order.codes.n_bytes,
          "sketches must be of the order");
  const KernelTable& kernels = kernels_named(isa);
  py::array_t<double> distances({query_view.n_codes, k});
  py::array_t<int64_t> found({query_view.n_codes, k});
  double* to_distances = distances.mutable_data();
  int64_t* to_rows = found.mutable_data();
  const auto n_compared = without_gil([&] {
    return jaccard_k_nearest(kernels, order, sketch_view, set, query_view, k, n_threads, to_distances, to_rows);
  });
  return py::make_tuple(std::move(distances), std::move(found), n_compared);
}

py::tuple within_radius_by_jaccard(const Array<uint8_t>& codes, const Array<int64_t>& starts,
                                   const Array<int64_t>& rows, const Array<uint8_t>& queries, double radius,
                                   ThreadCount n_threads, const MaybeRows& allowed, const std::string& isa) {
  const PopcountOrder order = view_order(codes, starts, rows, allowed);
  const CodesView query_view = view_queries(queries, order);
  const RowSet set = view_row_set(allowed, order.codes.n_codes);
  require(radius >= 0, "radius must be at least 0");
  const KernelTable& kernels = kernels_named(isa);
  auto found = without_gil([&] { return jaccard_within_radius(kernels, order, set, query_view, radius, n_threads); });
  return py::make_tuple(to_array(std::move(found.offsets)), to_array(std::move(found.distances)),
                        to_array(std::move(found.rows)), found.n_compared);
}

}  // namespace

static void bind_jaccard(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  const auto allowed = py::arg("allowed").noconvert() = py::none();
  module.def(
      "popcount_order", &popcount_order, named("codes"), py::arg("n_threads"), py::arg("isa") = "",
      "(codes, starts int64, rows int64) in the order of (popcount, row), those of popcount p from starts[p] on.");
  module.def("jaccard_k_nearest", &k_nearest_by_jaccard, named("codes"), named("starts"), named("rows"),
             named("queries"), py::arg("k"), py::arg("n_threads"), allowed,
             py::arg("sketches").noconvert() = py::none(), py::arg("isa") = "",
             "(distances float64, rows int64), each (n_queries, k), by (Jaccard distance, row), among the rows in a "
             "bitmap of codes in the order of popcounts; and how many codes were compared with a query, by their "
             "jaccard_sketches if these are given.");
  module.def("jaccard_within_radius", &within_radius_by_jaccard, named("codes"), named("starts"), named("rows"),
             named("queries"), py::arg("radius"), py::arg("n_threads"), allowed, py::arg("isa") = "",
             "(offsets int64, distances float64, rows int64) of the codes whose Jaccard distance as float64 is at most "
             "the radius; and how many were compared with a query.");
}

}  // namespace hashkit::bindings
