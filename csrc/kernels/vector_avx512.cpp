// Vectors on x86-64 with AVX-512 and VPOPCNTDQ (Ice Lake, Zen 4 and later).
#include "cpu/target.hpp"

#if defined(HASHKIT_X86)
#  include <immintrin.h>

#  include <cstring>

#  include "kernels/vector_kernels.hpp"
#  include "kernels/vector_values.hpp"

HASHKIT_QUIET_INTRINSICS
HASHKIT_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vpopcntdq,popcnt")
namespace hashkit::avx512 {
namespace {

constexpr Isa kThisIsa = Isa::kAvx512;

HASHKIT_ALWAYS_INLINE __m512i count_words(__m512i v) noexcept {
  return _mm512_popcnt_epi64(v);
}

#  include "kernels/vector_avx512_kernels.inl"

}  // namespace

#  include "kernels/vector_table.inl"

}  // namespace hashkit::avx512
HASHKIT_TARGET_END
#endif
