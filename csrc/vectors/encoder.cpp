#include "vectors/encoder.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kFloat32 = static_cast<size_t>(VectorType::kFloat32);
constexpr RowScales kNoScales{1, nullptr, nullptr};

// Sums of magnitudes and of squares, in the order of additions that vector_kernels.hpp names.
VectorSums sum_magnitudes(const float* values, size_t n) noexcept {
  float lengths[kLanes] = {}, squares[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      lengths[lane] += std::fabs(values[i + lane]);
      squares[lane] += values[i + lane] * values[i + lane];
    }
  }
  for (size_t lane = 0; i + lane < n; ++lane) {
    lengths[lane] += std::fabs(values[i + lane]);
    squares[lane] += values[i + lane] * values[i + lane];
  }
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) {
      lengths[lane] += lengths[lane + half];
      squares[lane] += squares[lane + half];
    }
  }
  return {lengths[0], squares[0]};
}

}  // namespace

std::vector<float> rotation_factors(const uint8_t* signs, size_t n_bits) {
  size_t window = 1;
  while (2 * window <= n_bits) window *= 2;
  const float scale = 1 / std::sqrt(static_cast<float>(window));
  const size_t n_bytes = (n_bits + 7) / 8;
  std::vector<float> factors(kRotationRounds * n_bits);
  for (size_t round = 0; round < kRotationRounds; ++round) {
    const size_t begin = round % 2 == 0 ? 0 : n_bits - window;
    for (size_t i = 0; i < n_bits; ++i) {
      const bool is_minus = signs[round * n_bytes + i / 8] >> (7 - i % 8) & 1;
      const float magnitude = i >= begin && i < begin + window ? scale : 1.0f;
      factors[round * n_bits + i] = is_minus ? -magnitude : magnitude;
    }
  }
  return factors;
}

Encoder::Encoder(const VectorKernels& kernels, const EncoderView& view) noexcept
    : kernels_(kernels),
      view_(view),
      center_square_(kernels.products[kFloat32](view.center, view.center, view.n_dims, kNoScales).product) {}

bool Encoder::to_unit(const VectorRows& rows, size_t row, float* unit) const noexcept {
  const size_t n = view_.n_dims;
  kernels_.to_floats[static_cast<size_t>(rows.type)](rows.row(row), n, rows.scales(row), unit);
  std::fill(unit + n, unit + padded_dims(n), 0.0f);
  float square = kernels_.products[kFloat32](unit, unit, n, kNoScales).product;
  if (!keeps_digits(square)) {
    float largest = 0;
    for (size_t i = 0; i < n; ++i) {
      if (!std::isfinite(unit[i])) return false;
      largest = std::max(largest, std::fabs(unit[i]));
    }
    if (view_.metric != VectorMetric::kCosine || largest == 0) return true;
    for (size_t i = 0; i < n; ++i) unit[i] /= largest;
    square = kernels_.products[kFloat32](unit, unit, n, kNoScales).product;
  }
  if (view_.metric != VectorMetric::kCosine) return true;
  const float length = std::sqrt(square);
  for (size_t i = 0; i < n; ++i) unit[i] /= length;
  return true;
}

void Encoder::project(const float* units, size_t n, float* values) const noexcept {
  constexpr size_t kValuesPerBlock = 1 << 13;  // of a matrix, which stay in the nearest cache while rows pass
  const size_t n_bits = view_.n_bits, stride = padded_dims(view_.n_dims);
  if (view_.rotation != nullptr) {
    for (size_t i = 0; i < n; ++i) {
      float* own = values + i * n_bits;
      std::memcpy(own, units + i * stride, view_.n_dims * sizeof(float));
      std::fill(own + view_.n_dims, own + n_bits, 0.0f);
      kernels_.rotate(own, n_bits, view_.rotation);
      for (size_t bit = 0; bit < n_bits; ++bit) own[bit] -= view_.offsets[bit];
    }
    return;
  }
  const size_t block = std::max<size_t>(kValuesPerBlock / stride, 1);
  for (size_t first = 0; first < n_bits; first += block) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t bit = first; bit < std::min(first + block, n_bits); ++bit) {
        const VectorSums sums =
            kernels_.products[kFloat32](units + i * stride, view_.matrix.row(bit), view_.n_dims, kNoScales);
        values[i * n_bits + bit] = sums.product - view_.offsets[bit];
      }
    }
  }
}

RowFactors Encoder::factors(const float* unit, const float* values) const noexcept {
  const VectorSums sums = sum_magnitudes(values, view_.n_bits);
  const float factor = sums.product > 0 ? sums.square / sums.product : 0;
  if (view_.metric == VectorMetric::kEuclidean) return {query_term(unit) / -2, factor};
  return {query_term(unit) - center_square_, factor};
}

float Encoder::query_term(const float* unit) const noexcept {
  if (view_.metric == VectorMetric::kEuclidean) {
    return kernels_.differences[kFloat32](view_.center, unit, view_.n_dims, kNoScales).square;
  }
  return kernels_.products[kFloat32](view_.center, unit, view_.n_dims, kNoScales).product;
}

int64_t Encoder::take_queries(const float* queries, size_t n, float* units, float* terms) const noexcept {
  const size_t stride = padded_dims(view_.n_dims);
  const VectorRows rows{
      VectorType::kFloat32, reinterpret_cast<const uint8_t*>(queries), n, view_.n_dims, nullptr, nullptr};
  int64_t not_finite = kAllFinite;
  for (size_t i = 0; i < n; ++i) {
    if (!to_unit(rows, i, units + i * stride)) not_finite = static_cast<int64_t>(i);
    terms[i] = query_term(units + i * stride);
  }
  return not_finite;
}

int64_t encode_rows(const Encoder& encoder, const KernelTable& packing, const VectorRows& rows, size_t first,
                    size_t last, size_t n_threads, uint8_t* codes, float* factors, float* units) {
  const EncoderView& view = encoder.view();
  const size_t n_bytes = (view.n_bits + 7) / 8, stride = padded_dims(view.n_dims), n_rows = last - first;
  std::atomic<int64_t> not_finite{kAllFinite};
  parallel_for((n_rows + kEncodedPerTask - 1) / kEncodedPerTask, n_threads, [&](size_t task) {
    const size_t begin = task * kEncodedPerTask, n = std::min(kEncodedPerTask, n_rows - begin);
    std::vector<float> own(n * stride), values(n * view.n_bits);
    for (size_t i = 0; i < n; ++i) {
      const size_t row = first + begin + i;
      if (!encoder.to_unit(rows, row, own.data() + i * stride)) return not_finite.store(static_cast<int64_t>(row));
    }
    encoder.project(own.data(), n, values.data());
    for (size_t i = 0; i < n; ++i) {
      const float *unit = own.data() + i * stride, *projected = values.data() + i * view.n_bits;
      const size_t to = begin + i;
      packing.pack_float32(projected, view.n_bits, codes + to * n_bytes);
      const RowFactors of_row = encoder.factors(unit, projected);
      factors[2 * to] = of_row.offset;
      factors[2 * to + 1] = of_row.factor;
      if (units != nullptr) std::memcpy(units + to * view.n_dims, unit, view.n_dims * sizeof(float));
    }
  });
  return not_finite.load();
}

}  // namespace hashkit
