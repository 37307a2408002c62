// Cells by the distance of their centroids from a query.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include "core/scan_loops.hpp"
#include "far/cells.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

// Cells in ascending order of (distance of the centroid, cell), sorted as far as needed.
class CellOrder {
 public:
  CellOrder(const KernelTable& kernels, const Cells& cells)
      : kernels_(kernels),
        cells_(cells),
        distances_(new uint16_t[cells.n_cells()]),
        order_(new uint32_t[cells.n_cells()]),
        ends_(8 * cells.n_bytes + 2) {
    if (cells.centroid_sketches.empty()) return;
    hits_ = room_for_hits(cells.n_cells());
    sampled_.reserve(cells.n_cells() / kSampleStep + 1);
    for (uint32_t c = 0; c < cells.n_cells(); c += kSampleStep) sampled_.push_back({c, c + 1});
  }

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
    if (2 * enough > n) {
      measure_all();
      return sort_nearest();
    }
    const CodeRun all{0, static_cast<uint32_t>(n)};
    const size_t n_hits = scan_sketches(query_sketch, &all, 1, limit_that_leaves(enough, query_sketch));
    for (size_t i = 0; i < n_hits; ++i) order_[i] = hits_[i].row;
    const CodeRun listed{0, static_cast<uint32_t>(n_hits)};
    kernels_.scan_listed_runs(query, cells_.centroids.data(), order_.get(), &listed, 1, cells_.n_bytes,
                              static_cast<int>(8 * cells_.n_bytes), hits_.get());
    append_hits(n_hits);
    by_sketches_ = true;
  }

  uint32_t cell(size_t i) {
    if (i >= n_sorted_) sort_rest();
    return order_[i];
  }
  int distance_of(uint32_t cell) const noexcept { return distances_[cell]; }

 private:
  // Cells are sorted in two rounds: this share of them first, which suffices for most queries.
  static constexpr size_t kFirstShare = 16, kFirstCells = 32;
  // So many are found by their sketches. Of 4,000 cells of codes of 1,024 bits, those that a recall of .95 needs were
  // among the nearest 98 by sketches for nine of ten queries, among the nearest 430 for 99 of 100.
  static constexpr size_t kSketchedShare = 16, kSketchedCells = 64;
  static constexpr size_t kSampleStep = 32;

  void begin(const uint8_t* query) {
    cells_.require(cells_.centroids.data(), cells_.centroids.size());
    query_ = query;
    n_sorted_ = 0;
    by_sketches_ = false;
  }

  void measure_all() noexcept {
    kernels_.distances(query_, cells_.centroids.data(), cells_.n_cells(), cells_.n_bytes, distances_.get());
  }

  void sort_nearest() {
    const size_t n = cells_.n_cells();
    std::fill(ends_.begin(), ends_.end(), 0);
    for (size_t c = 0; c < n; ++c) ++ends_[distances_[c] + 1u];
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
    for (uint32_t c = 0; c < cells_.n_cells(); ++c) {
      const uint32_t distance = distances_[c];
      if (distance >= from && distance < bound) order_[ends_[distance]++] = c;
    }
    sorted_below_ = bound;
  }

  // The distance of sketches that about this many centroids are within, by a sample of them.
  int limit_that_leaves(size_t n_left, const uint8_t* query_sketch) {
    const auto n_bits = static_cast<int>(8 * cells_.sketch_bytes);
    const size_t n_sampled = scan_sketches(query_sketch, sampled_.data(), sampled_.size(), n_bits);
    std::fill(ends_.begin(), ends_.end(), 0);
    for (size_t i = 0; i < n_sampled; ++i) ++ends_[hits_[i].distance];
    int limit = 0;
    for (size_t n = ends_[0]; kSampleStep * n < n_left && n < n_sampled; n += ends_[static_cast<size_t>(limit)])
      ++limit;
    return limit;
  }

  size_t scan_sketches(const uint8_t* query_sketch, const CodeRun* runs, size_t n_runs, int limit) {
    return kernels_.scan_runs(query_sketch, cells_.centroid_sketches.data(), runs, n_runs, cells_.sketch_bytes, limit,
                              hits_.get());
  }

  // Appends the cells and distances of hits, which are by cell.
  void append_hits(size_t n_hits) {
    std::fill(ends_.begin(), ends_.end(), 0);
    for (size_t i = 0; i < n_hits; ++i) ++ends_[hits_[i].distance + 1u];
    std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
    for (size_t i = 0; i < n_hits; ++i) {
      distances_[hits_[i].row] = hits_[i].distance;
      order_[n_sorted_ + ends_[hits_[i].distance]++] = hits_[i].row;
    }
    n_sorted_ += n_hits;
  }

  // Appends all other cells.
  void sort_rest() {
    if (!by_sketches_) return sort_below(static_cast<uint32_t>(ends_.size()) - 1);
    std::vector<char> came(cells_.n_cells());
    for (size_t i = 0; i < n_sorted_; ++i) came[order_[i]] = 1;
    measure_all();
    size_t n_hits = 0;
    for (uint32_t c = 0; c < came.size(); ++c) {
      if (came[c] == 0) hits_[n_hits++] = Hit{c, 0, distances_[c]};
    }
    append_hits(n_hits);
  }

  const KernelTable& kernels_;
  const Cells& cells_;
  const uint8_t* query_ = nullptr;
  std::unique_ptr<uint16_t[]> distances_;  // of centroids, by cell; not all are set after start_by_sketches
  std::unique_ptr<uint32_t[]> order_;
  std::vector<uint32_t> ends_;  // by distance: where the next cell at it goes
  uint32_t sorted_below_ = 0;
  size_t n_sorted_ = 0;
  bool by_sketches_ = false;
  HitRoom hits_;
  std::vector<CodeRun> sampled_;
};

}  // namespace hashkit
