#include "vectors/asymmetric.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "parallel/parallel_for.hpp"
#include "vectors/best_scores.hpp"

namespace hashkit {
namespace {

constexpr float kWorst = -std::numeric_limits<float>::infinity();
constexpr size_t kBlockBytes = 16 << 10;  // of codes, which stay in the L1 cache while they are scored for many queries
constexpr size_t kFirstRows = 256;        // a multiple of kTileCodes
constexpr size_t kPlaneQueries = 32;      // queries that are scored on one block
// Bytes of codes, times queries and planes, in one task: about 5 ms with AVX-512. Less is not worth a thread.
constexpr size_t kScannedBytesPerTask = size_t{256} << 20;

// A group of queries against a range of rows.
class PlaneScan {
 public:
  PlaneScan(const VectorKernels& kernels, const FactoredCodes& codes, RowSet allowed, const PlaneQueries& queries)
      : kernels_(kernels), codes_(codes), allowed_(allowed), queries_(queries) {}

  void operator()(size_t begin, size_t end, size_t first, size_t last, BestScores* best) const {
    const size_t fitting = kBlockBytes / codes_.n_bytes / kTileCodes * kTileCodes;
    const size_t step = std::clamp<size_t>(fitting, 64, kMaxScanRows);
    std::vector<ScoredRow> scored(step);
    std::vector<uint64_t> tile(kernels_.scan_plane_tile == nullptr ? 0 : step * ((codes_.n_bytes + 7) / 8));
    for (size_t row = begin; row < end; row += step) {
      const size_t n_rows = std::min(step, end - row);
      if (!tile.empty())
        kernels_.fill_plane_tile(codes_.codes + row * codes_.n_bytes, n_rows, codes_.n_bytes, tile.data());
      for (size_t q = first; q < last; ++q) pass(row, n_rows, q, tile.data(), scored.data(), best[q - first]);
    }
  }

 private:
  // The first rows of a range are read in small steps: nothing can be pruned before a limit is known.
  void pass(size_t begin, size_t n_rows, size_t q, const uint64_t* tile, ScoredRow* scored, BestScores& best) const {
    const PlaneQuery query = queries_.query(q, codes_.n_bytes);
    for (size_t done = 0, step = 0; done < n_rows; done += step) {
      step = best.limit() == kWorst ? std::min(kFirstRows, n_rows - done) : n_rows - done;
      const size_t row = begin + done;
      const RowFactors* factors = codes_.factors + row;
      const size_t n = kernels_.scan_plane_tile != nullptr
                           ? kernels_.scan_plane_tile(query, tile + done * ((codes_.n_bytes + 7) / 8), factors, step,
                                                      codes_.n_bytes, best.limit(), scored)
                           : kernels_.scan_planes(query, codes_.codes + row * codes_.n_bytes, factors, step,
                                                  codes_.n_bytes, best.limit(), scored);
      for (size_t i = 0; i < n; ++i) {
        if (allowed_.has(row + scored[i].row)) best.push(static_cast<uint32_t>(row + scored[i].row), scored[i].score);
      }
    }
  }

