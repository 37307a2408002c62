#include "vectors/nearest_codes.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "parallel/parallel_for.hpp"
#include "scan/linear_scan.hpp"

namespace hashkit {
namespace {

constexpr size_t kSampleRun = 16, kSampleRuns = 128;        // of the sample: codes side by side, and how often
constexpr size_t kSelectedBytesPerPiece = size_t{4} << 20;  // of codes that a thread takes at a time
constexpr size_t kSelectedBlock = 4096;                     // codes between which hits are moved

using KeptHits = std::vector<Hit>;
using DistanceCounts = std::vector<size_t>;  // of codes by distance

// The distance within which `rank` codes are counted.
int distance_of_rank(const DistanceCounts& counts, size_t rank) noexcept {
  size_t n = 0;
  for (size_t distance = 0; distance < counts.size(); ++distance) {
    n += counts[distance];
    if (n >= rank) return static_cast<int>(distance);
  }
  return static_cast<int>(counts.size()) - 1;
}

// A distance that very likely holds the k nearest. How many of them are in the sample is Poisson distributed; codes
// side by side may be alike, for which the deviation is taken twice.
int guess_limit(const KernelTable& kernels, CodesView codes, const uint8_t* query, size_t k) {
  const auto all = static_cast<int>(8 * codes.n_bytes);
  if (codes.n_codes < 2 * kSampleRun * kSampleRuns) return all;
  DistanceCounts counts(static_cast<size_t>(all) + 1);
  uint16_t distances[kSampleRun];
  for (size_t run = 0; run < kSampleRuns; ++run) {
    const size_t row = (codes.n_codes - kSampleRun) * run / (kSampleRuns - 1);
    kernels.distances(query, codes.row(row), kSampleRun, codes.n_bytes, distances);
    for (uint16_t distance : distances) ++counts[distance];
  }
  const double expected = static_cast<double>(k) * kSampleRun * kSampleRuns / static_cast<double>(codes.n_codes);
  return distance_of_rank(counts, static_cast<size_t>(expected + 8 * std::sqrt(expected) + 4));
}

// Every code within the limit, in the order of the rows. KeptHits have the place of a row within its piece.
std::vector<KeptHits> within(const KernelTable& kernels, CodesView codes, const uint8_t* query, int limit, size_t piece,
                             size_t n_threads) {
  std::vector<KeptHits> found((codes.n_codes + piece - 1) / piece);
  parallel_for(found.size(), n_threads, [&](size_t task) {
    const size_t begin = task * piece, end = std::min(begin + piece, codes.n_codes);
    std::vector<Hit> room(kSelectedBlock);
    for (size_t row = begin; row < end; row += kSelectedBlock) {
      const size_t n = std::min(kSelectedBlock, end - row);
      const size_t n_hits = kernels.scan(query, codes.row(row), n, codes.n_bytes, limit, room.data());
      for (size_t i = 0; i < n_hits; ++i) room[i].row += static_cast<uint32_t>(row - begin);
      found[task].insert(found[task].end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(n_hits));
    }
  });
  return found;
}

}  // namespace

void select_nearest(const KernelTable& kernels, CodesView codes, const uint8_t* query, size_t k, size_t n_threads,
                    int64_t* rows) {
  if (k == 0) return;
  const size_t piece = std::max(kSelectedBytesPerPiece / codes.n_bytes, kSelectedBlock);
  const auto all = static_cast<int>(8 * codes.n_bytes);
  const int limit = guess_limit(kernels, codes, query, k);
  const std::vector<KeptHits> found = within(kernels, codes, query, limit, piece, n_threads);
  const auto count = [](size_t n, const KeptHits& hits) { return n + hits.size(); };
  if (std::accumulate(found.begin(), found.end(), size_t{0}, count) < k) {  // the sample misled
    std::vector<int32_t> distances(k);
    scan_k_nearest(kernels, codes, {}, {query, 1, codes.n_bytes}, k, n_threads, distances.data(), rows);
    return std::sort(rows, rows + k);
  }
  DistanceCounts counts(static_cast<size_t>(all) + 1);
  for (const KeptHits& hits : found) {
    for (const Hit& hit : hits) ++counts[hit.distance];
  }
  const int last = distance_of_rank(counts, k);
  size_t n_nearer = 0, n = 0;
  for (int distance = 0; distance < last; ++distance) n_nearer += counts[static_cast<size_t>(distance)];
  size_t n_ties = k - n_nearer;  // of the codes at the last distance the first so many
  for (size_t task = 0; task < found.size(); ++task) {
    for (const Hit& hit : found[task]) {
      const bool is_tie = hit.distance == last && n_ties > 0;
      if (hit.distance >= last && !is_tie) continue;
      n_ties -= is_tie ? 1 : 0;
      rows[n++] = static_cast<int64_t>(task * piece + hit.row);
    }
  }
}

}  // namespace hashkit
