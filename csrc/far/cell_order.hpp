// Cells by the distance of their centroids from a query.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <vector>

#include "far/cells.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

// Cells in ascending order of (distance of the centroid, cell), sorted as far as needed.
class CellOrder {
 public:
  CellOrder(const KernelTable& kernels, const Cells& cells)
      : kernels_(kernels),
        cells_(cells),
        distances_(cells.n_cells()),
        order_(cells.n_cells()),
        ends_(8 * cells.n_bytes + 2),
        hits_(cells.centroid_sketches.empty() ? 0 : cells.n_cells()) {}

  void start(const uint8_t* query) {
    begin(query);
    measure_all();
    sort_nearest();
  }

  // The same, but first come those of the cells whose sketches of centroids are nearest, in their own order, and then
  // all others: the distances of most centroids are not computed then.
  void start_by_sketches(const uint8_t* query, const uint8_t* query_sketch) {
    begin(query);
    const size_t n = cells_.n_cells(), enough = n / kSketchedShare + kSketchedCells;
    if (cells_.centroid_sketches.empty() || 2 * enough > n) {
      measure_all();
      return sort_nearest();
    }
    kernels_.distances(query_sketch, cells_.centroid_sketches.data(), n, cells_.sketch_bytes, distances_.data());
    const int limit = limit_that_leaves(enough);
    size_t n_hits = 0;
    for (uint32_t c = 0; c < n; ++c) {
      order_[n_hits] = c;
      n_hits += distances_[c] <= limit ? 1 : 0;
    }
    const CodeRun listed{0, static_cast<uint32_t>(n_hits)};
    kernels_.scan_listed_runs(query, cells_.centroids.data(), order_.data(), &listed, 1, cells_.n_bytes,
                              static_cast<int>(8 * cells_.n_bytes), hits_.data());
    for (size_t i = 0; i < n_hits; ++i) {
      distances_[hits_[i].row] = hits_[i].distance;
      heap_.push_back(uint64_t{hits_[i].distance} << 32 | hits_[i].row);
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    by_sketches_ = true;
  }

  // Has the i-th cell been found without further work?
  bool has(size_t i) const noexcept { return i < n_sorted_ + heap_.size(); }

  uint32_t cell(size_t i) {
    if (i >= n_sorted_) sort_more(i);
    return order_[i];
  }
  int distance_of(uint32_t cell) const noexcept { return distances_[cell]; }

 private:
  // Cells are sorted in two rounds: this share of them first, which suffices for most queries.
  static constexpr size_t kFirstShare = 16, kFirstCells = 32;
  // By their sketches so many are found. Of 4,000 cells of codes of 1,024 bits, those that a recall of .95 needs were
  // among the nearest 430 by sketches for 99 of 100 queries.
  static constexpr size_t kSketchedShare = 8, kSketchedCells = 32;
  static constexpr size_t kSampleStep = 8;

  void begin(const uint8_t* query) {
    cells_.require(cells_.centroids.data(), cells_.centroids.size());
    query_ = query;
    heap_.clear();
    n_sorted_ = 0;
    by_sketches_ = false;
  }

  void measure_all() {
    kernels_.distances(query_, cells_.centroids.data(), cells_.n_cells(), cells_.n_bytes, distances_.data());
  }

  void sort_nearest() {
    const size_t n = cells_.n_cells();
    std::fill(ends_.begin(), ends_.end(), 0);
    for (uint16_t distance : distances_) ++ends_[distance + 1u];
    std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
    const size_t enough = std::min(n, n / kFirstShare + kFirstCells);
    const auto reached = std::find_if(ends_.begin() + 1, ends_.end(), [=](uint32_t end) { return end >= enough; });
    sorted_below_ = 0;
    sort_below(static_cast<uint32_t>(reached - ends_.begin()));
  }

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

  // The distance of sketches that about this many centroids are within, by a sample of them.
  int limit_that_leaves(size_t n_left) {
    std::fill(ends_.begin(), ends_.end(), 0);
    for (size_t c = 0; c < distances_.size(); c += kSampleStep) ++ends_[distances_[c]];
    int limit = 0;
    for (size_t n = ends_[0]; kSampleStep * n < n_left && n < distances_.size();
         n += ends_[static_cast<size_t>(limit)]) {
      ++limit;
    }
    return limit;
  }

  void sort_more(size_t i) {
    if (!by_sketches_) return sort_below(static_cast<uint32_t>(ends_.size()) - 1);
    for (; n_sorted_ <= i; ++n_sorted_) {
      if (heap_.empty()) add_others();
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      order_[n_sorted_] = static_cast<uint32_t>(heap_.back());
      heap_.pop_back();
    }
  }

  // All cells that have not come yet.
  void add_others() {
    std::vector<char> came(cells_.n_cells());
    for (size_t i = 0; i < n_sorted_; ++i) came[order_[i]] = 1;
    measure_all();
    for (uint32_t c = 0; c < came.size(); ++c) {
      if (!came[c]) heap_.push_back(uint64_t{distances_[c]} << 32 | c);
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  const KernelTable& kernels_;
  const Cells& cells_;
  const uint8_t* query_ = nullptr;
  std::vector<uint16_t> distances_;
  std::vector<uint32_t> order_;
  std::vector<uint32_t> ends_;  // by distance: where the next cell at it goes
  uint32_t sorted_below_ = 0;
  size_t n_sorted_ = 0;
  bool by_sketches_ = false;
  std::vector<Hit> hits_;
  std::vector<uint64_t> heap_;  // distances above cells, the least first
};

}  // namespace hashkit
