// Vectors with AVX-512. Included within a namespace that gives count_words: the bits set in every 64-bit word.

using Floats = float __attribute__((vector_size(64)));

HASHKIT_ALWAYS_INLINE Floats load(const float* values) noexcept {
  return _mm512_loadu_ps(values);
}
HASHKIT_ALWAYS_INLINE Floats load(const Half* values) noexcept {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values)));
}
HASHKIT_ALWAYS_INLINE Floats load(const Bfloat* values) noexcept {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
HASHKIT_ALWAYS_INLINE Floats load(const int8_t* values) noexcept {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values))));
}

#include "kernels/vector_sums.inl"
#include "kernels/rotation.inl"

// Eight vectors of eight sums each as the one vector of their totals.
HASHKIT_ALWAYS_INLINE __m512i add_across(const __m512i (&sums)[8]) noexcept {
  __m512i pairs[4], fours[2];
  for (size_t i = 0; i < 4; ++i) {  // lanes: of two rows by turns
    pairs[i] = _mm512_add_epi64(_mm512_unpacklo_epi64(sums[2 * i], sums[2 * i + 1]),
                                _mm512_unpackhi_epi64(sums[2 * i], sums[2 * i + 1]));
  }
  for (size_t i = 0; i < 2; ++i) {  // 128-bit lanes: rows 01, 01, 23, 23
    fours[i] = _mm512_add_epi64(_mm512_shuffle_i64x2(pairs[2 * i], pairs[2 * i + 1], 0x88),
                                _mm512_shuffle_i64x2(pairs[2 * i], pairs[2 * i + 1], 0xdd));
  }
  return _mm512_add_epi64(_mm512_shuffle_i64x2(fours[0], fours[1], 0x88),
                          _mm512_shuffle_i64x2(fours[0], fours[1], 0xdd));
}

// kPlanes = 0 stands for any number.
template <size_t kPlanes>
struct PlaneSums {
  const uint8_t* planes;
  size_t n_planes, n_bytes, stride;
  __mmask64 last;  // the bytes of the last vector

  PlaneSums(const PlaneQuery& query, size_t code_bytes) noexcept
      : planes(query.planes),
        n_planes(kPlanes != 0 ? kPlanes : query.n_planes),
        n_bytes(code_bytes),
        stride(plane_bytes(code_bytes)),
        last(code_bytes % 64 == 0 ? ~__mmask64{0} : (__mmask64{1} << code_bytes % 64) - 1) {}

  // Weighted counts of one code, in eight sums; by Horner's rule, from the most significant plane down.
  HASHKIT_ALWAYS_INLINE __m512i operator()(const uint8_t* code) const noexcept {
    __m512i sums = _mm512_setzero_si512();
    for (size_t i = 0; i < stride; i += 64) {
      const __m512i bytes =
          _mm512_maskz_loadu_epi8(i + 64 < stride ? ~__mmask64{0} : last, reinterpret_cast<const void*>(code + i));
      __m512i counts = _mm512_setzero_si512();
      for (size_t p = n_planes; p-- > 0;) {
        const __m512i plane = _mm512_loadu_si512(planes + p * stride + i);
        counts = _mm512_add_epi64(_mm512_add_epi64(counts, counts), count_words(_mm512_xor_si512(bytes, plane)));
      }
      sums = _mm512_add_epi64(sums, counts);
    }
    return sums;
  }
};

HASHKIT_ALWAYS_INLINE __m256 scores_of_eight(const PlaneQuery& query, __m512i weighted, __m256 offsets,
                                             __m256 factors) noexcept {
  const auto most = static_cast<int>(query.n_bits * ((size_t{1} << query.n_planes) - 1));
  const __m256i twice = _mm256_slli_epi32(_mm512_cvtepi64_epi32(weighted), 1);
  const __m256 sums = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_set1_epi32(most), twice));
  return _mm256_add_ps(offsets, _mm256_mul_ps(factors, _mm256_mul_ps(_mm256_set1_ps(query.step), sums)));
}

// Offsets and factors of eight rows, apart.
HASHKIT_ALWAYS_INLINE void split_factors(__m512 pairs, __m256& offsets, __m256& factors) noexcept {
  const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
  const __m512 apart = _mm512_permutexvar_ps(order, pairs);
  offsets = _mm512_castps512_ps256(apart);
  factors = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(apart), 1));
}

