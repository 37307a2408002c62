// Exact re-ranking: candidates scored by their vectors, and the best of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vectors/vector_rows.hpp"

namespace hashkit {

// The row of a place that no candidate is left for.
constexpr int64_t kNoRow = -1;
// What rescore returns if every score is finite.
constexpr int64_t kAllFinite = -1;

// Candidates of each query: rows of the vectors, kNoRow for none, and what equal scores are ordered by.
struct Candidates {
  const int64_t* rows;  // (n_queries, n_candidates)
  const int64_t* ids;   // the same shape; null: the rows
  size_t n_candidates;
};

// For every query its k best candidates by (score, id): scores and ids are (n_queries, k). A candidate that comes twice
// counts once; places behind the last have the worst score, infinite, and id kNoRow. Returns a row whose score is not
// finite, if there is one: scores and ids are then of no use.
int64_t rescore(const VectorKernels& kernels, const VectorRows& vectors, const PaddedQueries& queries,
                const Candidates& candidates, VectorMetric metric, size_t k, size_t n_threads, float* scores,
                int64_t* ids);

}  // namespace hashkit
