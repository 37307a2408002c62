// Exact search that reads few codes: cells, the nearest first, and in each only codes that bounds do not rule out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/row_set.hpp"
#include "far/bounds.hpp"

namespace hashkit {

struct BoundedSearch {
  const KernelTable& kernels;
  const Cells& cells;
  const Bounds& bounds;
  CodesView codes;  // those that both were built of
  RowSet allowed;
};

// What was done for a query.
struct BoundedStats {
  int64_t cells = 0;     // of which sketches were read
  int64_t sketches = 0;  // read
  int64_t codes = 0;     // compared as a whole
  bool scanned = false;  // whether too many codes remained, so that all of them were scanned
};

// What scan_k_nearest finds, of the same arguments. `stats`, if not null, has an entry for each query; they depend on
// n_threads where that is more than the queries.
void bounded_k_nearest(const BoundedSearch& in, CodesView queries, size_t k, size_t n_threads, int32_t* distances,
                       int64_t* rows, const int32_t* limits, BoundedStats* stats);

}  // namespace hashkit
