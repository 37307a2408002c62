#include "vectors/rescore.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "parallel/parallel_for.hpp"
#include "vectors/row_scorer.hpp"

namespace hashkit {
namespace {

constexpr size_t kVectorBytesPerTask = size_t{4} << 20;  // under a millisecond from memory; less is not worth a thread

}  // namespace

int64_t rescore(const VectorKernels& kernels, const VectorRows& vectors, const PaddedQueries& queries,
                const Candidates& candidates, VectorMetric metric, size_t k, size_t n_threads, float* scores,
                int64_t* ids) {
  const size_t n = candidates.n_candidates, n_pairs = queries.n_queries * n;
  const RowScorer score(kernels, vectors, metric);
  std::vector<float> squares(queries.n_queries), all(n_pairs);
  for (size_t q = 0; q < queries.n_queries; ++q) squares[q] = score.square(queries.row(q));
  const size_t step = std::max<size_t>(kVectorBytesPerTask / vectors.row_bytes(), 1);
  const size_t ahead = score.rows_ahead();
  std::atomic<int64_t> not_finite{kAllFinite};
  parallel_for((n_pairs + step - 1) / step, n_threads, [&](size_t task) {
    const size_t begin = task * step, end = std::min(begin + step, n_pairs);
    for (size_t i = begin; i < std::min(begin + ahead, end); ++i) score.fetch(candidates.rows[i]);
    for (size_t i = begin; i < end; ++i) {
      const int64_t later = i + ahead < end ? candidates.rows[i + ahead] : kNoRow;
      const uint8_t* next = later == kNoRow ? nullptr : vectors.row(static_cast<size_t>(later));
      const int64_t row = candidates.rows[i];
      if (row == kNoRow) continue;
      all[i] = score(queries.row(i / n), squares[i / n], static_cast<size_t>(row), next);
      if (!std::isfinite(all[i])) not_finite.store(row, std::memory_order_relaxed);
    }
  });
  if (not_finite.load() != kAllFinite) return not_finite.load();
  constexpr size_t kPairsPerTask = 1 << 15;
  const size_t per_task = std::max<size_t>(kPairsPerTask / std::max<size_t>(n, 1), 1);
  const int64_t* names = candidates.ids == nullptr ? candidates.rows : candidates.ids;
  parallel_for((queries.n_queries + per_task - 1) / per_task, n_threads, [&](size_t task) {
    std::vector<RankedRow> ranked;
    const size_t end = std::min((task + 1) * per_task, queries.n_queries);
    for (size_t q = task * per_task; q < end; ++q) {
      rank_best(all.data() + q * n, candidates.rows + q * n, names + q * n, n, metric == VectorMetric::kEuclidean, k,
                ranked, scores + q * k, ids + q * k);
    }
  });
  return kAllFinite;
}

}  // namespace hashkit
