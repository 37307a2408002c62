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

HASHKIT_ALWAYS_INLINE __m512i count_words(__m512i v) noexcept {
  return _mm512_popcnt_epi64(v);
}

#  include "kernels/avx512_kernels.inl"

}  // namespace

extern const KernelTable kTable;
constexpr KernelTable kTable = wide_table(Isa::kAvx512);

}  // namespace hashkit::avx512
HASHKIT_TARGET_END
#endif
