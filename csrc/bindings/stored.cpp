// Converts tables, cells and bounds to arrays for files, and back.
#include <algorithm>
#include <array>
#include <tuple>

#include "bindings/arrays.hpp"
#include "far/bounds.hpp"
#include "far/stored.hpp"
#include "mih/stored.hpp"

namespace hashkit::bindings {
namespace {

py::array_t<uint64_t> block_sums(const Array<uint8_t>& bytes, ThreadCount n_threads) {
  constexpr size_t kBlocksPerTask = 1024;
  const auto n_bytes = static_cast<size_t>(bytes.size());
  const size_t n_blocks = (n_bytes + kCheckedBlock - 1) / kCheckedBlock;
  py::array_t<uint64_t> sums(static_cast<py::ssize_t>(n_blocks));
  uint64_t* to_sums = sums.mutable_data();
  const uint8_t* data = bytes.data();
  without_gil([&] {
    parallel_for((n_blocks + kBlocksPerTask - 1) / kBlocksPerTask, n_threads, [&](size_t task) {
      for (size_t b = task * kBlocksPerTask; b < std::min((task + 1) * kBlocksPerTask, n_blocks); ++b) {
        const size_t begin = b * kCheckedBlock;
        to_sums[b] = block_sum(data + begin, std::min(kCheckedBlock, n_bytes - begin));
      }
    });
  });
  return sums;
}

// `object` with what it borrows from, which goes when it goes. Python is the last to let go of it, with the GIL. (The
// keep_alive of pybind11 3.1 ends the process where an argument has the wrong type.)
template <class Object, class... Kept>
std::shared_ptr<Object> keeping(const std::shared_ptr<Object>& object, const Kept&... kept) {
  return {object.get(), [object, kept = std::make_tuple(kept...)](Object*) {}};
}

using MaybeChecks = std::optional<std::shared_ptr<BlockChecks>>;

const BlockChecks* borrowed(const MaybeChecks& checks) {
  return checks ? checks->get() : nullptr;
}

std::shared_ptr<BlockChecks> make_checks(const Array<uint8_t>& bytes, const Array<uint64_t>& sums,
                                         const std::string& name) {
  const auto n_bytes = static_cast<size_t>(bytes.size());
  require(n_bytes % kCheckedBlock == 0 && static_cast<size_t>(sums.size()) == n_bytes / kCheckedBlock,
          "sums must have one for each block");
  return keeping(std::make_shared<BlockChecks>(bytes.data(), n_bytes, sums.data(), name), bytes, sums);
}

// Checks with one object: an array, or some of its rows.
void require_array(const BlockChecks& checks, const py::array& values, const std::optional<Array<int64_t>>& rows) {
  require((values.flags() & py::array::c_style) != 0, "values must be in C order");
  const auto* data = static_cast<const uint8_t*>(values.data());
  const auto n_bytes = static_cast<size_t>(values.nbytes());
  if (!rows) return without_gil([&] { checks.require(data, n_bytes); });
  const size_t n_rows = values.ndim() == 0 ? 0 : static_cast<size_t>(values.shape(0));
  const size_t stride = n_rows == 0 ? 0 : n_bytes / n_rows;
  const int64_t* wanted = rows->data();
  const auto n_wanted = static_cast<size_t>(rows->size());
  without_gil([&] {
    for (size_t i = 0; i < n_wanted; ++i) {
      const auto row = static_cast<size_t>(wanted[i]);
      if (row < n_rows) checks.require(data + row * stride, stride);
    }
  });
}

// An array of values that `owner` keeps alive.
template <class Value>
py::array view_of(const Value* values, std::vector<size_t> shape, const py::object& owner) {
  py::array_t<Value> view(std::move(shape), values, owner);
  view.attr("flags").attr("writeable") = false;
  return view;
}

std::array<const Costs*, 2> costs_in(const Survey& survey) {
  return {&survey.alone, &survey.tiled};
}

py::dict table_arrays(const std::shared_ptr<Tables>& owned) {
  const Tables& tables = *owned;
  const py::object owner = py::cast(owned);
  const size_t n_words = tables.substrings.n_words();
  std::vector<double> expected = tables.expected, costs;
  py::dict result;
  py::list columns;
  for (const Table& table : tables.tables) {
    expected.insert(expected.end(), table.expected.begin(), table.expected.end());
    columns.append(py::make_tuple(view_of(table.offsets.data(), {table.offsets.size()}, owner),
                                  view_of(table.occupied.data(), {table.occupied.size()}, owner),
                                  view_of(table.rows.data(), {table.rows.size()}, owner),
                                  view_of(table.words.data(), {table.words.size() / n_words, n_words}, owner)));
  }
  for (const Costs* of : costs_in(tables.survey)) {
    costs.insert(costs.end(), {of->key, of->bucket, of->code, of->scan, of->trial, of->open_trial});
  }
  result["columns"] = columns;
  result["places"] = to_array(std::vector<uint32_t>(tables.substrings.places()));
  result["expected"] = to_array(std::move(expected));
  result["costs"] = to_array(std::move(costs));
  result["neighbors"] = to_array(std::vector<int32_t>(tables.survey.neighbors));
  result["n_neighbors"] = tables.survey.n_neighbors;
  result["isa"] = isa_name(tables.survey.isa);
  result["compact"] = tables.compact;
  return result;
}

// An array of a tuple that the caller keeps alive, as in the file.
template <class Value>
HugeArray<Value> borrow(const py::handle& item, size_t size) {
  require(py::isinstance<Array<Value>>(item), "columns must have arrays in C order");
  const auto array = py::reinterpret_borrow<Array<Value>>(item);
  require(static_cast<size_t>(array.size()) == size, "columns must have the sizes that go with the codes");
  return HugeArray<Value>::borrow(array.data(), size);
}

template <class Value>
std::vector<Value> copy_of(const Array<Value>& values) {
  return {values.data(), values.data() + values.size()};
}

Survey survey_from(const Array<double>& costs, const Array<int32_t>& neighbors, size_t n_neighbors,
                   const std::string& isa) {
  require(costs.size() == 12, "costs must be twelve");
  const auto n = static_cast<size_t>(neighbors.size());
  require(n_neighbors == 0 ? n == 0 : n > 0 && n % n_neighbors == 0, "neighbors must be n_neighbors for each query");
  const double* c = costs.data();
  return {isa_from_name(isa),
          {c[0], c[1], c[2], c[3], c[4], c[5]},
          {c[6], c[7], c[8], c[9], c[10], c[11]},
          n_neighbors,
          copy_of(neighbors)};
}

std::shared_ptr<Tables> tables_from(const py::tuple& columns, const MaybeChecks& checks, const Array<uint8_t>& codes,
                                    const Array<uint32_t>& places, const Array<double>& expected,
                                    const Array<double>& costs, const Array<int32_t>& neighbors, size_t n_neighbors,
                                    const std::string& isa, bool compact) {
  const CodesView of = view_codes(codes);
  require(of.n_codes >= 1 && of.n_codes <= kMaxTableCodes, "codes must be 1 to 2**32 - 1");
  require(static_cast<size_t>(places.size()) <= 8 * of.n_bytes, "places must not be more than bits");
  require(Substrings::are_places(copy_of(places), columns.size()), "places must have one for each bit");
  const Substrings substrings(of.n_bytes, columns.size(), copy_of(places));
  const size_t n_words = substrings.n_words(), n_bits = static_cast<size_t>(places.size());
  const std::vector<double> means = copy_of(expected);
  require(means.size() == 2 * n_bits + 1 + substrings.size(), "expected must have one for each distance");
  auto tables = std::make_shared<Tables>();
  *tables = {of.n_codes, of.n_bytes, substrings, {}, compact, {}, {}, borrowed(checks), true};
  auto mean = means.begin() + static_cast<std::ptrdiff_t>(n_bits) + 1;
  tables->expected.assign(means.begin(), mean);
  for (size_t j = 0; j < substrings.size(); ++j) {
    const auto column = columns[j].cast<py::tuple>();
    require(column.size() == 4, "columns must be of four arrays");
    const size_t n_keys = substrings[j].n_keys();
    const auto end = mean + static_cast<std::ptrdiff_t>(substrings[j].width) + 1;
    tables->tables.push_back({borrow<uint32_t>(column[0], n_keys + 1), borrow<uint64_t>(column[1], (n_keys + 63) / 64),
                              borrow<uint32_t>(column[2], of.n_codes),
                              borrow<uint64_t>(column[3], compact ? 0 : of.n_codes * n_words),
                              std::vector<double>(mean, end)});
    mean = end;
  }
  tables->survey = survey_from(costs, neighbors, n_neighbors, isa);
  require(are_plausible(*tables), "tables must have costs and distances that can be");
  return keeping(tables, columns, checks);
}

py::dict cell_arrays(const std::shared_ptr<Cells>& owned) {
  const Cells& cells = *owned;
  const py::object owner = py::cast(owned);
  py::dict result;
  result["centroids"] = view_of(cells.centroids.data(), {cells.n_cells(), cells.n_bytes}, owner);
  result["starts"] = to_array(std::vector<uint32_t>(cells.starts));
  result["rows"] = view_of(cells.rows.data(), {cells.rows.size()}, owner);
  result["places"] = to_array(std::vector<uint32_t>(cells.sketch_places));
  result["sketches"] = view_of(cells.sketches.data(), {cells.n_codes, cells.sketch_bytes}, owner);
  result["steps"] = to_array(std::vector<uint16_t>(cells.steps));
  return result;
}

std::shared_ptr<Cells> cells_from(const py::tuple& columns, const MaybeChecks& checks, const Array<uint8_t>& codes,
                                  size_t n_bits, size_t sketch_bytes, const Array<uint32_t>& starts,
                                  const Array<uint32_t>& places, const Array<uint16_t>& steps) {
  const CodesView of = view_codes(codes);
  require(n_bits >= 1 && n_bits <= 8 * of.n_bytes, "n_bits must fit the codes");
  require(of.n_codes <= kMaxCellCodes && starts.size() >= 2, "starts must have one for each cell");
  const size_t n_cells = static_cast<size_t>(starts.size()) - 1, n_places = static_cast<size_t>(places.size());
  require(n_cells <= kMaxCells && columns.size() == 3, "columns must be of three arrays");
  const bool has_sketches = sketch_bytes > 0 && sketch_bytes != of.n_bytes;
  require(n_places == (has_sketches ? 8 * sketch_bytes : 0) && (!has_sketches || sketch_bytes % 8 == 0),
          "places must have one for each bit of a sketch");
  require(static_cast<size_t>(steps.size()) == (sketch_bytes == of.n_bytes ? n_cells * kSteps : 0),
          "steps must be those of each cell");
  auto cells = std::make_shared<Cells>();
  cells->n_codes = of.n_codes;
  cells->n_bits = n_bits;
  cells->n_bytes = of.n_bytes;
  cells->centroids = borrow<uint8_t>(columns[0], n_cells * of.n_bytes);
  cells->starts = copy_of(starts);
  cells->rows = borrow<uint32_t>(columns[1], of.n_codes);
  cells->sketch_places = copy_of(places);
  cells->sketch_bytes = sketch_bytes;
  cells->sketches = borrow<uint8_t>(columns[2], of.n_codes * sketch_bytes);
  cells->steps = copy_of(steps);
  cells->checks = borrowed(checks);
  require(are_plausible(*cells), "starts and places must fit the codes");
  complete_cells(*cells);
  return keeping(cells, columns, checks);
}

py::tuple bounds_arrays(const std::shared_ptr<Bounds>& owned) {
  const Bounds& bounds = *owned;
  const py::object owner = py::cast(owned);
  const size_t n_bytes = bounds.sketch_bytes, n_cells = bounds.reaches.size(), n_codes = bounds.rows.size();
  return py::make_tuple(view_of(bounds.places.data(), {n_cells, 8 * n_bytes}, owner),
                        view_of(bounds.centroid_sketches.data(), {n_cells, n_bytes}, owner),
                        view_of(bounds.reaches.data(), {n_cells}, owner), view_of(bounds.rows.data(), {n_codes}, owner),
                        view_of(bounds.distances.data(), {n_codes}, owner),
                        view_of(bounds.rests.data(), {n_codes}, owner),
                        view_of(bounds.sketches.data(), {n_codes, n_bytes}, owner));
}

std::shared_ptr<Bounds> bounds_from(const py::tuple& columns, const Cells& cells, size_t sketch_bytes) {
  const size_t n_cells = cells.n_cells();
  require(columns.size() == 7, "columns must be of seven arrays");
  require(sketch_bytes >= 8 && sketch_bytes % 8 == 0 && 8 * sketch_bytes <= cells.n_bits,
          "sketch_bytes must be a multiple of 8 within the codes");
  auto bounds = std::make_shared<Bounds>();
  *bounds = {sketch_bytes,
             borrow<uint16_t>(columns[0], n_cells * 8 * sketch_bytes),
             borrow<uint8_t>(columns[1], n_cells * sketch_bytes),
             borrow<uint16_t>(columns[2], n_cells),
             borrow<uint32_t>(columns[3], cells.n_codes),
             borrow<uint16_t>(columns[4], cells.n_codes),
             borrow<uint16_t>(columns[5], cells.n_codes),
             borrow<uint8_t>(columns[6], cells.n_codes * sketch_bytes)};
  require(are_plausible(*bounds, cells), "places must be bits of the codes");
  return keeping(bounds, columns);
}

void check_stored_bounds(const Bounds& bounds, const Cells& cells, const Array<uint8_t>& codes) {
  const CodesView of = view_codes(codes);
  require(of.n_codes == cells.n_codes && of.n_bytes == cells.n_bytes, "codes must be those of the cells");
  require(bounds.rows.size() == cells.n_codes && bounds.reaches.size() == cells.n_cells(),
          "bounds must be those of the cells");
  without_gil([&] { check_bounds(bounds, cells, of); });
}

void check_stored_tables(const Tables& tables, const Array<uint8_t>& codes, ThreadCount n_threads) {
  const CodesView of = view_codes(codes);
  require(of.n_codes == tables.n_codes && of.n_bytes == tables.n_bytes, "codes must be those of the tables");
  without_gil([&] { check_tables(tables, of, n_threads); });
}

void check_stored_cells(const Cells& cells, const Array<uint8_t>& codes) {
  const CodesView of = view_codes(codes);
  require(of.n_codes == cells.n_codes && of.n_bytes == cells.n_bytes, "codes must be those of the cells");
  without_gil([&] { check_cells(cells, of); });
}

}  // namespace

static void bind_stored(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  py::register_exception<DamagedError>(module, "DamagedError", PyExc_ValueError);
  py::class_<BlockChecks, std::shared_ptr<BlockChecks>>(module, "BlockChecks", "Checksums of the blocks of a file.")
      .def(py::init(&make_checks), named("bytes"), named("sums"), py::arg("name"))
      .def("require", &require_array, named("values"), named("rows") = py::none(),
           "Compare an array, or some of its rows, with the checksums where that has not been done yet.");
  module.def("block_sums", &block_sums, named("bytes"), py::arg("n_threads"),
             "The checksum of each 4,096 bytes, the last with zeros behind it: uint64.");
  module.def("table_arrays", &table_arrays, py::arg("tables"), "What `tables_from` makes the same tables of.");
  module.def("tables_from", &tables_from, named("columns"), py::arg("checks"), named("codes"), named("places"),
             named("expected"), named("costs"), named("neighbors"), py::arg("n_neighbors"), py::arg("isa"),
             py::arg("compact"), "Tables over arrays of a file, which are kept and not copied.");
  module.def("cell_arrays", &cell_arrays, py::arg("cells"), "What `cells_from` makes the same cells of.");
  module.def("cells_from", &cells_from, named("columns"), py::arg("checks"), named("codes"), py::arg("n_bits"),
             py::arg("sketch_bytes"), named("starts"), named("places"), named("steps"),
             "Cells over arrays of a file, which are kept and not copied.");
  module.def("bounds_arrays", &bounds_arrays, py::arg("bounds"), "What `bounds_from` makes the same bounds of.");
  module.def("bounds_from", &bounds_from, named("columns"), py::arg("cells"), py::arg("sketch_bytes"),
             "Bounds over arrays of a file, which are kept and not copied.");
  module.def("check_bounds", &check_stored_bounds, py::arg("bounds"), py::arg("cells"), named("codes"),
             "Compare all contents of bounds with the codes; raises DamagedError.");
  module.def("check_tables", &check_stored_tables, py::arg("tables"), named("codes"), py::arg("n_threads"),
             "Compare all contents of tables with the codes; raises DamagedError.");
  module.def("check_cells", &check_stored_cells, py::arg("cells"), named("codes"),
             "Compare all contents of cells with the codes; raises DamagedError.");
}

}  // namespace hashkit::bindings
