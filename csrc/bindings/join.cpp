#include <algorithm>
#include <memory>
#include <tuple>

#include "bindings/arrays.hpp"
#include "jaccard/limits.hpp"
#include "jaccard/sketches.hpp"
#include "join/bucket_join.hpp"
#include "join/jaccard_join.hpp"
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
                                                             int radius, ThreadCount n_threads,
                                                             std::optional<int> reach) {
  const CodesView view = view_codes(codes);
  require((n_bits + 7) / 8 == view.n_bytes, "codes must have n_bits");
  require(radius >= 0, "radius must be at least 0");
  require(!reach || (*reach >= 0 && *reach <= kMaxReach), "reach must be 0 to 3");
  auto made = without_gil([&] { return make_join_tables(view, n_bits, n_left, radius, reach, n_threads); });
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
  require(radius >= 0 && static_cast<size_t>(radius) <= tables.substrings.radius(),
          "radius must be one that the tables serve");
  const KernelTable& kernels = kernels_named(isa);
  auto found = without_gil([&] { return bucket_pairs(kernels, rows, tables, radius, n_threads, max_pairs); });
  return to_arrays(std::move(found));
}

// The result of popcount_order, whose arrays belong to the caller.
PopcountOrder view_order(const Array<uint8_t>& codes, const Array<int64_t>& starts, const Array<int64_t>& rows) {
  const CodesView view = view_codes(codes);
  const int64_t *first = starts.data(), *last = first + 8 * view.n_bytes + 1;
  require(starts.ndim() == 1 && static_cast<size_t>(starts.size()) == 8 * view.n_bytes + 2 && *first == 0 &&
              *last == codes.shape(0) && std::is_sorted(first, last + 1),
          "starts must ascend from 0 to the number of codes, one for each popcount, and the end");
  require(rows.ndim() == 1 && rows.size() == codes.shape(0), "rows must have one entry for each code");
  return {view, first, rows.data()};
}

using Weights = std::tuple<int64_t, int64_t, int64_t>;

NearLimits make_limits(size_t n_bytes, double threshold, bool is_similarity, Weights weights, bool is_directed) {
  require(n_bytes >= 1 && n_bytes <= kMaxBytes, "n_bytes must be those of a code");
  require(threshold >= 0, "threshold must be at least 0");
  const auto [common, left, right] = weights;
  const auto fits = [](int64_t weight) { return weight >= 0 && weight <= Measure::kMaxWeight; };
  require(common > 0 && fits(common) && fits(left) && fits(right) && left + right > 0,
          "weights must be 0 to 2**30, the first above 0 and one of the others");
  return NearLimits({common, left, right, is_directed}, threshold, is_similarity, n_bytes);
}

Array<uint8_t> make_sketches(const Array<uint8_t>& codes, const Array<int64_t>& starts, const Array<int64_t>& rows,
                             const std::optional<NearLimits>& limits, std::optional<size_t> n_sketch_bytes,
                             ThreadCount n_threads, const std::string& isa) {
  const PopcountOrder order = view_order(codes, starts, rows);
  require(!limits || limits->n_bytes() == order.codes.n_bytes, "limits must be for the width of the codes");
  const KernelTable& kernels = kernels_named(isa);
  const size_t n_folded = n_sketch_bytes ? *n_sketch_bytes : without_gil([&] {
    return limits ? choose_sketch_bytes(kernels, order, *limits) : choose_sketch_bytes(kernels, order);
  });
  require(n_folded >= 1 && n_folded <= order.codes.n_bytes, "n_sketch_bytes must be 1 to those of a code");
  if (n_folded == order.codes.n_bytes) return codes;
  Array<uint8_t> sketches({order.codes.n_codes, n_folded});
  uint8_t* to_sketches = sketches.mutable_data();
  without_gil([&] { fold_codes(order.codes, n_folded, n_threads, to_sketches); });
  return sketches;
}

using JaccardArrays = std::tuple<py::array_t<int64_t>, py::array_t<int64_t>, py::array_t<double>>;

