#include <algorithm>
#include <tuple>

#include "bindings/arrays.hpp"
#include "join/bucket_join.hpp"
#include "join/pair_join.hpp"
#include "join/union_find.hpp"

namespace hashkit::bindings {
namespace {

using PairArrays = std::tuple<py::array_t<int64_t>, py::array_t<int64_t>, py::array_t<int32_t>>;
using TableArrays = std::tuple<py::array_t<uint8_t>, py::array_t<uint32_t>, py::array_t<uint32_t>>;

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

void require_bits(CodesView codes, size_t n_bits) {
  require((n_bits + 7) / 8 == codes.n_bytes, "codes must have n_bits");
}

std::optional<TableArrays> bucket_tables(const Array<uint8_t>& codes, size_t n_bits, size_t n_left, int radius,
                                         ThreadCount n_threads, bool always) {
  const CodesView view = view_codes(codes);
  require_bits(view, n_bits);
  require(radius >= 0, "radius must be at least 0");
  auto made = without_gil([&] { return make_bucket_tables(view, n_bits, n_left, radius, always, n_threads); });
  if (!made) return std::nullopt;
  return TableArrays(to_array(std::move(made->codes)), to_array(std::move(made->rows)),
                     to_array(std::move(made->starts)));
}

// Tables of `bucket_tables` for n_codes codes. They come from no file: their contents are not looked at.
BucketTablesView view_tables(const Array<uint8_t>& codes, const Array<uint32_t>& rows, const Array<uint32_t>& starts,
                             size_t n_codes, size_t n_bits, int radius) {
  require(radius >= 0 && static_cast<size_t>(radius) < std::min(kMaxJoinTables, n_bits),
          "radius must be that of the tables");
  const size_t n_tables = static_cast<size_t>(radius) + 1, n_bytes = (n_bits + 7) / 8;
  const auto n_starts = static_cast<size_t>(starts.size()) / n_tables;
  unsigned bucket_bits = 1;
  while (bucket_bits < 32 && (size_t{1} << bucket_bits) + 1 < n_starts) ++bucket_bits;
  const Substrings substrings(n_bits, n_tables, bucket_bits);
  require(static_cast<size_t>(rows.size()) == n_tables * n_codes &&
              static_cast<size_t>(codes.size()) == n_tables * n_codes * n_bytes &&
              static_cast<size_t>(starts.size()) == n_tables * (substrings.n_buckets() + 1),
          "tables must be those of the codes and the radius");
  for (size_t t = 0; t < n_tables; ++t) {
    const uint32_t* of_table = starts.data() + t * n_starts;
    require(of_table[0] == 0 && of_table[n_starts - 1] == n_codes, "tables must be those of the codes");
  }
  return {substrings, n_codes, codes.data(), rows.data(), starts.data()};
}

std::optional<PairArrays> pairs_by_buckets(const Array<uint8_t>& codes, size_t first, size_t last,
                                           const std::optional<Array<uint8_t>>& others,
                                           const Array<uint8_t>& table_codes, const Array<uint32_t>& table_rows,
                                           const Array<uint32_t>& table_starts, size_t n_bits, int radius,
                                           size_t max_pairs, ThreadCount n_threads, const std::string& isa) {
  const JoinRows rows = view_rows(codes, first, last, others);
  require_bits(rows.left, n_bits);
  const BucketTablesView tables =
      view_tables(table_codes, table_rows, table_starts, rows.right.n_codes, n_bits, radius);
  const KernelTable& kernels = kernels_named(isa);
  auto found = without_gil([&] { return bucket_pairs(kernels, rows, tables, radius, n_threads, max_pairs); });
  return to_arrays(std::move(found));
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
  module.def("bucket_tables", &bucket_tables, named("codes"), py::arg("n_bits"), py::arg("n_left"), py::arg("radius"),
             py::arg("n_threads"), py::arg("always") = false,
             "(codes uint8, rows uint32, starts uint32) of radius + 1 tables, for joins of n_left codes with these, or "
             "of these with themselves if n_left is 0; None if there can be none, or if scan_pairs is faster and "
             "`always` is not "
             "set.");
  module.def("bucket_pairs", &pairs_by_buckets, named("codes"), py::arg("first"), py::arg("last"), named("others"),
             named("table_codes"), named("table_rows"), named("table_starts"), py::arg("n_bits"), py::arg("radius"),
             py::arg("max_pairs"), py::arg("n_threads"), py::arg("isa") = "",
             "What scan_pairs gives, from the tables of others, or of the codes without others.");
  py::class_<Forest>(module, "Forest", "Sets of rows that grow together; not for several threads at once.")
      .def(py::init<size_t>(), py::arg("n_rows"))
      .def("unite", &unite_pairs, named("left"), named("right"), "Makes one set of those of left[i] and right[i].")
      .def(
          "firsts", [](Forest& forest) { return to_array(without_gil([&] { return forest.firsts(); })); },
          "The first row of the set of each row, int64.");
}

}  // namespace hashkit::bindings
