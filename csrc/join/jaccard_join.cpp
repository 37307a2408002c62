#include "join/jaccard_join.hpp"

#include <algorithm>
#include <cstring>

#include "jaccard/jaccard_sweep.hpp"
#include "jaccard/sketches.hpp"
#include "join/found_pairs.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

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

void find_in_task(const KernelTable& kernels, const JaccardRows& rows, size_t first, size_t last, FoundPairs& found) {
  const CodesView codes{rows.left.row(first), last - first, rows.left.n_bytes};
  const auto sorted_queries = sort_queries(kernels, codes);
  std::vector<uint8_t> room;
  const CodesView queries = fold_queries(codes, rows.sketches.n_bytes, room);
  JaccardPairFinder finder{kernels, rows, first, sorted_queries.data(), found};
  JaccardSweep<JaccardPairFinder>(kernels, rows.right, rows.sketches, queries, sorted_queries.data(),
                                  sorted_queries.size(), finder)
      .run(0, 1);
  stoppable_sort(found.pairs.begin(), found.pairs.end());
}

}  // namespace

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
