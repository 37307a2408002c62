#include "vectors/row_scorer.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace hashkit {
namespace {

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

}  // namespace

float RowScorer::square(const float* query) const noexcept {
  const size_t float32 = static_cast<size_t>(VectorType::kFloat32);
  return kernels_.products[float32](query, query, vectors_.n_dims, {1, nullptr, nullptr}).product;
}

float RowScorer::operator()(const float* query, float query_square, size_t row, const uint8_t* next) const noexcept {
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

size_t RowScorer::rows_ahead() const noexcept {
  return std::clamp<size_t>(kAheadBytes / vectors_.row_bytes(), 1, 16);
}

void RowScorer::fetch(int64_t row) const noexcept {
  if (row == kNoRow) return;
  const uint8_t* at = vectors_.row(static_cast<size_t>(row));
  for (size_t byte = 0; byte < vectors_.row_bytes(); byte += kCacheLine) __builtin_prefetch(at + byte);
}

int64_t RowScorer::score(const float* query, float query_square, const int64_t* rows, size_t n,
                         float* scores) const noexcept {
  const size_t ahead = rows_ahead();
  int64_t not_finite = kAllFinite;
  for (size_t i = 0; i < std::min(ahead, n); ++i) fetch(rows[i]);
  for (size_t i = 0; i < n; ++i) {
    if (rows[i] == kNoRow) continue;
    const int64_t later = i + ahead < n ? rows[i + ahead] : kNoRow;
    const uint8_t* next = later == kNoRow ? nullptr : vectors_.row(static_cast<size_t>(later));
    scores[i] = (*this)(query, query_square, static_cast<size_t>(rows[i]), next);
    if (!std::isfinite(scores[i])) not_finite = rows[i];
  }
  return not_finite;
}

void rank_best(const float* scores, const int64_t* rows, const int64_t* ids, size_t n, bool rising, size_t k,
               std::vector<RankedRow>& ranked, float* best, int64_t* best_ids) {
  ranked.clear();
  for (size_t i = 0; i < n; ++i) {
    if (rows[i] != kNoRow) ranked.push_back({rising ? scores[i] : -scores[i], ids[i]});
  }
  const auto before = [](const RankedRow& a, const RankedRow& b) {
    return a.score < b.score || (a.score == b.score && a.id < b.id);
  };
  const auto same = [](const RankedRow& a, const RankedRow& b) { return a.id == b.id; };
  // Equal ids have equal scores, so they are neighbors. More are ordered only if too few of the first are different.
  for (size_t n_ordered = std::min(2 * k, ranked.size());; n_ordered = std::min(2 * n_ordered, ranked.size())) {
    const auto last = ranked.begin() + static_cast<std::ptrdiff_t>(n_ordered);
    std::partial_sort(ranked.begin(), last, ranked.end(), before);
    size_t n_different = 0;
    for (size_t i = 0; i < n_ordered; ++i) n_different += i == 0 || !same(ranked[i - 1], ranked[i]) ? 1 : 0;
    if (n_different < k && n_ordered < ranked.size()) continue;
    ranked.erase(std::unique(ranked.begin(), last, same), ranked.end());
    break;
  }
  const float worst = std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < k; ++i) {
    const float score = i < ranked.size() ? ranked[i].score : worst;
    best[i] = rising ? score : 0.0f - score;
    best_ids[i] = i < ranked.size() ? ranked[i].id : kNoRow;
  }
}

}  // namespace hashkit
