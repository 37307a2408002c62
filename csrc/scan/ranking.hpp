// Sorts all codes by their distance to a query, by counting. This takes two passes over the codes for any number of
// results. A scan with a limit is faster for few results, and many times slower if most codes are results.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/codes_view.hpp"
#include "core/huge_vector.hpp"
#include "core/row_set.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

// For one query at a time; uses two bytes for each code.
class Ranking {
 public:
  // The rows are shared among n_threads, or fewer if they are few.
  Ranking(const KernelTable& kernels, CodesView codes, RowSet allowed, size_t n_threads);

  // Computes the distances of a query. Returns the number of allowed codes within `limit`, from 0 to the number of
  // bits.
  size_t measure(const uint8_t* query, int limit);

  // Writes these codes, or the first k of them, by (distance, row).
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
