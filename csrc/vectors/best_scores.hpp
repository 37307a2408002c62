// The k best of many scored rows, by (score, row).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace hashkit {

// The higher score is the better one; no score is NaN.
class BestScores {
 public:
  explicit BestScores(size_t k) : k_(k), room_(2 * k + kSlack) {}

  // Scores below it are not accepted any more.
  float limit() const noexcept { return limit_; }

  void push(uint32_t row, float score) {
    kept_.push_back(uint64_t{falling(score)} << 32 | row);
    if (kept_.size() >= room_) keep_k();
  }

  // Pushes many rows at once, which takes less time than one after the other where most of them are not among the k.
  void push_all(const int64_t* rows, const float* scores, size_t n) {
    const size_t n_kept = kept_.size();
    kept_.resize(n_kept + n);
    for (size_t i = 0; i < n; ++i) {
      kept_[n_kept + i] = uint64_t{falling(scores[i])} << 32 | static_cast<uint32_t>(rows[i]);
    }
    if (kept_.size() >= room_) keep_k();
  }

  // Adds the scores that another object kept.
  void merge(const BestScores& other) {
    kept_.insert(kept_.end(), other.kept_.begin(), other.kept_.end());
    if (kept_.size() > k_) keep_k();
  }

  // Writes the best, followed by `missing` and row -1 in empty places.
  void write(float missing, float* scores, int64_t* rows) {
    if (kept_.size() > k_) keep_k();
    std::sort(kept_.begin(), kept_.end());
    for (size_t i = 0; i < k_; ++i) {
      scores[i] = i < kept_.size() ? score_of(kept_[i]) : missing;
      rows[i] = i < kept_.size() ? static_cast<int64_t>(kept_[i] & 0xffffffffu) : -1;
    }
  }

 private:
  static constexpr size_t kSlack = 64;

  // A number that falls as the score rises: floats sort like their bits after the signs are mapped.
  static uint32_t falling(float score) noexcept {
    score += 0.0f;  // -0 is 0
    uint32_t bits;
    std::memcpy(&bits, &score, 4);
    return bits >> 31 != 0 ? bits : ~bits & 0x7fffffffu;
  }
  static float score_of(uint64_t key) noexcept {
    auto bits = static_cast<uint32_t>(key >> 32);
    if (bits >> 31 == 0) bits = ~bits & 0x7fffffffu;
    float score;
    std::memcpy(&score, &bits, 4);
    return score;
  }

  void keep_k() {
    if (k_ == 0) return kept_.clear();
    const auto last = kept_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
    std::nth_element(kept_.begin(), last, kept_.end());
    limit_ = score_of(*last);
    kept_.resize(k_);
  }

  size_t k_, room_;
  float limit_ = -std::numeric_limits<float>::infinity();
  std::vector<uint64_t> kept_;
};

}  // namespace hashkit
