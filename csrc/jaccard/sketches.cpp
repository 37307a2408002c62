#include "jaccard/sketches.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/folding.hpp"
#include "core/scan_loops.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr std::array<size_t, 5> kSketchBytes{8, 16, 32, 64, 128};
constexpr size_t kSampledQueries = 128, kSampledCodes = 256;
// Nanoseconds, measured with AVX-512 on an Intel Xeon (Sapphire Rapids); only their ratios matter.
constexpr double kSweptWord = 0.06;  // a 64-bit word of a sketch, compared in a tile
constexpr double kVerified = 12;     // a code that is compared because its sketch passed
constexpr double kVerifiedWord = 0.4;
constexpr size_t kFarPairs = 100;  // one of so many sampled pairs stands for a query and one of its k nearest

// For one query and evenly spaced codes within its reach, counts how many sketches of each length are near.
class SketchSample {
 public:
  SketchSample(const KernelTable& kernels, const PopcountOrder& order, const NearLimits& limits)
      : kernels_(kernels), order_(order), limits_(limits) {}

  void add(size_t query) {
    const int popcount = order_.popcount_at(query);
    for (size_t i = 0; i < kSampledCodes; ++i) {
      const size_t place = order_.codes.n_codes * i / kSampledCodes;
      const int other = order_.popcount_at(place), limit = limits_.at(popcount, other);
      if (place == query || std::abs(popcount - other) > limit) continue;
      ++n_pairs_;
      for (size_t width = 0; width < kSketchBytes.size() && kSketchBytes[width] < order_.codes.n_bytes; ++width) {
        n_near_[width] += distance(query, place, kSketchBytes[width]) <= limit;
      }
    }
  }

  size_t cheapest() const noexcept {
    const auto n_words = static_cast<double>((order_.codes.n_bytes + 7) / 8), n_pairs = static_cast<double>(n_pairs_);
    double least = n_pairs * n_words * kSweptWord;
    size_t best = order_.codes.n_bytes;
    for (size_t width = 0; width < kSketchBytes.size() && kSketchBytes[width] < order_.codes.n_bytes; ++width) {
      const double cost = n_pairs * static_cast<double>(kSketchBytes[width]) / 8 * kSweptWord +
                          static_cast<double>(n_near_[width]) * (kVerified + n_words * kVerifiedWord);
      if (cost >= least) continue;
      least = cost;
      best = kSketchBytes[width];
    }
    return best;
  }

 private:
  int distance(size_t a, size_t b, size_t n_folded) const noexcept {
    uint8_t left[kMaxBytes], right[kMaxBytes];
    uint16_t found;
    fold_code(order_.codes.row(a), order_.codes.n_bytes, n_folded, left);
    fold_code(order_.codes.row(b), order_.codes.n_bytes, n_folded, right);
    kernels_.distances(left, right, 1, n_folded, &found);
    return found;
  }

  const KernelTable& kernels_;
  const PopcountOrder& order_;
  const NearLimits& limits_;
  size_t n_pairs_ = 0;
  std::array<size_t, kSketchBytes.size()> n_near_{};
};

}  // namespace

size_t choose_sketch_bytes(const KernelTable& kernels, const PopcountOrder& order, const NearLimits& limits) {
  SketchSample sample(kernels, order, limits);
  const size_t n_queries = std::min(kSampledQueries, order.codes.n_codes);
  for (size_t i = 0; i < n_queries; ++i) {
    poll_stop();
    sample.add(order.codes.n_codes * i / n_queries);
  }
  return sample.cheapest();
}

size_t choose_sketch_bytes(const KernelTable& kernels, const PopcountOrder& order) {
  const size_t n_codes = order.codes.n_codes, n_queries = std::min(kSampledQueries, n_codes);
  std::vector<double> distances;
  for (size_t i = 0; i < n_queries; ++i) {
    poll_stop();
    const size_t query = n_codes * i / n_queries;
    for (size_t j = 0; j < kSampledCodes; ++j) {
      const size_t place = n_codes * j / kSampledCodes;
      uint16_t hamming;
      kernels.distances(order.codes.row(query), order.codes.row(place), 1, order.codes.n_bytes, &hamming);
      if (place != query)
        distances.push_back(jaccard_distance(hamming, order.popcount_at(query) + order.popcount_at(place)));
    }
  }
  if (distances.empty()) return order.codes.n_bytes;
  const auto near = distances.begin() + static_cast<std::ptrdiff_t>(distances.size() / kFarPairs);
  std::nth_element(distances.begin(), near, distances.end());
  return choose_sketch_bytes(kernels, order, NearLimits(Measure{}, *near, false, order.codes.n_bytes));
}

void fold_codes(CodesView codes, size_t n_folded, size_t n_threads, uint8_t* folded) {
  parallel_for((codes.n_codes + kRowsPerPoll - 1) / kRowsPerPoll, n_threads, [&](size_t task) {
    const size_t last = std::min((task + 1) * kRowsPerPoll, codes.n_codes);
    for (size_t row = task * kRowsPerPoll; row < last; ++row) {
      fold_code(codes.row(row), codes.n_bytes, n_folded, folded + row * n_folded);
    }
  });
}

CodesView fold_queries(CodesView codes, size_t n_folded, std::vector<uint8_t>& room) {
  if (n_folded == codes.n_bytes) return codes;
  room.resize(codes.n_codes * n_folded);
  fold_codes(codes, n_folded, 1, room.data());
  return {room.data(), codes.n_codes, n_folded};
}

}  // namespace hashkit
