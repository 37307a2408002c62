// All pairs of codes that are near by Jaccard distance or another measure of sets, by a sweep over sketches of the
// codes in the order of their popcounts: popcounts too far apart are not looked at (Swamidass and Baldi 2007), and only
// where the sketches are within the limit are the codes themselves compared.
//
// The other way would be inverted lists of rare bits (Bayardo, Ma, Srikant 2007; PPJoin, Xiao et al. 2008). A list of
// one of 2,048 bits has thousands of entries for a million codes, each to be looked at for every code with the bit; a
// sketch of 64 bits takes 0.06 ns in a tile. Where codes are dense there are no sketches: the codes are compared at
// once.
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

// What to join: rows [first, last) of `left` with the codes of `right`, whose rows are counted from `offset` on. With
// later_only, those are rows of the same set, and a row's partners are the rows after it.
struct JaccardRows {
  CodesView left;
  size_t first;
  size_t last;
  PopcountOrder right;
  CodesView sketches;  // of the codes of `right`, in their order; those codes themselves if they are as long
  size_t offset;
  bool later_only;
  const NearLimits& limits;
};

// Bytes in the sketches with which a join over these codes takes least time, estimated from a sample of pairs; as many
// as in a code if sketches do not pay.
size_t choose_sketch_bytes(const KernelTable& kernels, const PopcountOrder& order, const NearLimits& limits);

// Sketches of n_folded bytes of all codes.
void fold_codes(CodesView codes, size_t n_folded, size_t n_threads, uint8_t* folded);

// Every pair within the limits, by (left row, right row); nothing if there are more than max_pairs, which ends the
// search early. The memory is that of max_pairs pairs and of one segment's pairs for each thread.
std::optional<JaccardPairs> jaccard_pairs(const KernelTable& kernels, const JaccardRows& rows, size_t n_threads,
                                          size_t max_pairs);

}  // namespace hashkit
