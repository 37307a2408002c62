// All pairs of codes that are near by Jaccard distance or another measure of sets, by a sweep over sketches of the
// codes in the order of their popcounts. Codes whose popcounts differ too much are skipped (Swamidass and Baldi 2007),
// and codes are compared only if their sketches are within the limit.
//
// The alternative would be inverted lists of rare bits (Bayardo, Ma, Srikant 2007; PPJoin, Xiao et al. 2008). With
// 2,048 bits and a million codes a list has thousands of entries, and each is read for every code with the bit; a
// sketch of 64 bits takes 0.06 ns in a tile. For dense codes there are no sketches, and the codes are compared
// directly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/codes_view.hpp"
#include "core/huge_vector.hpp"
#include "jaccard/jaccard.hpp"
#include "jaccard/limits.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

struct JaccardPairs {
  std::vector<int64_t> left;
  std::vector<int64_t> right;
  std::vector<double> distances;
};

// The rows to join: [first, last) of `left` with the codes of `right`, whose rows are counted from `offset` on. With
// later_only, both are rows of the same set, and a row is joined with the rows after it.
struct JaccardRows {
  CodesView left;
  size_t first;
  size_t last;
  PopcountOrder right;
  CodesView sketches;  // of the codes of `right`, in their order; the codes themselves if sketches are as long
  size_t offset;
  bool later_only;
  const NearLimits& limits;
};

// All pairs within the limits, by (left row, right row). Stops early and returns nothing if there are more than
// max_pairs. Uses memory for max_pairs pairs and one segment's pairs for each thread.
std::optional<JaccardPairs> jaccard_pairs(const KernelTable& kernels, const JaccardRows& rows, size_t n_threads,
                                          size_t max_pairs);

}  // namespace hashkit
