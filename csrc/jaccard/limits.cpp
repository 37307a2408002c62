#include "jaccard/limits.hpp"

namespace hashkit {

NearLimits::NearLimits(const Measure& measure, double threshold, bool is_similarity, size_t n_bytes)
    : measure_(measure), threshold_(threshold), is_similarity_(is_similarity), n_bytes_(n_bytes) {
  if (!measure.is_symmetric()) return;
  std::vector<int> by_sum;
  for (int sum = 0; sum <= static_cast<int>(16 * n_bytes); ++sum) by_sum.push_back(largest(sum, 0, 0));
  by_sum_ = std::move(by_sum);
}

// Starts from `least`; the result is lower if not even codes at that distance are near. The first estimate is exact up
// to rounding.
int NearLimits::largest(int left, int right, int least) const noexcept {
  const double similarity = std::clamp(is_similarity_ ? threshold_ : 1 - threshold_, 0.0, 1.0);
  const auto common = static_cast<double>(measure_.common);
  auto left_only = static_cast<double>(measure_.left), right_only = static_cast<double>(measure_.right);
  if (!measure_.is_directed && (left_only > right_only) == (left > right)) std::swap(left_only, right_only);
  const int sum = left + right;
  const double guess = (common * (1 - similarity) * sum - similarity * (left_only - right_only) * (left - right)) /
                       (common * (1 - similarity) + similarity * (left_only + right_only));
  int limit = std::clamp(static_cast<int>(guess), least, sum);
  while (limit < sum && is_near(left, right, limit + 1)) ++limit;
  while (limit >= least && !is_near(left, right, limit)) --limit;
  return limit;
}

}  // namespace hashkit
