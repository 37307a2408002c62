// Exact scores of rows by a query, and their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/vector_kernels.hpp"
#include "vectors/vector_rows.hpp"

namespace hashkit {

// Queries are padded with zeros to a multiple of kLanes.
class RowScorer {
 public:
  RowScorer(const VectorKernels& kernels, const VectorRows& vectors, VectorMetric metric) noexcept
      : kernels_(kernels), vectors_(vectors), metric_(metric), type_(static_cast<size_t>(vectors.type)) {}

  // What the score of a query needs beside its values.
  float square(const float* query) const noexcept;
  // The score of a row; `next` is one to fetch meanwhile, or null.
  float operator()(const float* query, float query_square, size_t row, const uint8_t* next) const noexcept;

  // How many rows are to be fetched before they are needed.
  size_t rows_ahead() const noexcept;
  void fetch(int64_t row) const noexcept;

  // Scores of n rows, of which kNoRow are passed over. Returns a row whose score is not finite, or kAllFinite.
  int64_t score(const float* query, float query_square, const int64_t* rows, size_t n, float* scores) const noexcept;

 private:
  const VectorKernels& kernels_;
  VectorRows vectors_;
  VectorMetric metric_;
  size_t type_;
};

struct RankedRow {
  float score;  // rising
  int64_t id;
};

// The k best of n rows by (score, id), scores being distances if `rising`. A row that comes twice counts once; places
// behind the last have the worst score, infinite, and id kNoRow. `ranked` is room that is used again.
void rank_best(const float* scores, const int64_t* rows, const int64_t* ids, size_t n, bool rising, size_t k,
               std::vector<RankedRow>& ranked, float* best, int64_t* best_ids);

}  // namespace hashkit
