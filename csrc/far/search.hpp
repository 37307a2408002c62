// Search of cells: the nearest cells first, in each of them sketches before codes, until a calibrated rule ends it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/results.hpp"
#include "core/row_set.hpp"
#include "far/cells.hpp"

namespace hashkit {

// The rule that ends a query, and the bounds on sketches. Both are calibrated on a sample of the codes
// (hashkit/index/cells.py).
struct CellRule {
  // A query is done when k codes are known and the next centroid is at a distance d with
  // 2 d > distance of the nearest centroid + distance of the k-th code + twice_slack.
  int twice_slack;
  // The largest sketch distance at which a code is compared, by the distance of the k-th code so far. It has n_bits + 1
  // entries; null if the cells have no sketches.
  const int32_t* sketch_limits;
  // Used as the distance of the k-th code until k are known: hardly any query has its k-th code beyond it.
  int start_distance;
  // Whether cells are found by sketches of centroids first, where there are any. That takes less time, but a near cell
  // that the sketches do not show is read late or never.
  bool by_sketches;
};

struct CellSearch {
  const KernelTable& kernels;
  const Cells& cells;
  CodesView codes;  // those that the cells were built of
  RowSet allowed;
  CellRule rule;
};

// Counts of the work for a query.
struct CellStats {
  int64_t cells = 0;     // probed
  int64_t sketches = 0;  // read; codes where there are no sketches
  int64_t codes = 0;     // compared as a whole
};

// Approximates the k nearest codes of each query, by (distance, row): `distances` and `rows` are (n_queries, k), with
// kNoDistance and -1 if fewer are found. With `limits`, codes beyond a query's limit may be left out. `stats`, if not
// null, has one entry for each query. Threads and instruction sets do not change the result.
void cells_k_nearest(const CellSearch& in, CodesView queries, size_t k, size_t n_threads, int32_t* distances,
                     int64_t* rows, const int32_t* limits, CellStats* stats);

}  // namespace hashkit
