#include "jaccard/limits.hpp"

#include <algorithm>

#include "jaccard/jaccard.hpp"

namespace hashkit {
namespace {

// For each sum the largest distance that `passes`, which 0 does; found from `radius`, which is right but for rounding.
template <class Passes>
std::vector<int> largest_that_pass(double radius, int most, const Passes& passes) {
  std::vector<int> limits(static_cast<size_t>(most) + 1);
  for (int sum = 1; sum <= most; ++sum) {
    int& limit = limits[static_cast<size_t>(sum)];
    limit = std::clamp(static_cast<int>(radius * sum / (2 - radius)), 0, sum);
    while (limit < sum && passes(limit + 1, sum)) ++limit;
    while (limit > 0 && !passes(limit, sum)) --limit;
  }
  return limits;
}

}  // namespace

std::vector<int> limits_within(double radius, int most) {
  return largest_that_pass(std::min(radius, 1.0), most,
                           [=](int hamming, int sum) { return jaccard_distance(hamming, sum) <= radius; });
}

std::vector<int> limits_of_similarity(double similarity, int most) {
  return largest_that_pass(1 - std::clamp(similarity, 0.0, 1.0), most, [=](int hamming, int sum) {
    return static_cast<double>(sum - hamming) / static_cast<double>(sum + hamming) >= similarity;
  });
}

}  // namespace hashkit
