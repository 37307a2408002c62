// Vectors in rows, in memory or a memory map, for re-ranking.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/vector_kernels.hpp"

namespace hashkit {

// The row of a place that no candidate is left for.
constexpr int64_t kNoRow = -1;
// Returned in place of a row that is not finite.
constexpr int64_t kAllFinite = -1;

inline size_t value_bytes(VectorType type) noexcept {
  return type == VectorType::kFloat32 ? 4 : type == VectorType::kInt8 ? 1 : 2;
}

// Whether float32 holds a square with all its digits.
inline bool keeps_digits(float square) noexcept {
  return square > 1e-24f && square < 1e24f;
}

struct VectorRows {
  VectorType type;
  const uint8_t* data;
  size_t n_rows;
  size_t n_dims;
  // Only for int8: one for each row, or none; and one for each column, padded to a multiple of kLanes.
  const float* row_scales;
  const float* column_scales;

  size_t row_bytes() const noexcept { return n_dims * value_bytes(type); }
  const uint8_t* row(size_t i) const noexcept { return data + i * row_bytes(); }
  RowScales scales(size_t i) const noexcept {
    return {row_scales == nullptr ? 1.0f : row_scales[i], column_scales, nullptr};
  }
};

// Queries of n_dims values, each row padded with zeros to a multiple of kLanes.
struct PaddedQueries {
  const float* data;
  size_t n_queries;
  size_t stride;

  const float* row(size_t i) const noexcept { return data + i * stride; }
};

// How scores are computed. Similarities are best if high, distances if low.
enum class VectorMetric { kCosine, kInnerProduct, kEuclidean };

}  // namespace hashkit
