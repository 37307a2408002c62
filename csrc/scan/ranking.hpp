// All codes by their distance to a query: a sort by counting, which takes two passes over the codes whatever is wanted
// of them. Keeping the best of what passes a limit is faster for few of them, and many times slower for most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/codes_view.hpp"
#include "core/huge_vector.hpp"
#include "core/row_set.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

// One query at a time; takes two bytes for each code.
class Ranking {
 public:
  // The rows are shared among so many threads, if each gets enough of them.
  Ranking(const KernelTable& kernels, CodesView codes, RowSet allowed, size_t n_threads);

  // Measures the distances of a query. Returns how many of the allowed codes are within `limit`, 0 to the bits.
  size_t measure(const uint8_t* query, int limit);

  // Writes those, or the first k of them, by (distance, row).
  void write(size_t k, int32_t* distances, int64_t* rows) const;

 private:
  size_t begin_of(size_t piece) const noexcept { return codes_.n_codes * piece / n_pieces_; }
  void count(size_t piece, const uint8_t* query);

  const KernelTable& kernels_;
  CodesView codes_;
  RowSet allowed_;
  size_t n_pieces_;
  size_t n_distances_;
  size_t n_limited_ = 0;            // how many distances are within the limit
  HugeVector<uint16_t> distances_;  // by row; kLeftOut where it is not allowed
  std::vector<size_t> counts_;      // by piece of the rows and distance
};

}  // namespace hashkit
