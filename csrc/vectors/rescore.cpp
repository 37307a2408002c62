#include "vectors/rescore.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/vector_values.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kVectorBytesPerTask = size_t{4} << 20;  // under a millisecond from memory; less is not worth a thread
constexpr size_t kCacheLine = 64;
constexpr size_t kAheadBytes = 8192;  // fetched before they are needed: four rows of 1,024 float16

float value_at(const VectorRows& vectors, size_t row, size_t column) noexcept {
  const uint8_t* at = vectors.row(row) + column * value_bytes(vectors.type);
  uint32_t bits = 0;
  std::memcpy(&bits, at, value_bytes(vectors.type));
  float value;
  switch (vectors.type) {
    case VectorType::kFloat32:
      std::memcpy(&value, &bits, 4);
      return value;
    case VectorType::kBfloat16:
      bits <<= 16;
      std::memcpy(&value, &bits, 4);
      return value;
    case VectorType::kFloat16: {
      const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
      value = exponent == 31  ? (mantissa == 0 ? HUGE_VALF : NAN)
              : exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                              : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
      return bits >> 15 != 0 ? -value : value;
    }
    case VectorType::kInt8:
      break;
  }
  value = static_cast<float>(static_cast<int8_t>(bits)) * vectors.column_scales[column];
  return value * vectors.scales(row).row;
}

// For squares that float32 cannot hold, or only with a loss of digits.
float cosine_in_double(const VectorRows& vectors, size_t row, const float* query) noexcept {
  double product = 0, square = 0, query_square = 0;
  for (size_t i = 0; i < vectors.n_dims; ++i) {
    const double q = query[i], x = value_at(vectors, row, i);
    product += q * x;
    square += x * x;
    query_square += q * q;
  }
  const double norms = std::sqrt(square) * std::sqrt(query_square);
  return norms == 0 ? 0 : static_cast<float>(product / norms);
}

bool keeps_digits(float square) noexcept {
  return square > 1e-24f && square < 1e24f;
}

// Scores for one query, given its square.
class Scorer {
 public:
  Scorer(const VectorKernels& kernels, const VectorRows& vectors, VectorMetric metric) noexcept
      : kernels_(kernels), vectors_(vectors), metric_(metric), type_(static_cast<size_t>(vectors.type)) {}

  float square(const float* query) const noexcept {
    const size_t float32 = static_cast<size_t>(VectorType::kFloat32);
    return kernels_.products[float32](query, query, vectors_.n_dims, {1, nullptr, nullptr}).product;
  }

  float operator()(const float* query, float query_square, size_t row, const uint8_t* next) const noexcept {
    const uint8_t* at = vectors_.row(row);
    RowScales scales = vectors_.scales(row);
    scales.next = next;
    if (metric_ == VectorMetric::kInnerProduct) {
      return kernels_.products[type_](query, at, vectors_.n_dims, scales).product;
    }
    if (metric_ == VectorMetric::kEuclidean) {
      return std::sqrt(kernels_.differences[type_](query, at, vectors_.n_dims, scales).square);
    }
    const VectorSums sums = kernels_.products_and_squares[type_](query, at, vectors_.n_dims, scales);
    if (!keeps_digits(sums.square) || !keeps_digits(query_square)) return cosine_in_double(vectors_, row, query);
    return sums.product / (std::sqrt(sums.square) * std::sqrt(query_square));
  }

 private:
  const VectorKernels& kernels_;
  const VectorRows& vectors_;
  VectorMetric metric_;
  size_t type_;
};

void fetch_row(const VectorRows& vectors, int64_t row) noexcept {
  if (row == kNoRow) return;
  const uint8_t* at = vectors.row(static_cast<size_t>(row));
  for (size_t byte = 0; byte < vectors.row_bytes(); byte += kCacheLine) __builtin_prefetch(at + byte);
}

struct Ranked {
  float score;
  int64_t id;
};

// The best of one query's candidates.
void rank(const float* scores, const int64_t* rows, const int64_t* ids, size_t n, bool rising, size_t k,
          std::vector<Ranked>& ranked, float* best, int64_t* best_ids) {
  ranked.clear();
  for (size_t i = 0; i < n; ++i) {
    if (rows[i] != kNoRow) ranked.push_back({rising ? scores[i] : -scores[i], ids[i]});
  }
  const auto before = [](const Ranked& a, const Ranked& b) {
    return a.score < b.score || (a.score == b.score && a.id < b.id);
  };
  std::sort(ranked.begin(), ranked.end(), before);
  const auto same = [](const Ranked& a, const Ranked& b) { return a.id == b.id; };
  ranked.erase(std::unique(ranked.begin(), ranked.end(), same), ranked.end());  // equal ids have equal scores
  const float worst = std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < k; ++i) {
    const float score = i < ranked.size() ? ranked[i].score : worst;
    best[i] = rising ? score : 0.0f - score;
    best_ids[i] = i < ranked.size() ? ranked[i].id : kNoRow;
  }
}

}  // namespace

int64_t rescore(const VectorKernels& kernels, const VectorRows& vectors, const PaddedQueries& queries,
                const Candidates& candidates, VectorMetric metric, size_t k, size_t n_threads, float* scores,
                int64_t* ids) {
  const size_t n = candidates.n_candidates, n_pairs = queries.n_queries * n;
  const Scorer score(kernels, vectors, metric);
  std::vector<float> squares(queries.n_queries), all(n_pairs);
  for (size_t q = 0; q < queries.n_queries; ++q) squares[q] = score.square(queries.row(q));
  const size_t step = std::max<size_t>(kVectorBytesPerTask / vectors.row_bytes(), 1);
  const size_t ahead = std::clamp<size_t>(kAheadBytes / vectors.row_bytes(), 1, 16);
  std::atomic<int64_t> not_finite{kAllFinite};
  parallel_for((n_pairs + step - 1) / step, n_threads, [&](size_t task) {
    const size_t begin = task * step, end = std::min(begin + step, n_pairs);
    for (size_t i = begin; i < std::min(begin + ahead, end); ++i) fetch_row(vectors, candidates.rows[i]);
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
    std::vector<Ranked> ranked;
    const size_t end = std::min((task + 1) * per_task, queries.n_queries);
    for (size_t q = task * per_task; q < end; ++q) {
      rank(all.data() + q * n, candidates.rows + q * n, names + q * n, n, metric == VectorMetric::kEuclidean, k, ranked,
           scores + q * k, ids + q * k);
    }
  });
  return kAllFinite;
}

}  // namespace hashkit
