// Cells by the distance of their centroids from a query.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "far/cells.hpp"

namespace hashkit {

// Cells in ascending order of (distance of the centroid, cell), sorted as far as needed.
class CellOrder {
 public:
  CellOrder(const KernelTable& kernels, const Cells& cells)
      : kernels_(kernels),
        cells_(cells),
        distances_(cells.n_cells()),
        order_(cells.n_cells()),
        ends_(8 * cells.n_bytes + 2) {}

  void start(const uint8_t* query) {
    const size_t n = cells_.n_cells();
    cells_.require(cells_.centroids.data(), cells_.centroids.size());
    kernels_.distances(query, cells_.centroids.data(), n, cells_.n_bytes, distances_.data());
    std::fill(ends_.begin(), ends_.end(), 0);
    for (uint16_t distance : distances_) ++ends_[distance + 1u];
    std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
    const size_t enough = std::min(n, n / kFirstShare + kFirstCells);
    const auto reached = std::find_if(ends_.begin() + 1, ends_.end(), [=](uint32_t end) { return end >= enough; });
    sorted_below_ = 0;
    sort_below(static_cast<uint32_t>(reached - ends_.begin()));
  }

  uint32_t cell(size_t i) {
    if (i >= n_sorted_) sort_below(static_cast<uint32_t>(ends_.size()) - 1);
    return order_[i];
  }
  int distance_of(uint32_t cell) const noexcept { return distances_[cell]; }

 private:
  // Cells are sorted in two rounds: this share of them first, which suffices for most queries.
  static constexpr size_t kFirstShare = 16, kFirstCells = 32;

  // Appends cells at distances [sorted_below_, bound) to those already sorted.
  void sort_below(uint32_t bound) {
    const uint32_t from = sorted_below_;
    n_sorted_ = ends_[bound];
    for (uint32_t c = 0; c < distances_.size(); ++c) {
      const uint32_t distance = distances_[c];
      if (distance >= from && distance < bound) order_[ends_[distance]++] = c;
    }
    sorted_below_ = bound;
  }

  const KernelTable& kernels_;
  const Cells& cells_;
  std::vector<uint16_t> distances_;
  std::vector<uint32_t> order_;
  std::vector<uint32_t> ends_;  // by distance: where the next cell at it goes
  uint32_t sorted_below_ = 0;
  size_t n_sorted_ = 0;
};

}  // namespace hashkit