  const VectorKernels& kernels_;
  const FactoredCodes& codes_;
  RowSet allowed_;
  const PlaneQueries& queries_;
};

// Bit i of byte j and bit j of byte i change places (Warren, Hacker's Delight, 7-3).
uint64_t transpose_bits(uint64_t x) noexcept {
  uint64_t swapped = (x ^ x >> 7) & 0x00AA00AA00AA00AAu;
  x ^= swapped ^ swapped << 7;
  swapped = (x ^ x >> 14) & 0x0000CCCC0000CCCCu;
  x ^= swapped ^ swapped << 14;
  swapped = (x ^ x >> 28) & 0x00000000F0F0F0F0u;
  return x ^ swapped ^ swapped << 28;
}

}  // namespace

void scan_planes_best(const VectorKernels& kernels, const FactoredCodes& codes, RowSet allowed,
                      const PlaneQueries& queries, size_t k, size_t n_threads, float* scores, int64_t* rows) {
  const size_t group = std::clamp<size_t>((queries.n_queries + n_threads - 1) / n_threads, 1, kPlaneQueries);
  const size_t n_groups = (queries.n_queries + group - 1) / group;
  const size_t bytes_per_row = codes.n_bytes * group * queries.n_planes;
  const size_t span = std::max<size_t>(kScannedBytesPerTask / bytes_per_row, 4096);
  const size_t n_spans = std::max<size_t>((codes.n_rows + span - 1) / span, 1);
  const PlaneScan scan(kernels, codes, allowed, queries);
  std::vector<BestScores> best(n_spans * queries.n_queries, BestScores(k));  // by span, then by query
  parallel_for(n_spans * n_groups, n_threads, [&](size_t task) {
    const size_t number = task / n_groups, first = task % n_groups * group;
    scan(number * span, std::min((number + 1) * span, codes.n_rows), first, std::min(first + group, queries.n_queries),
         best.data() + number * queries.n_queries + first);
  });
  for (size_t q = 0; q < queries.n_queries; ++q) {
    for (size_t number = 1; number < n_spans; ++number) best[q].merge(best[number * queries.n_queries + q]);
    best[q].write(kWorst, scores + q * k, rows + q * k);
  }
}

void score_planes_best(const VectorKernels& kernels, const FactoredCodes& codes, const PlaneQueries& queries,
                       const int64_t* candidates, size_t n_candidates, size_t k, size_t n_threads, float* scores,
                       int64_t* rows) {
  constexpr size_t kPairsPerTask = 1 << 16;  // about 1 ms
  const size_t per_task = std::max<size_t>(kPairsPerTask / std::max<size_t>(n_candidates, 1), 1);
  parallel_for((queries.n_queries + per_task - 1) / per_task, n_threads, [&](size_t task) {
    std::vector<int64_t> present(n_candidates);
    std::vector<float> found(n_candidates);
    const size_t end = std::min((task + 1) * per_task, queries.n_queries);
    for (size_t q = task * per_task; q < end; ++q) {
      const int64_t* own = candidates + q * n_candidates;
      const auto last = std::copy_if(own, own + n_candidates, present.begin(), [](int64_t row) { return row >= 0; });
      const auto n_present = static_cast<size_t>(last - present.begin());
      kernels.score_planes(queries.query(q, codes.n_bytes), codes.codes, codes.factors, present.data(), n_present,
                           codes.n_bytes, found.data());
      BestScores best(k);
      best.push_all(present.data(), found.data(), n_present);
      best.write(kWorst, scores + q * k, rows + q * k);
    }
  });
}

void quantize_queries(const float* values, size_t n_queries, size_t n_bits, size_t n_planes, uint8_t* planes,
                      float* steps) {
  const size_t stride = plane_bytes((n_bits + 7) / 8);
  const auto most = static_cast<int>((1u << n_planes) - 1);
  for (size_t q = 0; q < n_queries; ++q) {
    const float* own = values + q * n_bits;
    float largest = 0;
    for (size_t j = 0; j < n_bits; ++j) largest = std::max(largest, std::fabs(own[j]));
    steps[q] = largest / static_cast<float>(most);
    if (steps[q] == 0) continue;
    uint8_t* to = planes + q * n_planes * stride;
    for (size_t first = 0; first < n_bits; first += 8) {
      uint64_t eight = 0;  // numbers of eight values, the first in the most significant byte
      for (size_t j = first; j < std::min(first + 8, n_bits); ++j) {
        // The odd integers 2 i - most, i from 0 to most, by their number i.
        const float place = std::floor(own[j] / (2 * steps[q])) + static_cast<float>((most + 1) / 2);
        const auto i = static_cast<uint64_t>(std::clamp(static_cast<int>(place), 0, most));
        eight |= i << (8 * (7 - (j - first)));
      }
      const uint64_t by_plane = transpose_bits(eight);
      for (size_t p = 0; p < n_planes; ++p) to[p * stride + first / 8] = static_cast<uint8_t>(by_plane >> (8 * p));
    }
  }
}

}  // namespace hashkit
