// Asymmetric scores: a query with its own values against codes of one bit per dimension.
//
// The estimate is that of RaBitQ (Gao and Long, SIGMOD 2024). A vector x minus the center c is rotated to r. Its code
// has the signs s of r and two factors: offset a, and f = |r|^2 / (|r|_1), for which f s is the multiple of s whose
// inner product with r is |r|^2. For a rotated query u the inner product of r and u is estimated as f s u. A score is a
// + f s u: the higher, the nearer, with the a of the metric (see hashkit/vectors/estimate.py).
//
// The query's values are integers m times a step, odd and of few bits, so that s m is a weighted sum of the Hamming
// distances between the code and each plane of bits of m: exact, and the same on every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/row_set.hpp"
#include "kernels/vector_kernels.hpp"
#include "vectors/vector_rows.hpp"

namespace hashkit {

struct FactoredCodes {
  const uint8_t* codes;
  const RowFactors* factors;
  size_t n_rows;
  size_t n_bytes;
};

struct PlaneQueries {
  const uint8_t* planes;  // (n_queries, n_planes, plane_bytes(n_bytes)), the least significant plane first
  const float* steps;     // one for each query
  size_t n_queries;
  size_t n_planes;
  size_t n_bits;

  PlaneQuery query(size_t i, size_t n_bytes) const noexcept {
    return {planes + i * n_planes * plane_bytes(n_bytes), n_planes, n_bits, steps[i]};
  }
};

// The k allowed rows with the highest scores for each query, by (score, row): `scores` and `rows` are (n_queries, k).
// Empty places have minus infinity and row -1.
void scan_planes_best(const VectorKernels& kernels, const FactoredCodes& codes, RowSet allowed,
                      const PlaneQueries& queries, size_t k, size_t n_threads, float* scores, int64_t* rows);

// The same for candidates of each query, (n_queries, n_candidates) rows; -1 is skipped. A repeated row is scored twice.
void score_planes_best(const VectorKernels& kernels, const FactoredCodes& codes, const PlaneQueries& queries,
                       const int64_t* candidates, size_t n_candidates, size_t k, size_t n_threads, float* scores,
                       int64_t* rows);

// The planes of values, (n_queries, n_bits), and the step of each query: m is the odd integer nearest to value / step,
// where step is the largest magnitude / (2^n_planes - 1), and 0 for a query of zeros. `planes` must be zeros.
void quantize_queries(const float* values, size_t n_queries, size_t n_bits, size_t n_planes, uint8_t* planes,
                      float* steps);

}  // namespace hashkit
