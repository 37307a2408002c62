// What a search returns, and how it is written into arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/huge_vector.hpp"
#include "core/top_k.hpp"

namespace hashkit {

// The distance, beyond every other, at a place that nothing was found for; its row is -1.
constexpr int32_t kNoDistance = INT32_MAX;

// The codes within a radius, for many queries: those of query i are [offsets[i], offsets[i + 1]), by
// (distance, row).
struct WithinRadius {
  std::vector<int64_t> offsets;
  HugeVector<int32_t> distances;
  HugeVector<int64_t> rows;
};

// A row of results: the k nearest, or what there is of them and kNoDistance behind.
void write_nearest(const std::vector<Neighbor>& nearest, size_t k, int32_t* distances, int64_t* rows);

// One result of the lists of many queries, each in ascending order of row; empties them.
WithinRadius join_lists(std::vector<std::vector<Neighbor>>& lists, int n_bits);

}  // namespace hashkit