// Rows of eight words become columns.
HASHKIT_ALWAYS_INLINE void transpose(const __m512i (&rows)[8], __m512i (&columns)[8]) noexcept {
  for (size_t odd = 0; odd < 2; ++odd) {
    __m512i pairs[4];  // 128-bit lanes: words 0, 2, 4 and 6 of two rows, or words 1, 3, 5 and 7
    for (size_t i = 0; i < 4; ++i) {
      pairs[i] = odd == 0 ? _mm512_unpacklo_epi64(rows[2 * i], rows[2 * i + 1])
                          : _mm512_unpackhi_epi64(rows[2 * i], rows[2 * i + 1]);
    }
    const __m512i low0 = _mm512_shuffle_i64x2(pairs[0], pairs[1], 0x88);
    const __m512i low1 = _mm512_shuffle_i64x2(pairs[2], pairs[3], 0x88);
    const __m512i high0 = _mm512_shuffle_i64x2(pairs[0], pairs[1], 0xdd);
    const __m512i high1 = _mm512_shuffle_i64x2(pairs[2], pairs[3], 0xdd);
    columns[odd] = _mm512_shuffle_i64x2(low0, low1, 0x88);
    columns[4 + odd] = _mm512_shuffle_i64x2(low0, low1, 0xdd);
    columns[2 + odd] = _mm512_shuffle_i64x2(high0, high1, 0x88);
    columns[6 + odd] = _mm512_shuffle_i64x2(high0, high1, 0xdd);
  }
}

void fill_plane_tile(const uint8_t* codes, size_t n_rows, size_t n_bytes, uint64_t* tile) noexcept {
  const size_t n_words = (n_bytes + 7) / 8;
  for (size_t first = 0; first < n_rows; first += kTileCodes, tile += kTileCodes * n_words) {
    for (size_t byte = 0, word = 0; byte < n_bytes; byte += 64, word += 8) {
      const __mmask64 present = n_bytes - byte >= 64 ? ~__mmask64{0} : (__mmask64{1} << (n_bytes - byte)) - 1;
      __m512i rows[8], columns[8];
      for (size_t i = 0; i < 8; ++i) {
        const __mmask64 mask = first + i < n_rows ? present : 0;
        rows[i] = _mm512_maskz_loadu_epi8(mask, reinterpret_cast<const void*>(codes + (first + i) * n_bytes + byte));
      }
      transpose(rows, columns);
      const size_t n = n_words - word < 8 ? n_words - word : 8;
      for (size_t w = 0; w < n; ++w) _mm512_storeu_si512(tile + (word + w) * kTileCodes, columns[w]);
    }
  }
}
constexpr decltype(VectorKernels::fill_plane_tile) kFillPlaneTile = fill_plane_tile;

// Writes those of n scores, at most eight, that are at least the limit; returns how many.
HASHKIT_ALWAYS_INLINE size_t write_passed(__m256 scores, __m256 limits, size_t first, size_t n,
                                          ScoredRow* scored) noexcept {
  auto passed = static_cast<uint32_t>(_mm256_cmp_ps_mask(scores, limits, _CMP_GE_OQ)) & ((1u << n) - 1);
  if (passed == 0) return 0;
  float values[8];
  _mm256_storeu_ps(values, scores);
  size_t n_scored = 0;
  for (; passed != 0; passed &= passed - 1) {
    const auto i = static_cast<size_t>(__builtin_ctz(passed));
    scored[n_scored++] = {static_cast<uint32_t>(first + i), values[i]};
  }
  return n_scored;
}

HASHKIT_ALWAYS_INLINE __m256 scores_of_rows(const PlaneQuery& query, __m512i weighted, const RowFactors* factors,
                                            size_t n) noexcept {
  const auto present = static_cast<__mmask16>((1u << 2 * n) - 1);
  __m256 offsets, row_factors;
  split_factors(_mm512_maskz_loadu_ps(present, factors), offsets, row_factors);
  return scores_of_eight(query, weighted, offsets, row_factors);
}

// Eight codes at a time, a word of each in a vector: no sum across lanes is needed. The words of a query are broadcast.
template <size_t kPlanes>
size_t scan_tile_with(const PlaneQuery& query, const uint64_t* tile, const RowFactors* factors, size_t n_rows,
                      size_t n_bytes, float limit, ScoredRow* scored) noexcept {
  const size_t n_words = (n_bytes + 7) / 8, stride = plane_bytes(n_bytes) / 8;
  const auto* planes = reinterpret_cast<const long long*>(query.planes);
  const __m256 limits = _mm256_set1_ps(limit);
  size_t n_scored = 0;
  for (size_t first = 0; first < n_rows; first += kTileCodes, tile += kTileCodes * n_words) {
    __m512i counts[kPlanes] = {};
    for (size_t w = 0; w < n_words; ++w) {
      const __m512i words = _mm512_loadu_si512(tile + w * kTileCodes);
      for (size_t p = 0; p < kPlanes; ++p) {
        const __m512i plane = _mm512_set1_epi64(planes[p * stride + w]);
        counts[p] = _mm512_add_epi64(counts[p], count_words(_mm512_xor_si512(words, plane)));
      }
    }
    __m512i weighted = counts[kPlanes - 1];
    for (size_t p = kPlanes - 1; p-- > 0;) {
      weighted = _mm512_add_epi64(_mm512_add_epi64(weighted, weighted), counts[p]);
    }
    const size_t n = n_rows - first < 8 ? n_rows - first : 8;
    n_scored += write_passed(scores_of_rows(query, weighted, factors + first, n), limits, first, n, scored + n_scored);
  }
  return n_scored;
}

