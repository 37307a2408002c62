// Vectors with AVX-512. Included within a namespace that gives count_words: the bits set in every 64-bit word.

using Vec = float __attribute__((vector_size(64)));

HASHKIT_ALWAYS_INLINE Vec load(const float* values) noexcept {
  return _mm512_loadu_ps(values);
}
HASHKIT_ALWAYS_INLINE Vec load(const Half* values) noexcept {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values)));
}
HASHKIT_ALWAYS_INLINE Vec load(const Bfloat* values) noexcept {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
HASHKIT_ALWAYS_INLINE Vec load(const int8_t* values) noexcept {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values))));
}

#include "kernels/vector_sums.inl"

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
    const auto present = static_cast<__mmask16>((1u << 2 * n) - 1);
    __m256 offsets, row_factors;
    split_factors(_mm512_maskz_loadu_ps(present, factors + first), offsets, row_factors);
    const __m256 scores = scores_of_eight(query, add_across(sums), offsets, row_factors);
    auto passed = static_cast<uint32_t>(_mm256_cmp_ps_mask(scores, limits, _CMP_GE_OQ)) & ((1u << n) - 1);
    if (passed == 0) continue;
    float values[8];
    _mm256_storeu_ps(values, scores);
    for (; passed != 0; passed &= passed - 1) {
      const auto i = static_cast<size_t>(__builtin_ctz(passed));
      scored[n_scored++] = {static_cast<uint32_t>(first + i), values[i]};
    }
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

#include "kernels/vector_table.inl"
