// Vectors on x86-64 with AVX2 and F16C (2013 and later; every processor with AVX2 has F16C).
#include "cpu/target.hpp"

#if defined(HASHKIT_X86)
#  include <immintrin.h>

#  include <cstring>

#  include "kernels/kernel_table.hpp"
#  include "kernels/vector_kernels.hpp"
#  include "kernels/vector_values.hpp"

HASHKIT_TARGET_BEGIN("avx2,f16c,popcnt")
namespace hashkit::avx2 {
namespace {

constexpr Isa kThisIsa = Isa::kAvx2;
using Floats = float __attribute__((vector_size(32)));

HASHKIT_ALWAYS_INLINE Floats load(const float* values) noexcept {
  return _mm256_loadu_ps(values);
}
HASHKIT_ALWAYS_INLINE Floats load(const Half* values) noexcept {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
}
HASHKIT_ALWAYS_INLINE Floats load(const Bfloat* values) noexcept {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
HASHKIT_ALWAYS_INLINE Floats load(const int8_t* values) noexcept {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(values));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

#  include "kernels/vector_sums.inl"
#  include "kernels/rotation.inl"

// Bits set in every byte, by look-up of its two nibbles (Mula, Kurz, Lemire 2018).
HASHKIT_ALWAYS_INLINE __m256i count_bytes(__m256i v) noexcept {
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  return _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(v, low)),
                         _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
}

HASHKIT_ALWAYS_INLINE uint64_t load_word(const uint8_t* p) noexcept {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// The last n < 32 bytes of a code with zeros behind them. Whole words go straight into the vector: a vector that is
// loaded from bytes just stored waits until they are in the cache.
HASHKIT_ALWAYS_INLINE __m256i load_rest(const uint8_t* p, size_t n) noexcept {
  if (n % 8 != 0) {
    uint8_t rest[32] = {};
    std::memcpy(rest, p, n);
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rest));
  }
  const uint64_t second = n > 8 ? load_word(p + 8) : 0, third = n > 16 ? load_word(p + 16) : 0;
  return _mm256_set_epi64x(0, static_cast<long long>(third), static_cast<long long>(second),
                           static_cast<long long>(load_word(p)));
}

HASHKIT_ALWAYS_INLINE uint32_t sum_of(__m256i words) noexcept {
  const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  return static_cast<uint32_t>(_mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1));
}

// A byte's count over four planes is at most 8 (1 + 2 + 4 + 8) and fits a byte, so one sum across a vector serves four
// planes.
struct PlaneCounter {
  const uint8_t* planes;
  size_t n_planes, n_bytes;

  PlaneCounter(const PlaneQuery& query, size_t code_bytes) noexcept
      : planes(query.planes), n_planes(query.n_planes), n_bytes(code_bytes) {}

  HASHKIT_ALWAYS_INLINE uint32_t operator()(const uint8_t* code) const noexcept {
    __m256i sums = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 32 <= n_bytes; i += 32) {
      sums = _mm256_add_epi64(sums, weigh(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(code + i)), i));
    }
    if (i < n_bytes) sums = _mm256_add_epi64(sums, weigh(load_rest(code + i, n_bytes - i), i));
    return sum_of(sums);
  }

  HASHKIT_ALWAYS_INLINE __m256i weigh(__m256i bytes, size_t i) const noexcept {
    if (n_planes <= 4) return weigh_four(bytes, i, 0, n_planes);
    return _mm256_add_epi64(weigh_four(bytes, i, 0, 4), _mm256_slli_epi64(weigh_four(bytes, i, 4, n_planes), 4));
  }

  HASHKIT_ALWAYS_INLINE __m256i weigh_four(__m256i bytes, size_t i, size_t first, size_t last) const noexcept {
    const size_t stride = plane_bytes(n_bytes);
    __m256i counts = _mm256_setzero_si256();
    for (size_t p = last; p-- > first;) {
      const __m256i plane = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(planes + p * stride + i));
      counts = _mm256_add_epi8(_mm256_add_epi8(counts, counts), count_bytes(_mm256_xor_si256(bytes, plane)));
    }
    return _mm256_sad_epu8(counts, _mm256_setzero_si256());
  }
};

// The same sum by one byte for each bit: what it adds where the code's bit is not set; where it is set, it adds the
// rest to 2^n_planes - 1. Its time does not depend on the number of planes: with eight, 800 estimates from 384 bits
// took 15 us in place of 26 (Zen 3).
class ByteCounter {
 public:
  ByteCounter(const PlaneQuery& query, size_t code_bytes) noexcept
      : n_bytes_(code_bytes), most_(_mm256_set1_epi8(static_cast<char>((1u << query.n_planes) - 1))) {
    const size_t stride = plane_bytes(n_bytes_);
    for (size_t i = 0; i < n_bytes_; i += 4) {
      __m256i unset = _mm256_setzero_si256();
      for (size_t p = 0; p < query.n_planes; ++p) {
        const __m256i weight = _mm256_set1_epi8(static_cast<char>(1u << p));
        unset = _mm256_or_si256(unset, _mm256_and_si256(spread(load_bits(query.planes + p * stride + i, 4)), weight));
      }
      _mm256_store_si256(reinterpret_cast<__m256i*>(unset_ + 8 * i), unset);
    }
  }

  HASHKIT_ALWAYS_INLINE uint32_t operator()(const uint8_t* code) const noexcept {
    __m256i sums = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 4 <= n_bytes_; i += 4) sums = _mm256_add_epi64(sums, weigh(load_bits(code + i, 4), i));
    if (i < n_bytes_) sums = _mm256_add_epi64(sums, weigh(load_bits(code + i, n_bytes_ - i), i));
    return sum_of(sums);
  }

 private:
  HASHKIT_ALWAYS_INLINE static uint32_t load_bits(const uint8_t* p, size_t n) noexcept {
    uint32_t bits = 0;
    std::memcpy(&bits, p, n);
    return bits;
  }

  // A byte for each of 32 bits, in their order: all ones where it is set.
  HASHKIT_ALWAYS_INLINE static __m256i spread(uint32_t bits) noexcept {
    const __m256i byte_of_bit = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                                 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x(0x0102040810204080);  // the first is the most significant
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), byte_of_bit);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
  }

  HASHKIT_ALWAYS_INLINE __m256i weigh(uint32_t bits, size_t i) const noexcept {
    const __m256i unset = _mm256_load_si256(reinterpret_cast<const __m256i*>(unset_ + 8 * i));
    const __m256i added = _mm256_xor_si256(unset, _mm256_and_si256(spread(bits), most_));
    return _mm256_sad_epu8(added, _mm256_setzero_si256());
  }

  size_t n_bytes_;
  __m256i most_;
  alignas(32) uint8_t unset_[8 * kMaxBytes];
};

#  include "kernels/plane_scan.inl"

void score_planes(const PlaneQuery& query, const uint8_t* codes, const RowFactors* factors, const int64_t* rows,
                  size_t n_rows, size_t n_bytes, float* scores) noexcept {
  score_rows(ByteCounter(query, n_bytes), query, codes, factors, rows, n_rows, n_bytes, scores);
}

constexpr decltype(VectorKernels::fill_plane_tile) kFillPlaneTile = nullptr;
constexpr decltype(VectorKernels::scan_plane_tile) kScanPlaneTile = nullptr;

}  // namespace

#  include "kernels/vector_table.inl"

}  // namespace hashkit::avx2
HASHKIT_TARGET_END
#endif
