#include <cstring>

#include "bindings/vector_views.hpp"
#include "vectors/rescore.hpp"

namespace hashkit::bindings {
namespace {

py::tuple rescore_best(const Array<float>& queries, const Array<uint8_t>& vectors, const std::string& type,
                       const MaybeFloats& row_scales, const MaybeFloats& column_scales, const Array<int64_t>& rows,
                       const std::optional<Array<int64_t>>& ids, size_t k, const std::string& metric,
                       ThreadCount n_threads, const std::string& isa) {
  const VectorRows stored = view_vectors(vectors, type_named(type), row_scales, column_scales);
  require(queries.ndim() == 2 && static_cast<size_t>(queries.shape(1)) == padded_dims(stored.n_dims),
          "queries must have the dimensions of the vectors, padded");
  const auto n_queries = static_cast<size_t>(queries.shape(0));
  const PaddedQueries query_view{queries.data(), n_queries, static_cast<size_t>(queries.shape(1))};
  const size_t n_candidates = check_candidates(rows, n_queries, stored.n_rows);
  require(!ids || (ids->ndim() == 2 && ids->shape(0) == rows.shape(0) && ids->shape(1) == rows.shape(1)),
          "ids must have the shape of rows");
  require(k <= n_candidates, "k must not exceed the number of candidates");
  const VectorKernels& kernels = vector_kernels_named(isa);
  const VectorMetric by = metric_named(metric);
  const Candidates candidates{rows.data(), ids ? ids->data() : nullptr, n_candidates};
  py::array_t<float> scores({n_queries, k});
  py::array_t<int64_t> best({n_queries, k});
  float* to_scores = scores.mutable_data();
  int64_t* to_best = best.mutable_data();
  const int64_t not_finite = without_gil(
      [&] { return rescore(kernels, stored, query_view, candidates, by, k, n_threads, to_scores, to_best); });
  return py::make_tuple(std::move(scores), std::move(best), not_finite);
}

PlaneQueries view_planes(const Array<uint8_t>& planes, const Array<float>& steps, size_t n_bits, size_t n_bytes) {
  require(planes.ndim() == 3 && planes.shape(1) >= 1 && planes.shape(1) <= static_cast<py::ssize_t>(kMaxPlanes) &&
              static_cast<size_t>(planes.shape(2)) == plane_bytes(n_bytes),
          "planes must be 1 to 8 for each query, padded to 64 bytes");
  require(steps.ndim() == 1 && steps.shape(0) == planes.shape(0), "steps must have one for each query");
  require((n_bits + 7) / 8 == n_bytes, "n_bits must be those of the codes");
  return {planes.data(), steps.data(), static_cast<size_t>(planes.shape(0)), static_cast<size_t>(planes.shape(1)),
          n_bits};
}

py::tuple scan_best(const Array<uint8_t>& codes, const Array<float>& factors, const Array<uint8_t>& planes,
                    const Array<float>& steps, size_t n_bits, size_t k, ThreadCount n_threads, const MaybeRows& allowed,
                    const std::string& isa) {
  const FactoredCodes stored = view_factored(codes, factors);
  const PlaneQueries queries = view_planes(planes, steps, n_bits, stored.n_bytes);
  const RowSet rows_allowed = view_row_set(allowed, stored.n_rows);
  require(k <= stored.n_rows, "k must not exceed the number of codes");
  const VectorKernels& kernels = vector_kernels_named(isa);
  py::array_t<float> scores({queries.n_queries, k});
  py::array_t<int64_t> rows({queries.n_queries, k});
  float* to_scores = scores.mutable_data();
  int64_t* to_rows = rows.mutable_data();
  without_gil([&] { scan_planes_best(kernels, stored, rows_allowed, queries, k, n_threads, to_scores, to_rows); });
  return py::make_tuple(std::move(scores), std::move(rows));
}

py::tuple score_best(const Array<uint8_t>& codes, const Array<float>& factors, const Array<uint8_t>& planes,
                     const Array<float>& steps, size_t n_bits, const Array<int64_t>& candidates, size_t k,
                     ThreadCount n_threads, const std::string& isa) {
  const FactoredCodes stored = view_factored(codes, factors);
  const PlaneQueries queries = view_planes(planes, steps, n_bits, stored.n_bytes);
  const size_t n_candidates = check_candidates(candidates, queries.n_queries, stored.n_rows);
  require(k <= n_candidates, "k must not exceed the number of candidates");
  const VectorKernels& kernels = vector_kernels_named(isa);
  const int64_t* own = candidates.data();
  py::array_t<float> scores({queries.n_queries, k});
  py::array_t<int64_t> rows({queries.n_queries, k});
  float* to_scores = scores.mutable_data();
  int64_t* to_rows = rows.mutable_data();
  without_gil(
      [&] { score_planes_best(kernels, stored, queries, own, n_candidates, k, n_threads, to_scores, to_rows); });
  return py::make_tuple(std::move(scores), std::move(rows));
}

py::tuple quantize(const Array<float>& values, size_t n_planes) {
  require(values.ndim() == 2 && values.shape(1) >= 1 && values.shape(1) <= static_cast<py::ssize_t>(8 * kMaxBytes),
          "values must have 1 to 4,096 columns");
  require(n_planes >= 1 && n_planes <= kMaxPlanes, "n_planes must be between 1 and 8");
  const auto n_queries = static_cast<size_t>(values.shape(0)), n_bits = static_cast<size_t>(values.shape(1));
  py::array_t<uint8_t> planes({n_queries, n_planes, plane_bytes((n_bits + 7) / 8)});
  py::array_t<float> steps(static_cast<py::ssize_t>(n_queries));
  uint8_t* to_planes = planes.mutable_data();
  float* to_steps = steps.mutable_data();
  const float* from = values.data();
  const auto n_bytes = static_cast<size_t>(planes.nbytes());
  without_gil([&] {
    std::memset(to_planes, 0, n_bytes);
    quantize_queries(from, n_queries, n_bits, n_planes, to_planes, to_steps);
  });
  return py::make_tuple(std::move(planes), std::move(steps));
}

}  // namespace

static void bind_vectors(py::module_& module) {
  const auto codes = py::arg("codes").noconvert(), factors = py::arg("factors").noconvert();
  const auto planes = py::arg("planes").noconvert(), steps = py::arg("steps").noconvert();
  const auto n_bits = py::arg("n_bits"), k = py::arg("k"), threads = py::arg("n_threads");
  module.def("quantize_queries", &quantize, py::arg("values").noconvert(), py::arg("n_planes"),
             "(planes uint8, steps float32): values as odd multiples of a step, in planes of bits.");
  module.def("rescore", &rescore_best, py::arg("queries").noconvert(), py::arg("vectors").noconvert(), py::arg("type"),
             py::arg("row_scales").noconvert(), py::arg("column_scales").noconvert(), py::arg("rows").noconvert(),
             py::arg("ids").noconvert(), k, py::arg("metric"), threads, py::arg("isa") = "",
             "(scores float32, ids int64, row) of each query's k best candidates by (score, id), from padded queries "
             "and the bytes of vectors; row is one whose score is not finite, or -1.");
  module.def("scan_planes", &scan_best, codes, factors, planes, steps, n_bits, k, threads,
             py::arg("allowed").noconvert() = py::none(), py::arg("isa") = "",
             "(scores float32, rows int64) of the k highest asymmetric scores among the rows in a bitmap.");
  module.def("score_planes", &score_best, codes, factors, planes, steps, n_bits, py::arg("candidates").noconvert(), k,
             threads, py::arg("isa") = "",
             "(scores float32, rows int64) of the k highest asymmetric scores of each query's candidates.");
}

}  // namespace hashkit::bindings
