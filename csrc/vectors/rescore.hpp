// Exact re-ranking: scores candidates by their vectors, and selects the best.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vectors/vector_rows.hpp"

namespace hashkit {

// Candidates of each query: rows of the vectors, kNoRow for none, and the ids that order equal scores.
struct Candidates {
  const int64_t* rows;  // (n_queries, n_candidates)
  const int64_t* ids;   // the same shape; null: the rows
  size_t n_candidates;
};

// The k best candidates of each query by (score, id): `scores` and `ids` are (n_queries, k). A repeated candidate
// counts once. Empty places have the worst, infinite score and the id kNoRow. Returns kAllFinite, or a row whose
// score is not finite: the contents of `scores` and `ids` are then undefined.
int64_t rescore(const VectorKernels& kernels, const VectorRows& vectors, const PaddedQueries& queries,
                const Candidates& candidates, VectorMetric metric, size_t k, size_t n_threads, float* scores,
                int64_t* ids);

}  // namespace hashkit
