#include <algorithm>
#include <memory>
#include <tuple>

#include "bindings/arrays.hpp"
#include "join/bucket_join.hpp"
#include "join/pair_join.hpp"
#include "join/union_find.hpp"

namespace hashkit::bindings {
namespace {

using PairArrays = std::tuple<py::array_t<int64_t>, py::array_t<int64_t>, py::array_t<int32_t>>;

std::optional<PairArrays> to_arrays(std::optional<Pairs>&& found) {
  if (!found) return std::nullopt;
  return PairArrays(to_array(std::move(found->left)), to_array(std::move(found->right)),
                    to_array(std::move(found->distances)));
}

JoinRows view_rows(const Array<uint8_t>& codes, size_t first, size_t last,
                   const std::optional<Array<uint8_t>>& others) {
  const CodesView left = view_codes(codes), right = others ? view_codes(*others) : left;
  require(left.n_bytes == right.n_bytes, "others must have the width of the codes");
  require(first <= last && last <= left.n_codes, "rows must be in the codes");
  return {left, first, last, right, !others};
}

std::optional<PairArrays> pairs_by_scan(const Array<uint8_t>& codes, size_t first, size_t last,
                                        const std::optional<Array<uint8_t>>& others, int radius, size_t max_pairs,
                                        ThreadCount n_threads, const std::string& isa) {
  const JoinRows rows = view_rows(codes, first, last, others);
  const KernelTable& kernels = kernels_named(isa);
  auto found = without_gil([&] { return scan_pairs(kernels, rows, radius, n_threads, max_pairs); });
  return to_arrays(std::move(found));
}

std::optional<std::shared_ptr<JoinTables>> build_join_tables(const Array<uint8_t>& codes, size_t n_bits, size_t n_left,
                                                             int radius, ThreadCount n_threads, bool always) {
  const CodesView view = view_codes(codes);
  require((n_bits + 7) / 8 == view.n_bytes, "codes must have n_bits");
  require(radius >= 0, "radius must be at least 0");
  auto made = without_gil([&] { return make_join_tables(view, n_bits, n_left, radius, always, n_threads); });
  if (!made) return std::nullopt;
  return std::make_shared<JoinTables>(*std::move(made));
}

std::optional<PairArrays> pairs_by_buckets(const Array<uint8_t>& codes, size_t first, size_t last,
                                           const std::optional<Array<uint8_t>>& others, const JoinTables& tables,
                                           int radius, size_t max_pairs, ThreadCount n_threads,
                                           const std::string& isa) {
  const JoinRows rows = view_rows(codes, first, last, others);
  require(rows.right.n_codes == tables.n_codes && rows.right.n_bytes == (tables.n_bits + 7) / 8,
          "tables must be those of the codes");
  require(radius >= 0 && static_cast<size_t>(radius) < tables.substrings.n_tables(),
          "radius must be below the number of tables");
  const KernelTable& kernels = kernels_named(isa);
  auto found = without_gil([&] { return bucket_pairs(kernels, rows, tables, radius, n_threads, max_pairs); });
  return to_arrays(std::move(found));
}

py::dict describe_join_tables(const JoinTables& tables) {
  py::dict result;
  result["n_tables"] = tables.substrings.n_tables();
  result["n_buckets"] = tables.substrings.n_buckets();
  result["memory"] = tables.memory();
  return result;
}

bool are_rows(const Array<int64_t>& rows, size_t n_rows) {
  const int64_t* data = rows.data();
  const auto n = static_cast<int64_t>(n_rows);
  bool all = true;
  in_chunks(static_cast<size_t>(rows.size()), 64 * kRowsPerPoll, [&](size_t first, size_t last) {
    all = all && std::all_of(data + first, data + last, [=](int64_t row) { return row >= 0 && row < n; });
  });
  return all;
}

void unite_pairs(Forest& forest, const Array<int64_t>& left, const Array<int64_t>& right) {
  require(left.ndim() == 1 && right.ndim() == 1 && left.size() == right.size(), "left and right must have one length");
  const auto n_pairs = static_cast<size_t>(left.size());
  const bool fits = without_gil([&] {
    if (!are_rows(left, forest.n_rows()) || !are_rows(right, forest.n_rows())) return false;
    forest.add(left.data(), right.data(), n_pairs);
    return true;
  });
  require(fits, "rows must be in the forest");
}

}  // namespace

void bind_join(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("scan_pairs", &pairs_by_scan, named("codes"), py::arg("first"), py::arg("last"), named("others"),
             py::arg("radius"), py::arg("max_pairs"), py::arg("n_threads"), py::arg("isa") = "",
             "(left int64, right int64, distances int32) of the pairs within the inclusive radius of rows [first, "
             "last) and those of others, by (left, right); without others, of the codes behind each. None if there "
             "are more than max_pairs.");
  py::class_<JoinTables, std::shared_ptr<JoinTables>>(module, "JoinTables", "Tables of some codes for joins.");
  module.def("build_join_tables", &build_join_tables, named("codes"), py::arg("n_bits"), py::arg("n_left"),
             py::arg("radius"), py::arg("n_threads"), py::arg("always") = false,
             "radius + 1 tables of these codes, for joins of n_left codes with them, or of them with themselves if "
             "n_left is 0. None if there can be none, or if scan_pairs is faster and `always` is not set.");
  module.def("describe_join_tables", &describe_join_tables, py::arg("tables"), "Tables, buckets and memory.");
  module.def("bucket_pairs", &pairs_by_buckets, named("codes"), py::arg("first"), py::arg("last"), named("others"),
             py::arg("tables"), py::arg("radius"), py::arg("max_pairs"), py::arg("n_threads"), py::arg("isa") = "",
             "The result of scan_pairs, from the tables of others, or of the codes without others.");
  py::class_<Forest>(module, "Forest", "Sets of rows that grow together; not for several threads at once.")
      .def(py::init<size_t>(), py::arg("n_rows"))
      .def("unite", &unite_pairs, named("left"), named("right"), "Makes one set of those of left[i] and right[i].")
      .def(
          "firsts", [](Forest& forest) { return to_array(without_gil([&] { return forest.firsts(); })); },
          "The first row of the set of each row, int64.");
}

}  // namespace hashkit::bindings
