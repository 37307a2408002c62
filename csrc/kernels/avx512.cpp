// x86-64 with AVX-512 F, BW, VL and VPOPCNTDQ (Ice Lake, Zen 4 and later).
#include "cpu/target.hpp"

#if defined(HASHKIT_X86)
#  include <immintrin.h>

#  include <cstring>

#  include "kernels/kernel_table.hpp"

HASHKIT_QUIET_INTRINSICS
HASHKIT_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vpopcntdq,popcnt")
namespace hashkit::avx512 {
namespace {

HASHKIT_ALWAYS_INLINE uint64_t popcount64(uint64_t x) noexcept {
  return static_cast<uint64_t>(_mm_popcnt_u64(x));
}

using Vec = uint64_t __attribute__((vector_size(64)));

// One instruction each: exclusive or of three, and majority.
HASHKIT_ALWAYS_INLINE Vec add_bits(Vec a, Vec b, Vec c, Vec& carry) noexcept {
  const auto x = reinterpret_cast<__m512i>(a), y = reinterpret_cast<__m512i>(b), z = reinterpret_cast<__m512i>(c);
  carry = reinterpret_cast<Vec>(_mm512_ternarylogic_epi64(x, y, z, 0xE8));
  return reinterpret_cast<Vec>(_mm512_ternarylogic_epi64(x, y, z, 0x96));
}
HASHKIT_ALWAYS_INLINE bool all_bits(Vec v) noexcept {
  return _mm512_cmpeq_epi64_mask(reinterpret_cast<__m512i>(v), _mm512_set1_epi64(-1)) == 0xFF;
}

#  include "kernels/scalar_kernels.inl"
#  include "kernels/bit_slices.inl"
#  include "kernels/scalar_pack.inl"

// One query over rows of one word: 8 codes per vector, no tile needed. Other widths are scanned word by word.
size_t scan_rows(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, int limit,
                 Hit* hits) noexcept {
  if (n_bytes != 8) return scan(query, codes, n_codes, n_bytes, limit, hits);
  const __m512i wanted = _mm512_set1_epi64(static_cast<long long>(load_word(query)));
  const __m512i bound = _mm512_set1_epi64(limit);
  size_t n_hits = 0, i = 0;
  for (; i + 8 <= n_codes; i += 8) {
    const __m512i counts = _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(codes + 8 * i), wanted));
    unsigned mask = _mm512_cmple_epi64_mask(counts, bound);
    if (__builtin_expect(mask == 0, 1)) continue;
    uint64_t distances[8];
    _mm512_storeu_si512(distances, counts);
    for (; mask != 0; mask &= mask - 1) {
      const auto lane = static_cast<size_t>(__builtin_ctz(mask));
      hits[n_hits++] = Hit{static_cast<uint32_t>(i + lane), 0, static_cast<uint16_t>(distances[lane])};
    }
  }
  const size_t n_rest = scan(query, codes + 8 * i, n_codes - i, n_bytes, limit, hits + n_hits);
  for (size_t j = 0; j < n_rest; ++j) hits[n_hits + j].row += static_cast<uint32_t>(i);
  return n_hits + n_rest;
}

// 64 bits, the first value the lowest, to bytes with the first value the most significant bit of the first byte.
HASHKIT_ALWAYS_INLINE void store_bits(uint64_t bits, uint8_t* code, size_t n_bytes) noexcept {
  bits = (bits >> 4 & 0x0F0F0F0F0F0F0F0Fu) | (bits & 0x0F0F0F0F0F0F0F0Fu) << 4;
  bits = (bits >> 2 & 0x3333333333333333u) | (bits & 0x3333333333333333u) << 2;
  bits = (bits >> 1 & 0x5555555555555555u) | (bits & 0x5555555555555555u) << 1;
  std::memcpy(code, &bits, n_bytes);
}

void pack_float32(const float* values, size_t n_bits, uint8_t* code) noexcept {
  const __m512 zero = _mm512_setzero_ps();
  size_t i = 0;
  for (; i + 64 <= n_bits; i += 64) {
    uint64_t bits = 0;
    for (size_t part = 0; part < 4; ++part) {
      const __m512 v = _mm512_loadu_ps(values + i + 16 * part);
      bits |= uint64_t{_mm512_cmp_ps_mask(v, zero, _CMP_GT_OQ)} << (16 * part);
    }
    store_bits(bits, code + i / 8, 8);
  }
  pack_from(values, i, n_bits, code);
}

void pack_float16(const uint16_t* values, size_t n_bits, uint8_t* code) noexcept {
  const __m512i zero = _mm512_setzero_si512(), above = _mm512_set1_epi16(0x7C01);
  size_t i = 0;
  for (; i + 32 <= n_bits; i += 32) {
    const __m512i v = _mm512_loadu_si512(values + i);
    store_bits(_mm512_cmpgt_epi16_mask(v, zero) & _mm512_cmpgt_epi16_mask(above, v), code + i / 8, 4);
  }
  pack_from(values, i, n_bits, code);
}

void pack_bytes(const uint8_t* values, size_t n_bits, uint8_t* code) noexcept {
  size_t i = 0;
  for (; i + 64 <= n_bits; i += 64) {
    const __m512i v = _mm512_loadu_si512(values + i);
    store_bits(_mm512_test_epi8_mask(v, v), code + i / 8, 8);
  }
  pack_from(values, i, n_bits, code);
}

}  // namespace

extern const KernelTable kTable;
const KernelTable kTable{Isa::kAvx512, distances,  scan_rows, tile_codes,   tile_bytes,   query_bytes,
                         fill_tile,    fill_query, scan_tile, pack_float32, pack_float16, pack_bytes};

}  // namespace hashkit::avx512
HASHKIT_TARGET_END
#endif
