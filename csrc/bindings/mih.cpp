#include "mih/search.hpp"

#include <algorithm>
#include <array>

#include "bindings/arrays.hpp"
#include "mih/costs.hpp"

namespace hashkit::bindings {
namespace {

std::shared_ptr<Tables> make_tables(const Array<uint8_t>& codes, size_t n_bits, bool compact, ThreadCount n_threads,
                                    const std::string& isa) {
  const CodesView stored = view_codes(codes);
  require(n_bits >= 1 && n_bits <= 8 * stored.n_bytes, "n_bits must fit the codes");
  const KernelTable& kernels = kernels_named(isa);
  require(stored.n_codes >= 1 && stored.n_codes <= kMaxTableCodes, "codes must be 1 to 2**32 - 1");
  return without_gil(
      [&] { return std::make_shared<Tables>(build_tables(kernels, stored, n_bits, compact, n_threads)); });
}

IndexedCodes view_indexed(const Tables& tables, CodesView codes, CodesView queries, RowSet allowed, size_t n_allowed,
                          const std::string& isa) {
  require(codes.n_codes == tables.n_codes && codes.n_bytes == tables.n_bytes, "codes must be those of the tables");
  require(codes.n_bytes == queries.n_bytes, "queries must have the width of the codes");
  return {kernels_named(isa), tables, codes, allowed, n_allowed};
}

constexpr py::ssize_t kCounts = 5;

std::array<int64_t, kCounts> columns_of(const QueryStats& of) {
  return {of.probes, of.candidates, of.radius, of.scanned, of.exact};
}

py::tuple k_nearest_by_tables(const Tables& tables, const Array<uint8_t>& codes, const Array<uint8_t>& queries,
                              size_t k, ThreadCount n_threads, const MaybeRows& allowed,
                              const std::optional<Array<int32_t>>& limits, std::optional<int64_t> max_candidates,
                              std::optional<Array<int64_t>> counts, const MaybeMask& mask,
                              std::optional<size_t> n_allowed, const std::string& isa) {
  const CodesView stored = view_codes(codes), query_view = view_codes(queries);
  const MaskedRows rows_allowed(allowed, mask, stored.n_codes);
  const IndexedCodes in =
      view_indexed(tables, stored, query_view, rows_allowed.set(), n_allowed.value_or(stored.n_codes), isa);
  require(!limits || (limits->ndim() == 1 && static_cast<size_t>(limits->size()) == query_view.n_codes),
          "limits must have one entry for each query");
  require(!counts || (counts->ndim() == 2 && static_cast<size_t>(counts->shape(0)) == query_view.n_codes &&
                      counts->shape(1) == kCounts),
          "counts must have five columns and a row for each query");
  require(k <= std::min(in.n_allowed, stored.n_codes), "k must not exceed the number of allowed codes");
  const int32_t* limit_of = limits ? limits->data() : nullptr;
  return k_nearest_arrays<QueryStats>(query_view.n_codes, k, counts, columns_of,
                                      [&](int32_t* distances, int64_t* rows, QueryStats* stats) {
                                        mih_k_nearest(in, query_view, k, n_threads, distances, rows, limit_of,
                                                      max_candidates.value_or(kNoMaximum), stats);
                                      });
}

py::tuple within_radius_by_tables(const Tables& tables, const Array<uint8_t>& codes, const Array<uint8_t>& queries,
                                  int radius, ThreadCount n_threads, const MaybeRows& allowed, const std::string& isa) {
  const CodesView stored = view_codes(codes), query_view = view_codes(queries);
  const IndexedCodes in =
      view_indexed(tables, stored, query_view, view_row_set(allowed, stored.n_codes), stored.n_codes, isa);
  auto found = without_gil([&] { return mih_within_radius(in, query_view, radius, n_threads); });
  return py::make_tuple(to_array(std::move(found.offsets)), to_array(std::move(found.distances)),
                        to_array(std::move(found.rows)));
}

py::dict describe_tables(const Tables& tables) {
  py::list widths;
  for (const Substring& field : tables.substrings.fields()) widths.append(field.width);
  // The substring that each bit of a code belongs to.
  py::list substring_of;
  for (uint32_t place : tables.substrings.places()) {
    size_t j = 0;
    while (64 * tables.substrings[j].word + tables.substrings[j].shift + tables.substrings[j].width <= place) ++j;
    substring_of.append(j);
  }
  py::dict result;
  result["widths"] = widths;
  result["substring_of_bit"] = substring_of;
  result["compact"] = tables.compact;
  result["memory"] = tables.memory();
  const Costs& alone = tables.survey.alone;
  py::dict costs, shares;
  costs["key"] = alone.key;
  costs["bucket"] = alone.bucket;
  costs["code"] = alone.code;
  costs["scan"] = alone.scan;
  costs["trial"] = alone.trial;
  for (size_t k : {1, 10, 100})
    shares[py::int_(k)] = outlook_of(tables, alone, k, static_cast<int>(8 * tables.n_bytes)).share;
  result["nanoseconds"] = costs;
  result["share_by_tables"] = shares;
  return result;
}

}  // namespace

static void bind_mih(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  py::class_<Tables, std::shared_ptr<Tables>>(module, "Tables", "The tables of multi-index hashing over some codes.");
  module.def("build_tables", &make_tables, named("codes"), py::arg("n_bits"), py::arg("compact"), py::arg("n_threads"),
             py::arg("isa") = "", "Tables of these codes, which are not kept.");
  module.def("describe_tables", &describe_tables, py::arg("tables"), "Widths, bits and memory of tables.");
  module.def(
      "mih_k_nearest", &k_nearest_by_tables, py::arg("tables"), named("codes"), named("queries"), py::arg("k"),
      py::arg("n_threads"), named("allowed") = py::none(), named("limits") = py::none(),
      py::arg("max_candidates") = py::none(), named("counts") = py::none(), named("mask") = py::none(),
      py::arg("n_allowed") = py::none(), py::arg("isa") = "",
      "As scan_k_nearest over the codes that the tables were built of, about n_allowed of which may be found (by "
      "default all); `counts` (n_queries, 5) is filled: probes, "
      "candidates, radius, scanned, exact.");
  module.def("mih_within_radius", &within_radius_by_tables, py::arg("tables"), named("codes"), named("queries"),
             py::arg("radius"), py::arg("n_threads"), named("allowed") = py::none(), py::arg("isa") = "",
             "As scan_within_radius over the codes that the tables were built of.");
}

}  // namespace hashkit::bindings
