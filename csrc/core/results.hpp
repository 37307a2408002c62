// Results of a search, and their layout in arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/huge_vector.hpp"
#include "core/top_k.hpp"

namespace hashkit {

// The distance in an empty place of the result, larger than any other; its row is -1.
constexpr int32_t kNoDistance = INT32_MAX;

// The codes within a radius of many queries. Those of query i are at [offsets[i], offsets[i + 1]), by (distance, row).
struct WithinRadius {
  std::vector<int64_t> offsets;
  HugeVector<int32_t> distances;
  HugeVector<int64_t> rows;
};

// Writes one row of results: the k nearest, padded with kNoDistance if there are fewer.
void write_nearest(const std::vector<Neighbor>& nearest, size_t k, int32_t* distances, int64_t* rows);

// Joins the lists of many queries, each in ascending order of row, and empties them.
WithinRadius join_lists(std::vector<std::vector<Neighbor>>& lists, int n_bits);

}  // namespace hashkit
