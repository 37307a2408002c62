// Stands in for the compiler's immintrin.h where csrc/kernels/avx512.cpp is built on SIMDe's emulation of AVX-512, for
// machines without it. The target region is left empty, so that the compiler itself uses no such instruction.
#pragma once

#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

// What Debian's SIMDe does not have.
#define _mm_popcnt_u64(x) __builtin_popcountll(x)
inline simde__mmask32 _mm512_cmpgt_epi16_mask(__m512i a, __m512i b) {
  return static_cast<simde__mmask32>(~simde_mm512_cmpge_epi16_mask(b, a));
}

#undef HASHKIT_TARGET_BEGIN
#undef HASHKIT_TARGET_END
#define HASHKIT_TARGET_BEGIN(features)
#define HASHKIT_TARGET_END
