// x86-64 with AVX2 (2013 and later). One query is scanned by words: POPCNT already outruns memory. A batch is
// scanned by nibble planes.
#include "cpu/target.hpp"

#if defined(HASHKIT_X86)
#  include <immintrin.h>

#  include <cstring>

#  include "kernels/kernel_table.hpp"

HASHKIT_TARGET_BEGIN("avx2,popcnt")
namespace hashkit::avx2 {
namespace {

HASHKIT_ALWAYS_INLINE uint64_t popcount64(uint64_t x) noexcept {
  return static_cast<uint64_t>(_mm_popcnt_u64(x));
}

using Vec = uint64_t __attribute__((vector_size(32)));

HASHKIT_ALWAYS_INLINE Vec add_bits(Vec a, Vec b, Vec c, Vec& carry) noexcept {
  const Vec differ = a ^ b;
  carry = (a & b) | (differ & c);
  return differ ^ c;
}
HASHKIT_ALWAYS_INLINE bool all_bits(Vec v) noexcept {
  return _mm256_testc_si256(reinterpret_cast<__m256i>(v), _mm256_set1_epi32(-1));
}

#  include "kernels/scalar_kernels.inl"
#  include "kernels/bit_slices.inl"
#  include "kernels/scalar_pack.inl"

// 32 bytes, each 0 or 255, to 32 bits, the first byte the most significant bit of the first byte of the code.
HASHKIT_ALWAYS_INLINE void store_bits(__m256i bytes, uint8_t* code) noexcept {
  const __m256i reversed = _mm256_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8,  //
                                            7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8);
  const int bits = _mm256_movemask_epi8(_mm256_shuffle_epi8(bytes, reversed));
  std::memcpy(code, &bits, sizeof bits);
}

HASHKIT_ALWAYS_INLINE __m256i positive(const float* values) noexcept {
  return _mm256_castps_si256(_mm256_cmp_ps(_mm256_loadu_ps(values), _mm256_setzero_ps(), _CMP_GT_OQ));
}

void pack_float32(const float* values, size_t n_bits, uint8_t* code) noexcept {
  // packs works within 128-bit halves; this order of the four-byte groups undoes what two of them mix up.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  size_t i = 0;
  for (; i + 32 <= n_bits; i += 32) {
    const __m256i first = _mm256_packs_epi32(positive(values + i), positive(values + i + 8));
    const __m256i second = _mm256_packs_epi32(positive(values + i + 16), positive(values + i + 24));
    store_bits(_mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), order), code + i / 8);
  }
  pack_from(values, i, n_bits, code);
}

HASHKIT_ALWAYS_INLINE __m256i positive(const uint16_t* half_bits) noexcept {
  const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(half_bits));
  return _mm256_and_si256(_mm256_cmpgt_epi16(v, _mm256_setzero_si256()),
                          _mm256_cmpgt_epi16(_mm256_set1_epi16(0x7C01), v));
}

void pack_float16(const uint16_t* values, size_t n_bits, uint8_t* code) noexcept {
  size_t i = 0;
  for (; i + 32 <= n_bits; i += 32) {
    const __m256i bytes = _mm256_packs_epi16(positive(values + i), positive(values + i + 16));
    store_bits(_mm256_permute4x64_epi64(bytes, 0xD8), code + i / 8);
  }
  pack_from(values, i, n_bits, code);
}

void pack_bytes(const uint8_t* values, size_t n_bits, uint8_t* code) noexcept {
  const __m256i zero = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 32 <= n_bits; i += 32) {
    const __m256i is_zero = _mm256_cmpeq_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i)), zero);
    store_bits(_mm256_cmpeq_epi8(is_zero, zero), code + i / 8);
  }
  pack_from(values, i, n_bits, code);
}

}  // namespace

extern const KernelTable kTable;
const KernelTable kTable{Isa::kAvx2, distances,  scan,      tile_codes,   tile_bytes,   query_bytes,
                         fill_tile,  fill_query, scan_tile, pack_float32, pack_float16, pack_bytes};

}  // namespace hashkit::avx2
HASHKIT_TARGET_END
#endif
