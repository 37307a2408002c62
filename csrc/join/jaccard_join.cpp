#include "join/jaccard_join.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/folding.hpp"
#include "jaccard/jaccard_sweep.hpp"
#include "join/found_pairs.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr std::array<size_t, 5> kSketchBytes{8, 16, 32, 64, 128};
constexpr size_t kSampledQueries = 128, kSampledCodes = 256;
// Nanoseconds, measured with AVX-512 on an Intel Xeon (Sapphire Rapids); only their ratios matter.
constexpr double kSweptWord = 0.06;  // a 64-bit word of a sketch, compared in a tile
constexpr double kVerified = 12;     // a code that is compared because its sketch passed
constexpr double kVerifiedWord = 0.4;

constexpr size_t kSweptPerThread = 4'000'000;  // pairs compared; fewer are not worth a thread
constexpr int kSumBits = 14;                   // sums of popcounts are at most 8,192

// A Hamming distance and a sum of popcounts as one number, and back, with the left popcount, as a distance.
int32_t pack_fraction(int hamming, int sum) noexcept {
  return hamming << kSumBits | sum;
}
double unpack_fraction(const Measure& measure, int left, int32_t packed) noexcept {
  const int sum = packed & ((1 << kSumBits) - 1);
  return measure.distance(left, sum - left, packed >> kSumBits);
}

// Takes the hits of a sweep over sketches, and keeps those whose codes are within the limits.
struct JaccardPairFinder {
  const KernelTable& kernels;
  const JaccardRows& rows;
  size_t first;  // the task's first left row
  const QueryPopcount* sorted_queries;
  FoundPairs& found;

  bool go_on() { return found.go_on(); }
  int limit(size_t q, int low, int high) const noexcept {
    return rows.limits.within(sorted_queries[q].popcount, low, high);
  }
  void push(size_t q, size_t place, int popcount, int hamming) {
    const int own = sorted_queries[q].popcount, most = rows.limits.at(own, popcount);
    const size_t left = first + sorted_queries[q].query;
    const auto right = static_cast<size_t>(rows.right.rows[place]) + rows.offset;
    if (hamming > most || (rows.later_only && right <= left)) return;
    if (rows.sketches.n_bytes < rows.left.n_bytes) {
      uint16_t exact;
      kernels.distances(rows.left.row(left), rows.right.codes.row(place), 1, rows.left.n_bytes, &exact);
      if ((hamming = exact) > most) return;
    }
    found.pairs.push_back(
        {static_cast<int64_t>(right), static_cast<uint32_t>(left - first), pack_fraction(hamming, own + popcount)});
  }
};

// Sketches of the rows [first, last); the codes themselves if sketches are as long.
CodesView fold_rows(CodesView codes, size_t first, size_t last, size_t n_folded, std::vector<uint8_t>& room) {
  if (n_folded == codes.n_bytes) return {codes.row(first), last - first, codes.n_bytes};
  room.resize((last - first) * n_folded);
  for (size_t row = first; row < last; ++row) {
    fold_code(codes.row(row), codes.n_bytes, n_folded, room.data() + (row - first) * n_folded);
  }
  return {room.data(), last - first, n_folded};
}

void find_in_task(const KernelTable& kernels, const JaccardRows& rows, size_t first, size_t last, FoundPairs& found) {
  const auto sorted_queries = sort_queries(kernels, {rows.left.row(first), last - first, rows.left.n_bytes});
  std::vector<uint8_t> room;
  const CodesView queries = fold_rows(rows.left, first, last, rows.sketches.n_bytes, room);
  JaccardPairFinder finder{kernels, rows, first, sorted_queries.data(), found};
  JaccardSweep<JaccardPairFinder>(kernels, rows.right, rows.sketches, queries, sorted_queries.data(),
                                  sorted_queries.size(), finder)
      .run(0, 1);
  stoppable_sort(found.pairs.begin(), found.pairs.end());
}

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

void fold_codes(CodesView codes, size_t n_folded, size_t n_threads, uint8_t* folded) {
  parallel_for((codes.n_codes + kRowsPerPoll - 1) / kRowsPerPoll, n_threads, [&](size_t task) {
    const size_t last = std::min((task + 1) * kRowsPerPoll, codes.n_codes);
    for (size_t row = task * kRowsPerPoll; row < last; ++row) {
      fold_code(codes.row(row), codes.n_bytes, n_folded, folded + row * n_folded);
    }
  });
}

std::optional<JaccardPairs> jaccard_pairs(const KernelTable& kernels, const JaccardRows& rows, size_t n_threads,
                                          size_t max_pairs) {
  if (rows.right.codes.n_codes == 0) return JaccardPairs{};
  n_threads = std::min(n_threads, 1 + (rows.last - rows.first) * rows.right.codes.n_codes / kSweptPerThread);
  const auto find = [&](size_t first, size_t last, FoundPairs& found) {
    find_in_task(kernels, rows, first, last, found);
  };
  const size_t step = queries_per_task(rows.last - rows.first, n_threads);
  auto pairs = find_pairs(rows.first, rows.last, step, n_threads, max_pairs, find);
  if (!pairs) return std::nullopt;
  JaccardPairs result{std::move(pairs->left), std::move(pairs->right), {}};
  result.distances.resize(pairs->distances.size());
  const auto popcounts = popcounts_of(kernels, {rows.left.row(rows.first), rows.last - rows.first, rows.left.n_bytes});
  in_chunks(pairs->distances.size(), kRowsPerPoll, [&](size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) {
      const uint16_t left = popcounts[static_cast<size_t>(result.left[i]) - rows.first];
      result.distances[i] = unpack_fraction(rows.limits.measure(), left, pairs->distances[i]);
    }
  });
  return result;
}

}  // namespace hashkit
