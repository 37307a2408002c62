#include "bindings/arrays.hpp"
#include "search/gather.hpp"

namespace hashkit::bindings {
namespace {

size_t count(const Array<uint8_t>& rows, size_t n_rows) {
  return count_rows(view_row_set(rows, n_rows), n_rows);
}

py::tuple gather(const Array<uint8_t>& codes, const Array<uint8_t>& rows, size_t n_threads) {
  const CodesView from = view_codes(codes);
  const RowSet set = view_row_set(rows, from.n_codes);
  const size_t n_gathered = count_rows(set, from.n_codes);
  py::array_t<uint8_t> gathered({n_gathered, from.n_bytes});
  py::array_t<int64_t> numbers(static_cast<py::ssize_t>(n_gathered));
  uint8_t* to_codes = gathered.mutable_data();
  int64_t* to_numbers = numbers.mutable_data();
  {
    py::gil_scoped_release release;
    gather_rows(from, set, n_threads, to_codes, to_numbers);
  }
  return py::make_tuple(std::move(gathered), std::move(numbers));
}

}  // namespace

void bind_parts(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("count_rows", &count, named("rows"), py::arg("n_rows"), "How many rows a bitmap has.");
  module.def("gather_rows", &gather, named("codes"), named("rows"), py::arg("n_threads"),
             "(codes, row numbers int64) of the rows in a bitmap, ascending.");
}

}  // namespace hashkit::bindings
