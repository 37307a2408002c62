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

#undef HASHKIT_TARGET_BEGIN
#undef HASHKIT_TARGET_END
#define HASHKIT_TARGET_BEGIN(features)
#define HASHKIT_TARGET_END
