// Stands in for the compiler's immintrin.h where both forms of the avx512 kernels are built on SIMDe's emulation of
// AVX-512, for machines without it. The target region is left empty, so that the compiler itself uses no such
// instruction.
#pragma once

#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

// What Debian's SIMDe does not have.
#define _mm_popcnt_u64(x) __builtin_popcountll(x)
inline simde__mmask32 _mm512_cmpgt_epi16_mask(__m512i a, __m512i b) {
  return static_cast<simde__mmask32>(~simde_mm512_cmpge_epi16_mask(b, a));
}
using __mmask8 = simde__mmask8;
using __mmask64 = simde__mmask64;
inline __m512i _mm512_maskz_loadu_epi8(__mmask64 mask, const void* from) {
  alignas(64) uint8_t bytes[64] = {};
  for (int i = 0; i < 64; ++i) {
    if (mask >> i & 1) bytes[i] = static_cast<const uint8_t*>(from)[i];
  }
  return simde_mm512_loadu_si512(bytes);
}
inline __m512i _mm512_cvtepu32_epi64(__m256i v) {
  alignas(32) uint32_t halves[8];
  simde_mm256_storeu_si256(reinterpret_cast<__m256i*>(halves), v);
  alignas(64) uint64_t words[8];
  for (int i = 0; i < 8; ++i) words[i] = halves[i];
  return simde_mm512_loadu_si512(words);
}

// One value at a time: from an array of what a vector holds, and back.
template <class To, class From, size_t kValues, class Vector, class Convert>
inline __m512i emulate_512(const Vector& v, const Convert& convert) {
  From from[kValues];
  To to[64 / sizeof(To)] = {};
  __builtin_memcpy(from, &v, sizeof from);
  for (size_t i = 0; i < kValues; ++i) to[i] = convert(from[i]);
  return simde_mm512_loadu_si512(to);
}
inline __m512i _mm512_cvtepu16_epi32(__m256i v) {
  return emulate_512<uint32_t, uint16_t, 16>(v, [](uint16_t x) { return uint32_t{x}; });
}
inline __m512i _mm512_cvtepi8_epi32(__m128i v) {
  return emulate_512<int32_t, int8_t, 16>(v, [](int8_t x) { return int32_t{x}; });
}
inline __m512 _mm512_cvtepi32_ps(__m512i v) {
  return simde_mm512_castsi512_ps(emulate_512<float, int32_t, 16>(v, [](int32_t x) { return static_cast<float>(x); }));
}
inline __m512 _mm512_cvtph_ps(__m256i v) {
  return simde_mm512_castsi512_ps(emulate_512<float, uint16_t, 16>(v, [](uint16_t x) {
    const uint32_t sign = (x & 0x8000u) << 16;
    float value = simde_uint32_as_float32((x & 0x7fffu) << 13) * 0x1p112f;
    if ((x & 0x7c00u) == 0x7c00u) value = simde_uint32_as_float32(0x7f800000u | (x & 0x3ffu) << 13);
    return simde_uint32_as_float32(simde_float32_as_uint32(value) | sign);
  }));
}
inline __m512i _mm512_shuffle_i64x2(__m512i a, __m512i b, int lanes) {
  alignas(64) uint64_t from[16], to[8];
  __builtin_memcpy(from, &a, 64);
  __builtin_memcpy(from + 8, &b, 64);
  for (int i = 0; i < 8; ++i) to[i] = from[(i < 4 ? 0 : 8) + 2 * (lanes >> i / 2 * 2 & 3) + i % 2];
  return simde_mm512_loadu_si512(to);
}
using __mmask16 = simde__mmask16;
inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void* from) {
  alignas(64) float values[16] = {};
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) __builtin_memcpy(values + i, static_cast<const char*>(from) + 4 * i, 4);
  }
  return simde_mm512_loadu_ps(values);
}

#undef HASHKIT_TARGET_BEGIN
#undef HASHKIT_TARGET_END
#define HASHKIT_TARGET_BEGIN(features)
#define HASHKIT_TARGET_END
