// Vectors: every kernel against plain loops, at the borders of memory; and threads.
#include "check.hpp"
#include "reference.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/vector_kernels.hpp"
#include "vectors/asymmetric.hpp"
#include "vectors/best_scores.hpp"
#include "vectors/encoder.hpp"
#include "vectors/nearest_codes.hpp"
#include "vectors/rescore.hpp"

using namespace hashkit;

namespace {

size_t padded(size_t n) {
  return (n + kLanes - 1) / kLanes * kLanes;
}

// Small integers: float32 adds them exactly in any order.
float small_value(size_t i) {
  return static_cast<float>(static_cast<int>(i * 7919 % 15) - 7);
}

// The bits of a small integer in each type.
void store(VectorType type, float value, uint8_t* to) {
  if (type == VectorType::kInt8) {
    *to = static_cast<uint8_t>(static_cast<int8_t>(value));
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if (type == VectorType::kFloat32) {
    std::memcpy(to, &bits, 4);
    return;
  }
  uint16_t half = static_cast<uint16_t>(bits >> 16);  // exact as bfloat16
  if (type == VectorType::kFloat16) {
    const uint32_t magnitude = bits & 0x7fffffffu;
    half = static_cast<uint16_t>((bits >> 31) << 15 | (magnitude == 0 ? 0 : (magnitude >> 13) - (112u << 10)));
  }
  std::memcpy(to, &half, 2);
}

struct Values {
  VectorType type;
  size_t n_dims;
  std::vector<float> query, columns;
  Guarded<uint8_t> row;
  double product = 0, square = 0, difference = 0;

  Values(VectorType t, size_t n, Place place)
      : type(t), n_dims(n), query(padded(n)), columns(padded(n), 2.0f), row(n * value_bytes(t), place) {
    for (size_t i = 0; i < n; ++i) {
      const float q = small_value(i + 3), raw = small_value(i);
      query[i] = q;
      store(type, raw, row.data() + i * value_bytes(type));
      const double x = type == VectorType::kInt8 ? raw * 2.0 * 0.5 : raw;
      product += q * x;
      square += x * x;
      difference += (q - x) * (q - x);
    }
  }
  RowScales scales() const { return {0.5f, columns.data(), nullptr}; }
};

}  // namespace

TEST(vectors_sums_read_within_their_row) {
  for (Isa isa : reference::tested_isas()) {
    const VectorKernels& kernels = vector_kernels(isa);
    CHECK(kernels.isa == isa);
    for (size_t type = 0; type < kVectorTypes; ++type) {
      for (size_t n : {1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 129}) {
        for (Place place : {Place::end(), Place::start(), Place::start(1)}) {
          Values v(static_cast<VectorType>(type), n, place);
          const VectorSums both = kernels.products_and_squares[type](v.query.data(), v.row.data(), n, v.scales());
          const VectorSums one = kernels.products[type](v.query.data(), v.row.data(), n, v.scales());
          const VectorSums apart = kernels.differences[type](v.query.data(), v.row.data(), n, v.scales());
          CHECK(one.product == static_cast<float>(v.product), isa_name(isa), " type ", type, " n ", n);
          CHECK(both.product == one.product && both.square == static_cast<float>(v.square), isa_name(isa), " n ", n);
          CHECK(apart.square == static_cast<float>(v.difference), isa_name(isa), " type ", type, " n ", n);
        }
      }
    }
  }
}

TEST(vectors_become_floats_within_their_row) {
  for (Isa isa : reference::tested_isas()) {
    const VectorKernels& kernels = vector_kernels(isa);
    for (size_t type = 0; type < kVectorTypes; ++type) {
      for (size_t n : {1, 2, 7, 15, 16, 17, 31, 33, 64, 100}) {
        Values v(static_cast<VectorType>(type), n, Place::end());
        Guarded<float> floats(n, Place::end());
        kernels.to_floats[type](v.row.data(), n, v.scales(), floats.data());
        for (size_t i = 0; i < n; ++i) CHECK(floats[i] == small_value(i), isa_name(isa), " type ", type, " n ", n);
      }
    }
  }
}

TEST(vectors_rotate_within_their_values) {
  for (size_t n : {256, 257, 300, 511, 512, 1000, 1024}) {
    std::vector<uint8_t> signs(kRotationRounds * ((n + 7) / 8));
    for (size_t i = 0; i < signs.size(); ++i) signs[i] = static_cast<uint8_t>(i * 2654435761u >> 11);
    const std::vector<float> factors = rotation_factors(signs.data(), n);
    std::vector<float> expected;
    for (Isa isa : reference::tested_isas()) {
      Guarded<float> values(n, Place::end()), own(factors.size(), Place::end());
      std::copy(factors.begin(), factors.end(), own.data());
      double before = 0, after = 0;
      for (size_t i = 0; i < n; ++i) values[i] = small_value(i), before += small_value(i) * small_value(i);
      vector_kernels(isa).rotate(values.data(), n, own.data());
      for (size_t i = 0; i < n; ++i) after += double{values[i]} * values[i];
      CHECK(std::fabs(after / before - 1) < 1e-5, isa_name(isa), " n ", n);
      if (expected.empty()) expected.assign(values.data(), values.data() + n);
      CHECK(std::equal(expected.begin(), expected.end(), values.data()), isa_name(isa), " n ", n);
    }
  }
}

TEST(vectors_planes_read_within_their_codes) {
  for (Isa isa : reference::tested_isas()) {
    const VectorKernels& kernels = vector_kernels(isa);
    for (size_t n_bytes : {1, 3, 8, 9, 31, 32, 33, 48, 63, 64, 65, 127, 128, 129}) {
      for (size_t n_planes : {1, 3, 4, 8}) {
        for (size_t n_rows : {1, 7, 8, 9, 21}) {
          Guarded<uint8_t> codes(n_rows * n_bytes, Place::end());
          for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
          std::vector<uint8_t> planes(n_planes * plane_bytes(n_bytes));
          for (size_t p = 0; p < n_planes; ++p) {
            for (size_t i = 0; i < n_bytes; ++i)
              planes[p * plane_bytes(n_bytes) + i] = static_cast<uint8_t>(i * 97 + p);
          }
          Guarded<RowFactors> factors(n_rows, Place::end());
          for (size_t i = 0; i < n_rows; ++i) factors[i] = {static_cast<float>(i), 2};
          const PlaneQuery query{planes.data(), n_planes, 8 * n_bytes, 0.5f};
          std::vector<float> expected(n_rows);
          for (size_t row = 0; row < n_rows; ++row) {
            int sum = 0;
            for (size_t p = 0; p < n_planes; ++p) {
              for (size_t i = 0; i < n_bytes; ++i) {
                const int apart = __builtin_popcount(codes[row * n_bytes + i] ^ planes[p * plane_bytes(n_bytes) + i]);
                sum += (8 - 2 * apart) * (1 << p);
              }
            }
            expected[row] = static_cast<float>(row) + static_cast<float>(sum);
          }
          const float limit = expected[0];
          std::vector<ScoredRow> scored(n_rows);
          const size_t n =
              kernels.scan_planes(query, codes.data(), factors.data(), n_rows, n_bytes, limit, scored.data());
          size_t at = 0;
          for (size_t row = 0; row < n_rows; ++row) {
            if (expected[row] < limit) continue;
            CHECK(at < n && scored[at].row == row && scored[at].score == expected[row], isa_name(isa), " ", n_bytes);
            ++at;
          }
          CHECK(at == n);
          if (kernels.scan_plane_tile != nullptr) {
            const size_t n_words = (n_bytes + 7) / 8;
            Guarded<uint64_t> tile((n_rows + kTileCodes - 1) / kTileCodes * kTileCodes * n_words, Place::end());
            kernels.fill_plane_tile(codes.data(), n_rows, n_bytes, tile.data());
            std::vector<ScoredRow> tiled(n_rows);
            CHECK(kernels.scan_plane_tile(query, tile.data(), factors.data(), n_rows, n_bytes, limit, tiled.data()) ==
                  n);
            for (size_t i = 0; i < n; ++i) CHECK(tiled[i].row == scored[i].row && tiled[i].score == scored[i].score);
          }
          std::vector<int64_t> rows(n_rows);
          for (size_t i = 0; i < n_rows; ++i) rows[i] = static_cast<int64_t>(n_rows - 1 - i);
          Guarded<float> scores(n_rows, Place::end());
          kernels.score_planes(query, codes.data(), factors.data(), rows.data(), n_rows, n_bytes, scores.data());
          for (size_t i = 0; i < n_rows; ++i) CHECK(scores[i] == expected[n_rows - 1 - i], isa_name(isa));
        }
      }
    }
  }
}

TEST(vectors_best_scores_keep_the_best_of_many) {
  for (size_t k : {1, 5, 100}) {
    BestScores best(k);
    std::vector<std::pair<float, int64_t>> all;
    for (uint32_t row = 0; row < 3000; ++row) {
      const float score = static_cast<float>(static_cast<int>(row * 7919 % 211) - 100);
      all.push_back({-score, row});
      if (score >= best.limit()) best.push(row, score);
    }
    std::sort(all.begin(), all.end());
    std::vector<float> scores(k);
    std::vector<int64_t> rows(k);
    best.write(0, scores.data(), rows.data());
    for (size_t i = 0; i < k; ++i) CHECK(scores[i] == -all[i].first && rows[i] == all[i].second, "k ", k, " i ", i);
  }
}

TEST(vectors_threads_do_not_change_rescoring) {
  const size_t n_rows = 500, n_dims = 1100, n_queries = 40, n_candidates = 60, k = 10;
  std::vector<float> data(n_rows * n_dims), queries(n_queries * padded(n_dims));
  for (size_t i = 0; i < data.size(); ++i) data[i] = std::sin(static_cast<float>(i));
  for (size_t i = 0; i < queries.size(); ++i) queries[i] = i % padded(n_dims) < n_dims ? std::cos(float(i)) : 0;
  std::vector<int64_t> candidates(n_queries * n_candidates);
  for (size_t i = 0; i < candidates.size(); ++i) candidates[i] = static_cast<int64_t>(i * 7919 % (n_rows + 1)) - 1;
  const VectorRows rows{
      VectorType::kFloat32, reinterpret_cast<const uint8_t*>(data.data()), n_rows, n_dims, nullptr, nullptr};
  std::vector<float> first;
  std::vector<int64_t> first_ids;
  for (size_t n_threads : {1, 2, 4}) {
    std::vector<float> scores(n_queries * k);
    std::vector<int64_t> ids(n_queries * k);
    const int64_t bad = rescore(vector_kernels(default_isa()), rows, {queries.data(), n_queries, padded(n_dims)},
                                {candidates.data(), nullptr, n_candidates}, VectorMetric::kCosine, k, n_threads,
                                scores.data(), ids.data());
    CHECK(bad == kAllFinite);
    if (first.empty()) first = scores, first_ids = ids;
    CHECK(scores == first && ids == first_ids, n_threads, " threads");
  }
}

namespace {

// Codes that the sample misjudges: of every `period` rows the last `n_near` are near zero, the others far.
std::vector<uint8_t> codes_by_period(size_t n, size_t n_bytes, size_t period, size_t n_near) {
  std::vector<uint8_t> codes(n * n_bytes);
  for (size_t row = 0; row < n; ++row) {
    const bool near = row % period >= period - n_near;
    for (size_t i = 0; i < n_bytes; ++i) {
      const auto noise = static_cast<uint8_t>((row * n_bytes + i) * 2654435761u >> 11);
      codes[row * n_bytes + i] = near ? noise & (noise >> 3) & 0x11 : noise | 0x81;
    }
  }
  return codes;
}

}  // namespace

TEST(vectors_select_the_nearest_codes) {
  constexpr size_t kBytes = 48;
  const KernelTable& kernels = kernel_table(reference::tested_isas().back());
  for (size_t n : {1, 300, 5000, 9000}) {
    for (size_t period : {1, 3000}) {  // at 3,000 the nearest are too few for the sample
      const std::vector<uint8_t> data = codes_by_period(n, kBytes, period, period == 1 ? 0 : 40);
      const CodesView codes{data.data(), n, kBytes};
      std::vector<uint8_t> queries(20 * kBytes);
      for (size_t q = 0; q < 20; ++q) queries[q * kBytes] = static_cast<uint8_t>(q);
      for (size_t k : {1, 7, 150, 4000}) {
        if (k > n) continue;
        for (size_t n_queries : {1, 3, 20}) {
          for (size_t n_threads : {1, 2}) {
            std::vector<int64_t> rows(n_queries * k);
            select_nearest(kernels, codes, {queries.data(), n_queries, kBytes}, k, n_threads, rows.data());
            for (size_t q = 0; q < n_queries; ++q) {
              std::vector<std::pair<int, int64_t>> all(n);
              for (size_t row = 0; row < n; ++row) {
                int distance = 0;
                for (size_t i = 0; i < kBytes; ++i) {
                  distance += __builtin_popcount(queries[q * kBytes + i] ^ codes.row(row)[i]);
                }
                all[row] = {distance, static_cast<int64_t>(row)};
              }
              std::sort(all.begin(), all.end());
              std::vector<int64_t> expected(k);
              for (size_t i = 0; i < k; ++i) expected[i] = all[i].second;
              std::sort(expected.begin(), expected.end());
              CHECK(std::equal(expected.begin(), expected.end(), rows.data() + q * k), "n ", n, " period ", period,
                    " k ", k, " queries ", n_queries, " threads ", n_threads);
            }
          }
        }
      }
    }
  }
}
