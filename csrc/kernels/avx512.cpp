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

// Whether any of 16 codes of kWords words is within the limit: a vector has the same word of eight codes.
template <size_t kWords>
struct AnyWithin {
  __m512i query[kWords];
  __m512i bound;

  AnyWithin(const uint8_t* bytes, int limit) noexcept : bound(_mm512_set1_epi64(limit)) {
    for (size_t w = 0; w < kWords; ++w) query[w] = _mm512_set1_epi64(static_cast<long long>(load_word(bytes + 8 * w)));
  }

  HASHKIT_ALWAYS_INLINE __m512i count(__m512i words, size_t w) const noexcept {
    return _mm512_popcnt_epi64(_mm512_xor_si512(words, query[w]));
  }
  HASHKIT_ALWAYS_INLINE __m512i sum_eight(const uint8_t* codes) const noexcept {
    const __m512i a = _mm512_loadu_si512(codes);
    if constexpr (kWords == 1) {
      return count(a, 0);
    } else {
      const __m512i b = _mm512_loadu_si512(codes + 64);
      return _mm512_add_epi64(count(_mm512_unpacklo_epi64(a, b), 0), count(_mm512_unpackhi_epi64(a, b), 1));
    }
  }
  HASHKIT_ALWAYS_INLINE bool operator()(const uint8_t* codes) const noexcept {
    const __mmask8 first = _mm512_cmple_epi64_mask(sum_eight(codes), bound);
    const __mmask8 second = _mm512_cmple_epi64_mask(sum_eight(codes + 64 * kWords), bound);
    return (first | second) != 0;
  }
};

template <size_t kWords>
size_t scan_words(const uint8_t* query, const uint8_t* codes, size_t n_codes, int limit, Hit* hits) noexcept {
  return scan_steps<16>(AnyWithin<kWords>(query, limit), WordsDistance<kWords>(query), codes, n_codes, 8 * kWords,
                        limit, hits);
}

// Distance to one query for long codes: 64 bytes at a time, the last ones under a mask.
struct LongDistance {
  const uint8_t* query;
  size_t n_bytes;

  HASHKIT_ALWAYS_INLINE int operator()(const uint8_t* code) const noexcept {
    __m512i sums = _mm512_setzero_si512();
    size_t i = 0;
    for (; i + 64 <= n_bytes; i += 64) {
      const __m512i differ = _mm512_xor_si512(_mm512_loadu_si512(code + i), _mm512_loadu_si512(query + i));
      sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(differ));
    }
    if (i < n_bytes) {
      const auto mask = static_cast<__mmask64>(~uint64_t{0} >> (64 - (n_bytes - i)));
      const __m512i differ =
          _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, code + i), _mm512_maskz_loadu_epi8(mask, query + i));
      sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(differ));
    }
    return static_cast<int>(_mm512_reduce_add_epi64(sums));
  }
};

size_t scan_rows(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, int limit,
                 Hit* hits) noexcept {
  if (n_bytes == 8) return scan_words<1>(query, codes, n_codes, limit, hits);
  if (n_bytes == 16) return scan_words<2>(query, codes, n_codes, limit, hits);
  if (n_bytes < 24) return scan(query, codes, n_codes, n_bytes, limit, hits);
  const LongDistance distance{query, n_bytes};
  const auto passes = [&](const uint8_t* code) noexcept { return distance(code) <= limit; };
  return scan_steps<1>(passes, distance, codes, n_codes, n_bytes, limit, hits);
}

void distances_rows(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, uint16_t* to) noexcept {
  if (n_bytes < 24) return distances(query, codes, n_codes, n_bytes, to);
  const LongDistance distance{query, n_bytes};
  for (size_t i = 0; i < n_codes; ++i) to[i] = static_cast<uint16_t>(distance(codes + i * n_bytes));
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
const KernelTable kTable{Isa::kAvx512, distances_rows, scan_rows, tile_codes,   tile_bytes,   query_bytes,
                         fill_tile,    fill_query,     scan_tile, pack_float32, pack_float16, pack_bytes};

}  // namespace hashkit::avx512
HASHKIT_TARGET_END
#endif
