// All pairs of codes within a radius of each other, by comparing all pairs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/codes_view.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

// Pairs by (left row, right row).
struct Pairs {
  std::vector<int64_t> left;
  std::vector<int64_t> right;
  std::vector<int32_t> distances;
};

// The rows to join: [first, last) of `left`. With later_only, `right` is the same set and a row is joined with the rows
// after it, so each pair is found once over all rows.
struct JoinRows {
  CodesView left;
  size_t first;
  size_t last;
  CodesView right;
  bool later_only;
};

// All pairs within the radius. Stops early and returns nothing if there are more than max_pairs. Uses memory for
// max_pairs pairs and one tile's pairs.
std::optional<Pairs> scan_pairs(const KernelTable& kernels, const JoinRows& rows, int radius, size_t n_threads,
                                size_t max_pairs);

}  // namespace hashkit
