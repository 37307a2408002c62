// All pairs of codes within a radius of each other, by exhaustive search.
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

// The rows whose partners are looked for: [first, last) of `left`. With later_only `right` is the same set, and a
// row's partners are the rows behind it, so that over all rows each pair is met once.
struct JoinRows {
  CodesView left;
  size_t first;
  size_t last;
  CodesView right;
  bool later_only;
};

// Every pair within the radius; nothing if there are more than max_pairs, which ends the search early. Takes memory
// for max_pairs, and for those of one tile of codes, however many pairs there are.
std::optional<Pairs> scan_pairs(const KernelTable& kernels, const JoinRows& rows, int radius, size_t n_threads,
                                size_t max_pairs);

}  // namespace hashkit
