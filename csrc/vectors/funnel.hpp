// A whole search in one call: queries encoded, candidates by codes, the best of them by estimates, the best of those by
// vectors. hashkit/vectors/funnel.py has the same stages apart, for what is removed, filtered or in several parts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/block_checks.hpp"
#include "kernels/kernel_table.hpp"
#include "kernels/vector_kernels.hpp"
#include "vectors/asymmetric.hpp"
#include "vectors/encoder.hpp"
#include "vectors/vector_rows.hpp"

namespace hashkit {

constexpr size_t kScanPlanes = 4;      // bits of a query's values when all codes are scored
constexpr size_t kScorePlanes = 8;     // when candidates are
constexpr size_t kScannedForEach = 2;  // kept of a scan for each that is wanted of it
constexpr size_t kReadFirst = 2;       // vectors read for each neighbor wanted before reading can end early

// How many pass each stage (see hashkit.vectors.funnel.Plan).
struct FunnelPlan {
  bool by_codes;
  size_t n_candidates;
  size_t n_rescored;
  float slack;  // infinite: all are read
};

// What is searched, borrowed.
struct FunnelData {
  EncoderView encoder;
  FactoredCodes codes;
  const VectorRows* vectors;  // null: scores are estimates
  const BlockChecks* checks;  // what a row of vectors is compared by before it is read; or null
  const int64_t* ids;         // null: the rows
};

struct FunnelKernels {
  const VectorKernels& vectors;
  const KernelTable& codes;
};

// Sizes of the stages of a search for k.
class FunnelSizes {
 public:
  FunnelSizes(const FunnelData& data, const FunnelPlan& plan, size_t k) noexcept;

  size_t n_candidates;  // all of which are scored
  size_t n_estimated;   // of which so many are kept
  size_t k;
};

// What was found to be wrong, or neither.
struct FunnelOutcome {
  int64_t query;  // one that is not finite, or kAllFinite
  int64_t row;    // one whose score is not finite, or kAllFinite
};

// For every query, of n_dims values, scores and ids of the best that the funnel finds, (n_queries, sizes.k), by (score,
// id). `candidates`, if not null, are rows that take the place of the first stage, (n_queries, sizes.n_candidates).
FunnelOutcome search_funnel(const FunnelKernels& kernels, const FunnelData& data, const FunnelPlan& plan,
                            const FunnelSizes& sizes, const float* queries, size_t n_queries, const int64_t* candidates,
                            size_t n_threads, float* scores, int64_t* ids);

}  // namespace hashkit
