#include "bindings/arrays.hpp"
#include "search/gather.hpp"
#include "search/merge.hpp"

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

NearestView view_nearest(const Array<int32_t>& distances, const Array<int64_t>& ids, py::ssize_t n_queries) {
  require(distances.ndim() == 2 && ids.ndim() == 2 && distances.shape(0) == n_queries && ids.shape(0) == n_queries &&
              distances.shape(1) == ids.shape(1),
          "distances and ids must be of one shape (n_queries, k)");
  return {distances.data(), ids.data(), static_cast<size_t>(distances.shape(1))};
}

py::tuple nearest_of_both(const Array<int32_t>& distances_a, const Array<int64_t>& ids_a,
                          const Array<int32_t>& distances_b, const Array<int64_t>& ids_b, size_t k) {
  require(distances_a.ndim() == 2, "distances must have two dimensions");
  const NearestView a = view_nearest(distances_a, ids_a, distances_a.shape(0));
  const NearestView b = view_nearest(distances_b, ids_b, distances_a.shape(0));
  require(k <= a.k + b.k, "k must not exceed what both have");
  const auto n_queries = static_cast<size_t>(distances_a.shape(0));
  py::array_t<int32_t> distances({n_queries, k});
  py::array_t<int64_t> ids({n_queries, k});
  int32_t* to_distances = distances.mutable_data();
  int64_t* to_ids = ids.mutable_data();
  {
    py::gil_scoped_release release;
    merge_nearest(a, b, n_queries, k, to_distances, to_ids);
  }
  return py::make_tuple(std::move(distances), std::move(ids));
}

WithinRadiusView view_found(const Array<int64_t>& offsets, const Array<int32_t>& distances, const Array<int64_t>& ids) {
  require(offsets.ndim() == 1 && offsets.shape(0) >= 1 && distances.ndim() == 1 && ids.ndim() == 1,
          "offsets, distances and ids must have one dimension");
  const int64_t* at = offsets.data();
  const py::ssize_t n_queries = offsets.shape(0) - 1;
  bool ascending = at[0] == 0;
  for (py::ssize_t q = 0; q < n_queries; ++q) ascending = ascending && at[q] <= at[q + 1];
  require(ascending && at[n_queries] == distances.shape(0) && at[n_queries] == ids.shape(0),
          "offsets must be those of distances and ids");
  return {at, distances.data(), ids.data()};
}

py::tuple all_of_both(const Array<int64_t>& offsets_a, const Array<int32_t>& distances_a, const Array<int64_t>& ids_a,
                      const Array<int64_t>& offsets_b, const Array<int32_t>& distances_b, const Array<int64_t>& ids_b) {
  const WithinRadiusView a = view_found(offsets_a, distances_a, ids_a);
  const WithinRadiusView b = view_found(offsets_b, distances_b, ids_b);
  require(offsets_a.shape(0) == offsets_b.shape(0), "both must answer the same queries");
  const py::ssize_t n_found = distances_a.shape(0) + distances_b.shape(0);
  py::array_t<int32_t> distances(n_found);
  py::array_t<int64_t> ids(n_found);
  int32_t* to_distances = distances.mutable_data();
  int64_t* to_ids = ids.mutable_data();
  {
    py::gil_scoped_release release;
    merge_within_radius(a, b, static_cast<size_t>(offsets_a.shape(0)) - 1, to_distances, to_ids);
  }
  return py::make_tuple(std::move(distances), std::move(ids));
}

}  // namespace

void bind_parts(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("count_rows", &count, named("rows"), py::arg("n_rows"), "How many rows a bitmap has.");
  module.def("gather_rows", &gather, named("codes"), named("rows"), py::arg("n_threads"),
             "(codes, row numbers int64) of the rows in a bitmap, ascending.");
  module.def("merge_nearest", &nearest_of_both, named("distances_a"), named("ids_a"), named("distances_b"),
             named("ids_b"), py::arg("k"), "(distances, ids) of the k nearest of two answers by (distance, id).");
  module.def("merge_within_radius", &all_of_both, named("offsets_a"), named("distances_a"), named("ids_a"),
             named("offsets_b"), named("distances_b"), named("ids_b"),
             "(distances, ids) of two answers within a radius, those of each query by (distance, id).");
}

}  // namespace hashkit::bindings
