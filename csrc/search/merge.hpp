// Answers about two disjoint sets of codes, put together.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hashkit {

// Nearest codes of n_queries queries, k each, by (distance, id): arrays of shape (n_queries, k).
struct NearestView {
  const int32_t* distances;
  const int64_t* ids;
  size_t k;
};

// The k nearest of both, k <= a.k + b.k.
void merge_nearest(NearestView a, NearestView b, size_t n_queries, size_t k, int32_t* distances, int64_t* ids) noexcept;

// Codes within a radius of each query, by (distance, id): those of query i are [offsets[i], offsets[i + 1]).
struct WithinRadiusView {
  const int64_t* offsets;
  const int32_t* distances;
  const int64_t* ids;
};

// All of both; the offsets of the result are the sums of the two.
void merge_within_radius(WithinRadiusView a, WithinRadiusView b, size_t n_queries, int32_t* distances,
                         int64_t* ids) noexcept;

}  // namespace hashkit