size_t scan_plane_tile(const PlaneQuery& query, const uint64_t* tile, const RowFactors* factors, size_t n_rows,
                       size_t n_bytes, float limit, ScoredRow* scored) noexcept {
  constexpr decltype(&scan_tile_with<1>) kByPlanes[kMaxPlanes] = {
      scan_tile_with<1>, scan_tile_with<2>, scan_tile_with<3>, scan_tile_with<4>,
      scan_tile_with<5>, scan_tile_with<6>, scan_tile_with<7>, scan_tile_with<8>};
  return kByPlanes[query.n_planes - 1](query, tile, factors, n_rows, n_bytes, limit, scored);
}
constexpr decltype(VectorKernels::scan_plane_tile) kScanPlaneTile = scan_plane_tile;

template <size_t kPlanes>
size_t scan_with(const PlaneQuery& query, const uint8_t* codes, const RowFactors* factors, size_t n_rows,
                 size_t n_bytes, float limit, ScoredRow* scored) noexcept {
  const PlaneSums<kPlanes> sums_of(query, n_bytes);
  const __m256 limits = _mm256_set1_ps(limit);
  size_t n_scored = 0;
  for (size_t first = 0; first < n_rows; first += 8) {
    const size_t n = n_rows - first < 8 ? n_rows - first : 8;
    __m512i sums[8];
    if (n == 8) {
      for (size_t i = 0; i < 8; ++i) sums[i] = sums_of(codes + (first + i) * n_bytes);
    } else {
      for (size_t i = 0; i < 8; ++i) sums[i] = i < n ? sums_of(codes + (first + i) * n_bytes) : _mm512_setzero_si512();
    }
    const __m256 scores = scores_of_rows(query, add_across(sums), factors + first, n);
    n_scored += write_passed(scores, limits, first, n, scored + n_scored);
  }
  return n_scored;
}

size_t scan_planes(const PlaneQuery& query, const uint8_t* codes, const RowFactors* factors, size_t n_rows,
                   size_t n_bytes, float limit, ScoredRow* scored) noexcept {
  return query.n_planes == 4   ? scan_with<4>(query, codes, factors, n_rows, n_bytes, limit, scored)
         : query.n_planes == 8 ? scan_with<8>(query, codes, factors, n_rows, n_bytes, limit, scored)
                               : scan_with<0>(query, codes, factors, n_rows, n_bytes, limit, scored);
}

template <size_t kPlanes>
void score_with(const PlaneQuery& query, const uint8_t* codes, const RowFactors* factors, const int64_t* rows,
                size_t n_rows, size_t n_bytes, float* scores) noexcept {
  constexpr size_t kAhead = 16;  // rows fetched before they are needed
  const PlaneSums<kPlanes> sums_of(query, n_bytes);
  for (size_t first = 0; first < n_rows; first += 8) {
    const size_t n = n_rows - first < 8 ? n_rows - first : 8;
    __m512i sums[8];
    RowFactors chosen[8] = {};
    for (size_t i = 0; i < 8; ++i) {
      if (first + i + kAhead < n_rows) {
        const auto ahead = static_cast<size_t>(rows[first + i + kAhead]);
        for (size_t byte = 0; byte < n_bytes; byte += 64) __builtin_prefetch(codes + ahead * n_bytes + byte);
        __builtin_prefetch(codes + ahead * n_bytes + n_bytes - 1);
        __builtin_prefetch(factors + ahead);
      }
      sums[i] = i < n ? sums_of(codes + static_cast<size_t>(rows[first + i]) * n_bytes) : _mm512_setzero_si512();
      if (i < n) chosen[i] = factors[rows[first + i]];
    }
    __m256 offsets, row_factors;
    split_factors(_mm512_loadu_ps(chosen), offsets, row_factors);
    float values[8];
    _mm256_storeu_ps(values, scores_of_eight(query, add_across(sums), offsets, row_factors));
    std::memcpy(scores + first, values, n * sizeof(float));
  }
}

void score_planes(const PlaneQuery& query, const uint8_t* codes, const RowFactors* factors, const int64_t* rows,
                  size_t n_rows, size_t n_bytes, float* scores) noexcept {
  query.n_planes == 4   ? score_with<4>(query, codes, factors, rows, n_rows, n_bytes, scores)
  : query.n_planes == 8 ? score_with<8>(query, codes, factors, rows, n_rows, n_bytes, scores)
                        : score_with<0>(query, codes, factors, rows, n_rows, n_bytes, scores);
}
