#include <algorithm>
#include <tuple>

#include "bindings/arrays.hpp"
#include "bindings/interrupt.hpp"
#include "search/pair_join.hpp"
#include "search/union_find.hpp"

namespace hashkit::bindings {
namespace {

using PairArrays = std::tuple<py::array_t<int64_t>, py::array_t<int64_t>, py::array_t<int32_t>>;

std::optional<PairArrays> pairs(const Array<uint8_t>& codes, size_t first, size_t last,
                                const std::optional<Array<uint8_t>>& others, int radius, size_t max_pairs,
                                size_t n_threads, const std::string& isa) {
  const CodesView left = view_codes(codes), right = others ? view_codes(*others) : left;
  require(left.n_bytes == right.n_bytes, "others must have the width of the codes");
  require(first <= last && last <= left.n_codes, "rows must be in the codes");
  const KernelTable& kernels = kernels_named(isa);
  std::optional<Pairs> found;
  {
    py::gil_scoped_release release;
    found = scan_pairs(kernels, {left, first, last, right, !others}, radius, n_threads, max_pairs, SignalCheck());
  }
  if (!found) return std::nullopt;
  return PairArrays(to_array(std::move(found->left)), to_array(std::move(found->right)),
                    to_array(std::move(found->distances)));
}

void require_rows(const Array<int64_t>& rows, int64_t n_rows) {
  require(rows.ndim() == 1, "rows must have one dimension");
  const int64_t* data = rows.data();
  require(std::all_of(data, data + rows.size(), [=](int64_t row) { return row >= 0 && row < n_rows; }),
          "rows must be in the sets");
}

void unite_rows(Array<int64_t>& parents, const Array<int64_t>& left, const Array<int64_t>& right) {
  require_rows(parents, parents.size());
  require_rows(left, parents.size());
  require_rows(right, parents.size());
  require(left.size() == right.size(), "left and right must have one length");
  unite(parents.mutable_data(), left.data(), right.data(), static_cast<size_t>(left.size()));
}

void flatten_sets(Array<int64_t>& parents) {
  require_rows(parents, parents.size());
  flatten(parents.mutable_data(), static_cast<size_t>(parents.size()));
}

}  // namespace

void bind_join(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("scan_pairs", &pairs, named("codes"), py::arg("first"), py::arg("last"), named("others"),
             py::arg("radius"), py::arg("max_pairs"), py::arg("n_threads"), py::arg("isa") = "",
             "(left int64, right int64, distances int32) of the pairs within the inclusive radius of rows [first, "
             "last) and those of others, by (left, right); without others, of the codes behind each. None if there "
             "are more than max_pairs.");
  module.def("unite", &unite_rows, named("parents"), named("left"), named("right"),
             "Makes one set of those of left[i] and right[i], in a forest that begins as arange(n).");
  module.def("flatten", &flatten_sets, named("parents"), "Makes every row of a forest point to the first of its set.");
}

}  // namespace hashkit::bindings
