#include <array>

#include "bindings/arrays.hpp"
#include "far/bounded_search.hpp"
#include "far/search.hpp"

namespace hashkit::bindings {
namespace {

std::shared_ptr<Cells> make_cells(const Array<uint8_t>& codes, size_t n_bits, size_t n_cells, size_t sketch_bytes,
                                  ThreadCount n_threads, const std::string& isa) {
  const CodesView stored = view_codes(codes);
  require(n_bits >= 1 && n_bits <= 8 * stored.n_bytes, "n_bits must fit the codes");
  require(stored.n_codes <= kMaxCellCodes, "codes must be at most 2**32 - 1");
  require(n_cells >= 1 && n_cells <= std::min(kMaxCells, stored.n_codes), "n_cells must be 1 to the number of codes");
  require(sketch_bytes == stored.n_bytes || (sketch_bytes % 8 == 0 && 8 * sketch_bytes <= n_bits),
          "sketch_bytes must be a multiple of 8, or the width of the codes");
  const KernelTable& kernels = kernels_named(isa);
  return without_gil(
      [&] { return std::make_shared<Cells>(build_cells(kernels, stored, n_bits, n_cells, sketch_bytes, n_threads)); });
}

constexpr py::ssize_t kCellCounts = 3;

py::tuple k_nearest_in_cells(const Cells& cells, const Array<uint8_t>& codes, const Array<uint8_t>& queries, size_t k,
                             ThreadCount n_threads, int twice_slack, const std::optional<Array<int32_t>>& sketch_limits,
                             int start_distance, bool by_sketches, const MaybeRows& allowed,
                             const std::optional<Array<int32_t>>& limits, const MaybeMask& mask,
                             std::optional<Array<int64_t>> counts, const std::string& isa) {
  const CodesView stored = view_codes(codes), searched = view_codes(queries);
  require(stored.n_codes == cells.n_codes && stored.n_bytes == cells.n_bytes, "codes must be those of the cells");
  require(searched.n_bytes == cells.n_bytes, "queries must have the width of the codes");
  require(k >= 1 && k <= stored.n_codes, "k must be 1 to the number of codes");
  require(sketch_limits.has_value() == !cells.sketch_places.empty() &&
              (!sketch_limits || static_cast<size_t>(sketch_limits->size()) == cells.n_bits + 1),
          "sketch_limits must have an entry for each distance where there are sketches");
  require(!limits || static_cast<size_t>(limits->size()) == searched.n_codes, "limits must have one for each query");
  require(!counts || (counts->ndim() == 2 && static_cast<size_t>(counts->shape(0)) == searched.n_codes &&
                      counts->shape(1) == kCellCounts),
          "counts must have three columns and a row for each query");
  const MaskedRows rows_allowed(allowed, mask, stored.n_codes);
  require(start_distance >= 0 && static_cast<size_t>(start_distance) <= cells.n_bits,
          "start_distance must be 0 to n_bits");
  const CellRule rule{twice_slack, sketch_limits ? sketch_limits->data() : nullptr, start_distance, by_sketches};
  const CellSearch in{kernels_named(isa), cells, stored, rows_allowed.set(), rule};
  const int32_t* limit_of = limits ? limits->data() : nullptr;
  const auto columns = [](const CellStats& of) -> std::array<int64_t, kCellCounts> {
    return {of.cells, of.sketches, of.codes};
  };
  return k_nearest_arrays<CellStats>(searched.n_codes, k, counts, columns,
                                     [&](int32_t* distances, int64_t* rows, CellStats* stats) {
                                       cells_k_nearest(in, searched, k, n_threads, distances, rows, limit_of, stats);
                                     });
}

std::shared_ptr<Bounds> make_bounds(const Cells& cells, const Array<uint8_t>& codes, size_t sketch_bytes,
                                    ThreadCount n_threads, const std::string& isa) {
  const CodesView stored = view_codes(codes);
  require(stored.n_codes == cells.n_codes && stored.n_bytes == cells.n_bytes, "codes must be those of the cells");
  require(sketch_bytes >= 8 && sketch_bytes % 8 == 0 && 8 * sketch_bytes <= cells.n_bits,
          "sketch_bytes must be a multiple of 8 within the codes");
  const KernelTable& kernels = kernels_named(isa);
  return without_gil(
      [&] { return std::make_shared<Bounds>(build_bounds(kernels, cells, stored, sketch_bytes, n_threads)); });
}

constexpr py::ssize_t kBoundedCounts = 4;

py::tuple nearest_by_bounds(const Bounds& bounds, const Cells& cells, const Array<uint8_t>& codes,
                            const Array<uint8_t>& queries, size_t k, ThreadCount n_threads, const MaybeRows& allowed,
                            const std::optional<Array<int32_t>>& limits, const MaybeMask& mask,
                            std::optional<Array<int64_t>> counts, const std::string& isa) {
  const CodesView stored = view_codes(codes), searched = view_codes(queries);
  require(stored.n_codes == cells.n_codes && stored.n_bytes == cells.n_bytes, "codes must be those of the cells");
  require(bounds.rows.size() == cells.n_codes && bounds.reaches.size() == cells.n_cells(),
          "bounds must be those of the cells");
  require(searched.n_bytes == cells.n_bytes, "queries must have the width of the codes");
  require(k >= 1 && k <= stored.n_codes, "k must be 1 to the number of codes");
  require(!limits || static_cast<size_t>(limits->size()) == searched.n_codes, "limits must have one for each query");
  require(!counts || (counts->ndim() == 2 && static_cast<size_t>(counts->shape(0)) == searched.n_codes &&
                      counts->shape(1) == kBoundedCounts),
          "counts must have four columns and a row for each query");
  const MaskedRows rows_allowed(allowed, mask, stored.n_codes);
  const BoundedSearch in{kernels_named(isa), cells, bounds, stored, rows_allowed.set()};
  const int32_t* limit_of = limits ? limits->data() : nullptr;
  const auto columns = [](const BoundedStats& of) -> std::array<int64_t, kBoundedCounts> {
    return {of.cells, of.sketches, of.codes, of.scanned};
  };
  return k_nearest_arrays<BoundedStats>(
      searched.n_codes, k, counts, columns, [&](int32_t* distances, int64_t* rows, BoundedStats* stats) {
        bounded_k_nearest(in, searched, k, n_threads, distances, rows, limit_of, stats);
      });
}

py::dict describe_cells(const Cells& cells) {
  py::dict result;
  result["n_cells"] = cells.n_cells();
  result["sketch_bits"] = cells.has_copies() ? cells.n_bits : 8 * cells.sketch_bytes;
  result["memory"] = cells.memory();
  return result;
}

// A copy: it is used once, for the calibration.
Array<uint8_t> centroids(const Cells& cells) {
  Array<uint8_t> copy({cells.n_cells(), cells.n_bytes});
  std::copy_n(cells.centroids.data(), cells.centroids.size(), copy.mutable_data());
  return copy;
}

constexpr size_t kSketchesPerPoll = 1024;  // less than a millisecond of work

Array<uint8_t> sketch(const Cells& cells, const Array<uint8_t>& codes) {
  const CodesView of = view_codes(codes);
  require(of.n_bytes == cells.n_bytes && !cells.sketch_places.empty(), "codes must be as wide as those of the cells");
  Array<uint8_t> sketches({of.n_codes, cells.sketch_bytes});
  uint8_t* to = sketches.mutable_data();
  without_gil([&] {
    in_chunks(of.n_codes, kSketchesPerPoll, [&](size_t first, size_t last) {
      for (size_t i = first; i < last; ++i) sketch_code(cells.sketch_places, of.row(i), to + i * cells.sketch_bytes);
    });
  });
  return sketches;
}

}  // namespace

static void bind_far(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  py::class_<Cells, std::shared_ptr<Cells>>(module, "Cells", "Cells of some codes, for searches at a recall below 1.");
  module.def("build_cells", &make_cells, named("codes"), py::arg("n_bits"), py::arg("n_cells"), py::arg("sketch_bytes"),
             py::arg("n_threads"), py::arg("isa") = "", "Cells of these codes, which are not kept.");
  module.def("describe_cells", &describe_cells, py::arg("cells"), "Number, sketches and memory of cells.");
  module.def("cell_centroids", &centroids, py::arg("cells"), "Their centroids, uint8 (n_cells, n_bytes).");
  module.def("cell_sketches", &sketch, py::arg("cells"), named("codes"), "Sketches of codes, uint8.");
  module.def("cells_k_nearest", &k_nearest_in_cells, py::arg("cells"), named("codes"), named("queries"), py::arg("k"),
             py::arg("n_threads"), py::arg("twice_slack"), named("sketch_limits"), py::arg("start_distance"),
             py::arg("by_sketches") = true, named("allowed") = py::none(), named("limits") = py::none(),
             named("mask") = py::none(), named("counts") = py::none(), py::arg("isa") = "",
             "About what scan_k_nearest finds over the codes that the cells were built of; `counts` (n_queries, 3) is "
             "filled: cells, sketches and codes read.");
  py::class_<Bounds, std::shared_ptr<Bounds>>(module, "Bounds", "Bounds of distances, for exact searches of cells.");
  module.def("build_bounds", &make_bounds, py::arg("cells"), named("codes"), py::arg("sketch_bytes"),
             py::arg("n_threads"), py::arg("isa") = "", "Bounds for the codes of these cells.");
  module.def(
      "bounds_memory", [](const Bounds& bounds) { return bounds.memory(); }, py::arg("bounds"),
      "Bytes that they take.");
  module.def(
      "bounded_k_nearest", &nearest_by_bounds, py::arg("bounds"), py::arg("cells"), named("codes"), named("queries"),
      py::arg("k"), py::arg("n_threads"), named("allowed") = py::none(), named("limits") = py::none(),
      named("mask") = py::none(), named("counts") = py::none(), py::arg("isa") = "",
      "What scan_k_nearest finds over the codes of the cells; `counts` (n_queries, 4) is filled: cells, sketches "
      "and codes read, and whether all codes were scanned.");
}

}  // namespace hashkit::bindings
