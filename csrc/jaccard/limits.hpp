// Bounds on the similarity of two sets of bits as bounds on their Hamming distance: for given popcounts, similarity
// falls as the distance grows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

namespace hashkit {

// A ratio of counts (Tversky, Features of Similarity, 1977). Codes of popcounts a and b with c bits in common have the
// similarity common c / (common c + left (a - c) + right (b - c)). Weights of 1 make Jaccard's, 2, 1 and 1 Dice's, 1, 1
// and 0 the share of the left code's bits that the right one has. Codes without a bit in common have similarity 0, but
// 1 if both are empty. Weights are at most kMaxWeight, and left or right is not 0.
struct Measure {
  static constexpr int64_t kMaxWeight = int64_t{1} << 30;

  int64_t common = 1, left = 1, right = 1;
  bool is_directed = true;  // if not, the larger similarity counts, that of the left code with the right or the reverse

  // Whether it depends on nothing but the Hamming distance and the sum of the popcounts.
  bool is_symmetric() const noexcept { return left == right; }

  // The doubles nearest to the fractions; hamming is at least |a - b| and at most a + b. Numerators and denominators
  // are below 2^53.
  double similarity(int a, int b, int hamming) const noexcept {
    if (hamming == a + b) return a + b == 0;
    const int64_t shared = common * (a + b - hamming);
    return static_cast<double>(shared) / static_cast<double>(shared + differing(a, b, hamming));
  }
  double distance(int a, int b, int hamming) const noexcept {
    if (hamming == a + b) return a + b != 0;
    const int64_t different = differing(a, b, hamming);
    return static_cast<double>(different) / static_cast<double>(common * (a + b - hamming) + different);
  }

 private:
  // Twice the weighted number of bits that are in one of the codes.
  int64_t differing(int a, int b, int hamming) const noexcept {
    if (!is_directed && (left > right) == (a > b)) std::swap(a, b);
    return left * (a - b + hamming) + right * (b - a + hamming);
  }
};

// Which pairs are near: those of at least a given similarity, or within a distance, which is 1 minus the similarity.
// Both are compared as doubles and are at least 0.
class NearLimits {
 public:
  NearLimits(const Measure& measure, double threshold, bool is_similarity, size_t n_bytes);

  const Measure& measure() const noexcept { return measure_; }
  size_t n_bytes() const noexcept { return n_bytes_; }

  // The largest Hamming distance at which codes of these popcounts are near, or one less than any that they can have.
  int at(int left, int right) const noexcept {
    return by_sum_.empty() ? largest(left, right, std::abs(left - right)) : by_sum_[static_cast<size_t>(left + right)];
  }

  // The largest of those with right codes of popcounts from `low` to `high`; -1 if none can be near.
  int within(int left, int low, int high) const noexcept {
    // The bound grows with the sum of the popcounts.
    if (!by_sum_.empty()) return within_reach(at(left, high), left, low, high);
    int most = -1;
    for (int right = low; right <= high; ++right) most = std::max(most, at(left, right));
    return most;
  }

  // `limit`, or -1 if codes of these popcounts differ in more bits.
  static int within_reach(int limit, int left, int low, int high) noexcept {
    return limit < std::max(low - left, left - high) ? -1 : limit;
  }

 private:
  bool is_near(int left, int right, int hamming) const noexcept {
    return is_similarity_ ? measure_.similarity(left, right, hamming) >= threshold_
                          : measure_.distance(left, right, hamming) <= threshold_;
  }
  int largest(int left, int right, int least) const noexcept;

  Measure measure_;
  double threshold_;
  bool is_similarity_;
  size_t n_bytes_;
  std::vector<int> by_sum_;  // of a symmetric measure
};

}  // namespace hashkit
