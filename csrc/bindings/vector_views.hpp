// Views of the arrays that vectors, their codes and their candidates come in.
#pragma once

#include "bindings/arrays.hpp"
#include "vectors/asymmetric.hpp"
#include "vectors/encoder.hpp"
#include "vectors/vector_rows.hpp"

namespace hashkit::bindings {

inline const VectorKernels& vector_kernels_named(const std::string& isa) {
  return vector_kernels(isa.empty() ? default_isa() : isa_from_name(isa));
}

inline VectorType type_named(const std::string& name) {
  if (name == "float32") return VectorType::kFloat32;
  if (name == "float16") return VectorType::kFloat16;
  if (name == "bfloat16") return VectorType::kBfloat16;
  require(name == "int8", "type must be float32, float16, bfloat16 or int8");
  return VectorType::kInt8;
}

inline VectorMetric metric_named(const std::string& name) {
  if (name == "cosine") return VectorMetric::kCosine;
  if (name == "ip") return VectorMetric::kInnerProduct;
  require(name == "l2", "metric must be cosine, ip or l2");
  return VectorMetric::kEuclidean;
}

using MaybeFloats = std::optional<Array<float>>;

// Vectors as their bytes, (n_rows, n_dims times the bytes of a value).
inline VectorRows view_vectors(const Array<uint8_t>& bytes, VectorType type, const MaybeFloats& row_scales,
                               const MaybeFloats& column_scales) {
  require(bytes.ndim() == 2 && bytes.shape(1) > 0, "vectors must have two dimensions, and a column");
  const auto n_rows = static_cast<size_t>(bytes.shape(0)), n_bytes = static_cast<size_t>(bytes.shape(1));
  require(n_bytes % value_bytes(type) == 0, "vectors must have whole values");
  const size_t n_dims = n_bytes / value_bytes(type);
  require(type != VectorType::kInt8 || column_scales, "int8 must have scales of columns");
  require(!row_scales || static_cast<size_t>(row_scales->size()) == n_rows, "row_scales must have one for each row");
  require(!column_scales || static_cast<size_t>(column_scales->size()) == padded_dims(n_dims),
          "column_scales must have one for each column, padded");
  return {type,
          bytes.data(),
          n_rows,
          n_dims,
          row_scales ? row_scales->data() : nullptr,
          column_scales ? column_scales->data() : nullptr};
}

inline size_t check_candidates(const Array<int64_t>& rows, size_t n_queries, size_t n_rows) {
  require(rows.ndim() == 2 && static_cast<size_t>(rows.shape(0)) == n_queries, "rows must have a row for each query");
  const int64_t* at = rows.data();
  bool valid = true;
  for (py::ssize_t i = 0; i < rows.size(); ++i) valid &= at[i] >= -1 && at[i] < static_cast<int64_t>(n_rows);
  require(valid, "rows must be rows of the vectors, or -1");
  return static_cast<size_t>(rows.shape(1));
}

inline FactoredCodes view_factored(const Array<uint8_t>& codes, const Array<float>& factors) {
  const CodesView view = view_codes(codes);
  require(view.n_codes < size_t{1} << 32, "codes must be fewer than 2**32");
  require(factors.ndim() == 2 && static_cast<size_t>(factors.shape(0)) == view.n_codes && factors.shape(1) == 2,
          "factors must have two values for each code");
  return {view.data, reinterpret_cast<const RowFactors*>(factors.data()), view.n_codes, view.n_bytes};
}

}  // namespace hashkit::bindings
