// x86-64 with AVX-512 F, BW and VL, but without its population count (Skylake-X, Cascade Lake).
#include "cpu/target.hpp"

#if defined(HASHKIT_X86)
#  include <immintrin.h>

#  include <cstring>

#  include "kernels/kernel_table.hpp"

HASHKIT_QUIET_INTRINSICS
HASHKIT_TARGET_BEGIN("avx512f,avx512bw,avx512vl,popcnt")
namespace hashkit::avx512bw {
namespace {

HASHKIT_ALWAYS_INLINE uint64_t popcount64(uint64_t x) noexcept {
  return static_cast<uint64_t>(_mm_popcnt_u64(x));
}

// By look-up of the two nibbles of every byte (Mula, Kurz, Lemire 2018).
HASHKIT_ALWAYS_INLINE __m512i count_words(__m512i v) noexcept {
  const __m512i counts = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m512i low = _mm512_set1_epi8(15);
  const __m512i bytes = _mm512_add_epi8(_mm512_shuffle_epi8(counts, _mm512_and_si512(v, low)),
                                        _mm512_shuffle_epi8(counts, _mm512_and_si512(_mm512_srli_epi16(v, 4), low)));
  return _mm512_sad_epu8(bytes, _mm512_setzero_si512());
}

#  include "kernels/avx512_kernels.inl"

}  // namespace

extern const KernelTable kTable;
constexpr KernelTable kTable = wide_table(Isa::kAvx512bw);

}  // namespace hashkit::avx512bw
HASHKIT_TARGET_END
#endif
