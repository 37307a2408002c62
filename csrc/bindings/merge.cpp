#include "core/merge.hpp"

#include <optional>
#include <utility>

#include "bindings/arrays.hpp"

namespace hashkit::bindings {
namespace {

// A list's entry as an array of exactly this type; pybind11's own conversion of lists would copy what does not fit.
template <class Value>
Array<Value> exactly(const py::handle& entry, py::ssize_t n_dimensions) {
  require(py::isinstance<Array<Value>>(entry), "parts must be C-contiguous arrays of the right dtypes");
  auto array = py::reinterpret_borrow<Array<Value>>(entry);
  require(array.ndim() == n_dimensions, "parts must have the right number of dimensions");
  return array;
}

// One part: arrays of shape (n_queries, k), which the caller keeps alive.
template <class Distance>
std::pair<NearestView<Distance>, size_t> view_nearest(const py::tuple& part) {
  require(part.size() == 2, "a part must be (distances, ids)");
  const auto distances = exactly<Distance>(part[0], 2);
  const auto ids = exactly<int64_t>(part[1], 2);
  require(distances.shape(0) == ids.shape(0) && distances.shape(1) == ids.shape(1), "a part must have one shape");
  return {{distances.data(), ids.data(), static_cast<size_t>(ids.shape(1))}, static_cast<size_t>(ids.shape(0))};
}

// One part: (offsets, distances, ids) of one dimension. Offsets are checked, because they index the others.
template <class Distance>
std::pair<WithinRadiusView<Distance>, size_t> view_within_radius(const py::tuple& part) {
  require(part.size() == 3, "a part must be (offsets, distances, ids)");
  const auto offsets = exactly<int64_t>(part[0], 1);
  const auto distances = exactly<Distance>(part[1], 1);
  const auto ids = exactly<int64_t>(part[2], 1);
  require(offsets.shape(0) >= 1, "offsets must not be empty");
  const auto n_queries = static_cast<size_t>(offsets.shape(0) - 1);
  const int64_t* at = offsets.data();
  bool ascending = at[0] == 0;
  for (size_t q = 0; q < n_queries; ++q) ascending &= at[q] <= at[q + 1];
  require(ascending && at[n_queries] == distances.shape(0) && at[n_queries] == ids.shape(0),
          "offsets must be those of distances and ids");
  return {{at, distances.data(), ids.data()}, n_queries};
}

// Views all parts by `view_part`, and returns their common number of queries too.
template <class ViewPart>
auto view_parts(const py::list& parts, ViewPart view_part) {
  std::vector<typename decltype(view_part(py::tuple()))::first_type> views;
  std::optional<size_t> n_queries;
  for (const auto& part : parts) {
    const auto [view, n] = view_part(part.template cast<py::tuple>());
    require(n_queries.value_or(n) == n, "parts must answer the same queries");
    n_queries = n;
    views.push_back(view);
  }
  require(n_queries.has_value(), "there must be a part");
  return std::make_pair(std::move(views), *n_queries);
}

template <class Distance>
py::tuple nearest_of_type(const py::list& parts, size_t k, ThreadCount n_threads) {
  const auto viewed = view_parts(parts, view_nearest<Distance>);
  const auto& views = viewed.first;
  const size_t n_queries = viewed.second;
  size_t n_columns = 0;
  for (const auto& view : views) n_columns += view.k;
  require(k <= n_columns, "k must not exceed what the parts have");
  py::array_t<Distance> distances({n_queries, k});
  py::array_t<int64_t> ids({n_queries, k});
  Distance* to_distances = distances.mutable_data();
  int64_t* to_ids = ids.mutable_data();
  without_gil([&] { merge_nearest(views, n_queries, k, n_threads, to_distances, to_ids); });
  return py::make_tuple(std::move(distances), std::move(ids));
}

template <class Distance>
py::tuple all_of_type(const py::list& parts, ThreadCount n_threads) {
  const auto viewed = view_parts(parts, view_within_radius<Distance>);
  const auto& views = viewed.first;
  const size_t n_queries = viewed.second;
  py::array_t<int64_t> offsets(static_cast<py::ssize_t>(n_queries + 1));
  int64_t* at = offsets.mutable_data();
  for (size_t q = 0; q <= n_queries; ++q) {
    at[q] = 0;
    for (const auto& view : views) at[q] += view.offsets[q];
  }
  py::array_t<Distance> distances(static_cast<py::ssize_t>(at[n_queries]));
  py::array_t<int64_t> ids(static_cast<py::ssize_t>(at[n_queries]));
  Distance* to_distances = distances.mutable_data();
  int64_t* to_ids = ids.mutable_data();
  without_gil([&] { merge_within_radius(views, n_queries, n_threads, to_distances, to_ids); });
  return py::make_tuple(std::move(offsets), std::move(distances), std::move(ids));
}

// Whether a part's distances, its second to last entry, are Jaccard distances.
bool has_doubles(const py::tuple& part) {
  return part.size() >= 2 && py::isinstance<Array<double>>(part[part.size() - 2]);
}
bool begins_with_doubles(const py::list& parts) {
  return !parts.empty() && has_doubles(parts[0].cast<py::tuple>());
}

py::tuple nearest_of(const py::list& parts, size_t k, ThreadCount n_threads) {
  return begins_with_doubles(parts) ? nearest_of_type<double>(parts, k, n_threads)
                                    : nearest_of_type<int32_t>(parts, k, n_threads);
}

py::tuple all_of(const py::list& parts, ThreadCount n_threads) {
  return begins_with_doubles(parts) ? all_of_type<double>(parts, n_threads) : all_of_type<int32_t>(parts, n_threads);
}

template <class ViewPart>
std::optional<size_t> unordered_query(const py::tuple& part, ViewPart view_part) {
  const auto viewed = view_part(part);
  const auto& view = viewed.first;
  const size_t n_queries = viewed.second;
  const size_t found = without_gil([&] { return first_unordered(view, n_queries); });
  return found < n_queries ? std::optional<size_t>(found) : std::nullopt;
}

template <class Distance>
std::optional<size_t> unordered_of_type(const py::tuple& part) {
  return part.size() == 2 ? unordered_query(part, view_nearest<Distance>)
                          : unordered_query(part, view_within_radius<Distance>);
}

std::optional<size_t> unordered(const py::tuple& part) {
  return has_doubles(part) ? unordered_of_type<double>(part) : unordered_of_type<int32_t>(part);
}

}  // namespace

static void bind_merge(py::module_& module) {
  const auto parts = py::arg("parts"), threads = py::arg("n_threads");
  module.def("merge_nearest", &nearest_of, parts, py::arg("k"), threads,
             "(distances, ids) of the k nearest of a list of (distances, ids), each (n_queries, any k).");
  module.def("merge_within_radius", &all_of, parts, threads,
             "(offsets, distances, ids) of a list of the same, the entries of each query together.");
  module.def("unordered_query", &unordered, py::arg("part"),
             "The first query of a part whose entries are not in order of (distance, id), or None.");
}

}  // namespace hashkit::bindings
