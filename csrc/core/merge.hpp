// Merges the results of disjoint sets of codes. Distance is int32_t or double.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hashkit {

// The k nearest codes of each query, by (distance, id): arrays of shape (n_queries, k).
template <class Distance>
struct NearestView {
  const Distance* distances;
  const int64_t* ids;
  size_t k;
};

// Codes within a radius of each query, by (distance, id). Those of query i are at [offsets[i], offsets[i + 1]).
template <class Distance>
struct WithinRadiusView {
  const int64_t* offsets;
  const Distance* distances;
  const int64_t* ids;
};

// The k nearest over all parts, where k is at most the sum of theirs: arrays of shape (n_queries, k).
template <class Distance>
void merge_nearest(const std::vector<NearestView<Distance>>& parts, size_t n_queries, size_t k, size_t n_threads,
                   Distance* distances, int64_t* ids);

// The results of all parts, by query and then by (distance, id). The offsets of the result are the sums of the parts'
// offsets.
template <class Distance>
void merge_within_radius(const std::vector<WithinRadiusView<Distance>>& parts, size_t n_queries, size_t n_threads,
                         Distance* distances, int64_t* ids);

// The first query whose list is not in ascending order of (distance, id); n_queries if all are.
template <class Distance>
size_t first_unordered(NearestView<Distance> part, size_t n_queries);
template <class Distance>
size_t first_unordered(WithinRadiusView<Distance> part, size_t n_queries);

}  // namespace hashkit
