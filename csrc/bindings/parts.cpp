#include "bindings/arrays.hpp"
#include "core/distinct.hpp"
#include "core/gather.hpp"

namespace hashkit::bindings {
namespace {

size_t count(const Array<uint8_t>& rows, size_t n_rows) {
  const RowSet set = view_row_set(rows, n_rows);
  return without_gil([&] { return count_rows(set, n_rows); });
}

py::array_t<uint8_t> narrow(const Array<uint8_t>& rows, const Array<bool>& mask, size_t n_rows) {
  const RowSet set = view_row_set(rows, n_rows);
  require(mask.ndim() == 1 && static_cast<size_t>(mask.size()) == count_rows(set, n_rows),
          "mask must have an entry for each row");
  py::array_t<uint8_t> narrowed(rows.size());
  uint8_t* to_narrowed = narrowed.mutable_data();
  const auto* bytes = reinterpret_cast<const uint8_t*>(mask.data());
  without_gil([&] { narrow_bits(set.bits, bytes, n_rows, to_narrowed); });
  return narrowed;
}

py::array_t<int64_t> find(const Array<int64_t>& ids, const Array<int64_t>& wanted) {
  require(ids.ndim() == 1 && wanted.ndim() == 1, "ids must have one dimension");
  py::array_t<int64_t> rows(wanted.size());
  int64_t* to_rows = rows.mutable_data();
  without_gil([&] {
    find_ids(ids.data(), static_cast<size_t>(ids.size()), wanted.data(), static_cast<size_t>(wanted.size()), to_rows);
  });
  return rows;
}

std::optional<py::array_t<int64_t>> list(const Array<bool>& mask, size_t most) {
  require(mask.ndim() == 1, "mask must have one dimension");
  const auto* bytes = reinterpret_cast<const uint8_t*>(mask.data());
  const auto n_rows = static_cast<size_t>(mask.size());
  auto rows = without_gil([&] { return list_rows(bytes, n_rows, most); });
  if (!rows) return std::nullopt;
  return to_array(std::move(*rows));
}

py::tuple distinct(const Array<uint8_t>& codes) {
  const CodesView view = view_codes(codes);
  auto found = without_gil([&] { return find_distinct(view); });
  return py::make_tuple(to_array(std::move(found.firsts)), to_array(std::move(found.places)));
}

py::tuple gather(const Array<uint8_t>& codes, const Array<uint8_t>& rows, ThreadCount n_threads) {
  const CodesView from = view_codes(codes);
  const RowSet set = view_row_set(rows, from.n_codes);
  const size_t n_gathered = without_gil([&] { return count_rows(set, from.n_codes); });
  py::array_t<uint8_t> gathered({n_gathered, from.n_bytes});
  py::array_t<int64_t> numbers(static_cast<py::ssize_t>(n_gathered));
  uint8_t* to_codes = gathered.mutable_data();
  int64_t* to_numbers = numbers.mutable_data();
  without_gil([&] { gather_rows(from, set, n_threads, to_codes, to_numbers); });
  return py::make_tuple(std::move(gathered), std::move(numbers));
}

}  // namespace

static void bind_parts(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("count_rows", &count, named("rows"), py::arg("n_rows"), "How many rows a bitmap has.");
  module.def(
      "distinct_codes", &distinct, named("codes"),
      "(firsts int64, places int64): the first row of each different code, ascending, and for each code the place "
      "of its first row among these.");
  module.def("find_ids", &find, named("ids"), named("wanted"),
             "The row of each wanted id among ascending ids, -1 where there is none.");
  module.def("list_rows", &list, named("mask"), py::arg("most"),
             "Where a mask is True, ascending, int64; None if that is at more places than `most`.");
  module.def("narrow_bitmap", &narrow, named("rows"), named("mask"), py::arg("n_rows"),
             "A bitmap of those rows of a bitmap for which a mask, with an entry for each of them, is True.");
  module.def("gather_rows", &gather, named("codes"), named("rows"), py::arg("n_threads"),
             "(codes, row numbers int64) of the rows in a bitmap, ascending.");
}

}  // namespace hashkit::bindings
