// Answers about disjoint sets of codes, put together. Distance is int32_t or double.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hashkit {

// Nearest codes of some queries, k each, by (distance, id): arrays of shape (n_queries, k).
template <class Distance>
struct NearestView {
  const Distance* distances;
  const int64_t* ids;
  size_t k;
};

// Codes within a radius of each query, by (distance, id): those of query i are [offsets[i], offsets[i + 1]).
template <class Distance>
struct WithinRadiusView {
  const int64_t* offsets;
  const Distance* distances;
  const int64_t* ids;
};

// The k nearest of all parts, k <= the sum of theirs: arrays of shape (n_queries, k).
template <class Distance>
void merge_nearest(const std::vector<NearestView<Distance>>& parts, size_t n_queries, size_t k, size_t n_threads,
                   Distance* distances, int64_t* ids);

// All of all parts, by query and within it by (distance, id). The offsets of the result are the sums of theirs.
template <class Distance>
void merge_within_radius(const std::vector<WithinRadiusView<Distance>>& parts, size_t n_queries, size_t n_threads,
                         Distance* distances, int64_t* ids);

// The first query whose list is not in ascending order of (distance, id); n_queries if all are.
template <class Distance>
size_t first_unordered(NearestView<Distance> part, size_t n_queries);
template <class Distance>
size_t first_unordered(WithinRadiusView<Distance> part, size_t n_queries);

}  // namespace hashkit
