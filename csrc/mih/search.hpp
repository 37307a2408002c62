// Exact search by multi-index hashing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/row_set.hpp"
#include "kernels/kernel_table.hpp"
#include "mih/probing.hpp"
#include "mih/tables.hpp"
#include "scan/linear_scan.hpp"

namespace hashkit {

// Codes, their tables, and the n_allowed rows that may be returned.
struct IndexedCodes {
  const KernelTable& kernels;
  const Tables& tables;
  CodesView codes;
  RowSet allowed;
  size_t n_allowed;
};

constexpr int64_t kNoMaximum = INT64_MAX;

// The same as scan_k_nearest. A query stops after max_candidates codes have been compared for it; its stats say whether
// the result is proven to be exact. `stats`, if not null, has one entry for each query.
void mih_k_nearest(const IndexedCodes& in, CodesView queries, size_t k, size_t n_threads, int32_t* distances,
                   int64_t* rows, const int32_t* limits, int64_t max_candidates, QueryStats* stats);

// The same as scan_within_radius.
WithinRadius mih_within_radius(const IndexedCodes& in, CodesView queries, int radius, size_t n_threads);

}  // namespace hashkit