std::optional<JaccardArrays> pairs_by_jaccard(const Array<uint8_t>& codes, size_t first, size_t last,
                                              const Array<uint8_t>& sorted, const Array<int64_t>& starts,
                                              const Array<int64_t>& rows_of, const Array<uint8_t>& sketches,
                                              std::optional<size_t> offset, const NearLimits& limits, size_t max_pairs,
                                              ThreadCount n_threads, const std::string& isa) {
  const CodesView left = view_codes(codes), folded = view_codes(sketches);
  const PopcountOrder order = view_order(sorted, starts, rows_of);
  require(left.n_bytes == order.codes.n_bytes, "the order must have the width of the codes");
  require(first <= last && last <= left.n_codes, "rows must be in the codes");
  require(folded.n_codes == order.codes.n_codes && folded.n_bytes <= left.n_bytes, "sketches must be of the order");
  require(limits.n_bytes() == left.n_bytes, "limits must be for the width of the codes");
  const JaccardRows rows{left, first, last, order, folded, offset.value_or(0), offset.has_value(), limits};
  const KernelTable& kernels = kernels_named(isa);
  auto found = without_gil([&] { return jaccard_pairs(kernels, rows, n_threads, max_pairs); });
  if (!found) return std::nullopt;
  return JaccardArrays(to_array(std::move(found->left)), to_array(std::move(found->right)),
                       to_array(std::move(found->distances)));
}

py::dict describe_join_tables(const JoinTables& tables) {
  py::dict result;
  result["n_tables"] = tables.substrings.n_tables();
  result["reach"] = tables.substrings.reach();
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

static void bind_join(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("scan_pairs", &pairs_by_scan, named("codes"), py::arg("first"), py::arg("last"), named("others"),
             py::arg("radius"), py::arg("max_pairs"), py::arg("n_threads"), py::arg("isa") = "",
             "(left int64, right int64, distances int32) of the pairs within the inclusive radius of rows [first, "
             "last) and those of others, by (left, right); without others, of the codes behind each. None if there "
             "are more than max_pairs.");
  py::class_<JoinTables, std::shared_ptr<JoinTables>>(module, "JoinTables", "Tables of some codes for joins.");
  module.def(
      "build_join_tables", &build_join_tables, named("codes"), py::arg("n_bits"), py::arg("n_left"), py::arg("radius"),
      py::arg("n_threads"), py::arg("reach") = py::none(),
      "Tables of these codes that serve this radius, for joins of n_left codes with them, or of them with "
      "themselves if n_left is 0. None if there can be none, or if scan_pairs is faster and no `reach`, the bits "
      "in which keys are looked up that differ, is given.");
  module.def("describe_join_tables", &describe_join_tables, py::arg("tables"), "Tables, reach, buckets and memory.");
  module.def("bucket_pairs", &pairs_by_buckets, named("codes"), py::arg("first"), py::arg("last"), named("others"),
             py::arg("tables"), py::arg("radius"), py::arg("max_pairs"), py::arg("n_threads"), py::arg("isa") = "",
             "The result of scan_pairs, from the tables of others, or of the codes without others.");
  py::class_<NearLimits>(module, "NearLimits", "Which pairs of codes of n_bytes are near by a measure of sets.")
      .def(py::init(&make_limits), py::arg("n_bytes"), py::arg("threshold"), py::arg("is_similarity"),
           py::arg("weights") = Weights(1, 1, 1), py::arg("is_directed") = true,
           "Those whose similarity is >= threshold, or whose distance, 1 less the similarity, is <= threshold. weights "
           "are those of the bits that both codes have, only the left, and only the right one; unless it is directed, "
           "the larger of the similarities of left with right and of right with left counts.");
  module.def(
      "jaccard_sketches", &make_sketches, named("codes"), named("starts"), named("rows"), py::arg("limits"),
      py::arg("n_sketch_bytes"), py::arg("n_threads"), py::arg("isa") = "",
      "Sketches of the codes of a popcount_order, of the length with which a join takes least time, without limits a "
      "search of the k nearest, or of n_sketch_bytes; the codes themselves where they are as long.");
  module.def("jaccard_pairs", &pairs_by_jaccard, named("codes"), py::arg("first"), py::arg("last"), named("sorted"),
             named("starts"), named("rows"), named("sketches"), py::arg("offset"), py::arg("limits"),
             py::arg("max_pairs"), py::arg("n_threads"), py::arg("isa") = "",
             "(left int64, right int64, distances float64) of rows [first, last) and the codes of a popcount_order "
             "which are near, by (left, right), with their distances by the limits' measure. With an offset the "
             "order is that of codes[offset:], and only the codes behind each are its partners. None if there are more "
             "than max_pairs.");
  py::class_<Forest>(module, "Forest", "Sets of rows that grow together; not for several threads at once.")
      .def(py::init<size_t>(), py::arg("n_rows"))
      .def("unite", &unite_pairs, named("left"), named("right"), "Makes one set of those of left[i] and right[i].")
      .def(
          "firsts", [](Forest& forest) { return to_array(without_gil([&] { return forest.firsts(); })); },
          "The first row of the set of each row, int64.");
}

}  // namespace hashkit::bindings
