// Sketches of codes in the order of their popcounts: codes laid over themselves (see core/folding.hpp), short enough to
// be compared in a fraction of the time, long enough that few codes pass that are not near.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/codes_view.hpp"
#include "jaccard/jaccard.hpp"
#include "jaccard/limits.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

// The number of bytes of a sketch for the fastest join of these codes, estimated on a sample of pairs; that of a code
// if sketches do not pay.
size_t choose_sketch_bytes(const KernelTable& kernels, const PopcountOrder& order, const NearLimits& limits);

// The same for searches of the k nearest, which the nearest of the sampled pairs stand for.
size_t choose_sketch_bytes(const KernelTable& kernels, const PopcountOrder& order);

// Sketches of n_folded bytes of all codes.
void fold_codes(CodesView codes, size_t n_folded, size_t n_threads, uint8_t* folded);

// The same of a few, which `room` holds; the codes themselves if they are as long.
CodesView fold_queries(CodesView codes, size_t n_folded, std::vector<uint8_t>& room);

}  // namespace hashkit
