// The k nearest rows pushed so far, by (distance, row).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "parallel/stop.hpp"

namespace hashkit {

struct Neighbor {
  int32_t distance;
  int64_t row;
};

inline bool operator<(const Neighbor& a, const Neighbor& b) noexcept {
  return a.distance != b.distance ? a.distance < b.distance : a.row < b.row;
}

// Counts by distance give the distance of the k-th neighbor at any time, while neighbors are kept unsorted. A code is
// kept if it is within limit(). When twice k are kept, those beyond the limit are dropped. The counts also order the
// final k; only rows that did not come in ascending order are sorted.
//
// Rows may come in any order. If they ascend, as in a scan, the limit is one lower: see ascending_limit().
class TopK {
 public:
  TopK(size_t k, int n_bits) : k_(k), limit_(n_bits), counts_(static_cast<size_t>(n_bits) + 1) {}

  // Whether k have been pushed.
  bool is_full() const noexcept { return n_within_ >= k_; }

  // The largest distance that is still accepted.
  int limit() const noexcept { return is_full() ? limit_ : static_cast<int>(counts_.size()) - 1; }

  // The same if all further rows are larger than those pushed: a tie with the k-th then loses.
  int ascending_limit() const noexcept { return is_full() ? limit_ - 1 : limit(); }

  void push(int64_t row, int distance) {
    if (distance > limit()) return;
    kept_.push_back(static_cast<uint64_t>(distance) << kRowBits | static_cast<uint64_t>(row));
    ++counts_[static_cast<size_t>(distance)];
    ++n_within_;
    while (n_within_ - counts_[static_cast<size_t>(limit_)] >= k_) {
      n_within_ -= counts_[static_cast<size_t>(limit_)];
      --limit_;
    }
    if (kept_.size() >= 2 * k_ + kSlack) discard();
  }

  // Returns the k nearest in order, or all if fewer were pushed, and empties the object.
  std::vector<Neighbor> take() {
    drop_beyond_limit();
    std::vector<Neighbor> nearest = kept_.size() < static_cast<size_t>(limit_) ? sorted() : placed_by_counts();
    std::vector<uint64_t>().swap(kept_);
    if (nearest.size() > k_) nearest.resize(k_);
    return nearest;
  }

 private:
  static constexpr size_t kSlack = 64;
  // A neighbor is one number, distance above row, so numbers sort by (distance, row).
  static constexpr int kRowBits = 48;
  static constexpr uint64_t kRowMask = (uint64_t{1} << kRowBits) - 1;

  static int32_t distance_of(uint64_t key) noexcept { return static_cast<int32_t>(key >> kRowBits); }

  static Neighbor neighbor_of(uint64_t key) noexcept {
    return {distance_of(key), static_cast<int64_t>(key & kRowMask)};
  }

  std::vector<Neighbor> sorted() {
    stoppable_sort(kept_.begin(), kept_.end());
    std::vector<Neighbor> nearest(kept_.size());
    std::transform(kept_.begin(), kept_.end(), nearest.begin(), neighbor_of);
    return nearest;
  }

  // Takes time proportional to the number kept plus the limit.
  std::vector<Neighbor> placed_by_counts() const {
    std::vector<size_t> ends(static_cast<size_t>(limit_) + 1);  // by distance: the position of its next neighbor
    for (size_t distance = 0, n = 0; distance < ends.size(); n += counts_[distance++]) ends[distance] = n;
    std::vector<Neighbor> nearest(kept_.size());
    for (uint64_t key : kept_) nearest[ends[static_cast<size_t>(distance_of(key))]++] = neighbor_of(key);
    auto begin = nearest.begin();
    for (size_t end : ends) {
      const auto last = nearest.begin() + static_cast<std::ptrdiff_t>(end);
      if (!std::is_sorted(begin, last)) stoppable_sort(begin, last);  // rows did not ascend
      begin = last;
    }
    return nearest;
  }

  void discard() {
    drop_beyond_limit();
    if (kept_.size() > k_ + (k_ + kSlack) / 2) keep_k();  // many ties at the limit
  }

  void drop_beyond_limit() {
    const uint64_t beyond = static_cast<uint64_t>(limit_ + 1) << kRowBits;
    kept_.erase(std::remove_if(kept_.begin(), kept_.end(), [=](uint64_t key) { return key >= beyond; }), kept_.end());
  }

  // There are more than k within the limit.
  void keep_k() {
    std::nth_element(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(k_), kept_.end());
    for (size_t i = k_; i < kept_.size(); ++i) --counts_[static_cast<size_t>(distance_of(kept_[i]))];
    n_within_ = k_;
    kept_.resize(k_);
  }

  size_t k_;
  int limit_;                     // the smallest distance within which k are known, n_bits before
  size_t n_within_ = 0;           // how many of the kept are within limit_
  std::vector<uint32_t> counts_;  // by distance, right up to limit_
  std::vector<uint64_t> kept_;
};

}  // namespace hashkit
