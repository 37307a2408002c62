// 64-bit ARM: every such machine has NEON.
#include "cpu/target.hpp"

#if defined(HASHKIT_ARM64)
#  include <arm_neon.h>

#  include <cstring>

#  include "kernels/kernel_table.hpp"

namespace hashkit::neon {
namespace {

HASHKIT_ALWAYS_INLINE uint64_t popcount64(uint64_t x) noexcept {
  return vaddlv_u8(vcnt_u8(vcreate_u8(x)));
}

using Vec = uint8x16_t;
constexpr size_t kLanes = 16;

HASHKIT_ALWAYS_INLINE Vec load(const void* p) noexcept {
  return vld1q_u8(static_cast<const uint8_t*>(p));
}
HASHKIT_ALWAYS_INLINE void store(void* p, Vec v) noexcept {
  vst1q_u8(static_cast<uint8_t*>(p), v);
}
HASHKIT_ALWAYS_INLINE Vec splat(uint8_t byte) noexcept {
  return vdupq_n_u8(byte);
}
HASHKIT_ALWAYS_INLINE Vec load_table(const uint8_t* p) noexcept {
  return vld1q_u8(p);
}
HASHKIT_ALWAYS_INLINE Vec look_up(Vec table, Vec index) noexcept {
  return vqtbl1q_u8(table, index);
}
HASHKIT_ALWAYS_INLINE Vec add_saturated(Vec a, Vec b) noexcept {
  return vqaddq_u8(a, b);
}
HASHKIT_ALWAYS_INLINE Vec subtract_saturated(Vec a, Vec b) noexcept {
  return vqsubq_u8(a, b);
}
HASHKIT_ALWAYS_INLINE Vec minimum(Vec a, Vec b) noexcept {
  return vminq_u8(a, b);
}
HASHKIT_ALWAYS_INLINE Vec either(Vec a, Vec b) noexcept {
  return vorrq_u8(a, b);
}
HASHKIT_ALWAYS_INLINE bool any(Vec v) noexcept {
  return vmaxvq_u8(v) != 0;
}
HASHKIT_ALWAYS_INLINE uint64_t nonzero_mask(Vec v) noexcept {
  // A weight per lane of each half, then the halves summed: NEON has no movemask.
  const Vec weights = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const Vec bits = vandq_u8(vtstq_u8(v, v), weights);
  return uint64_t{vaddv_u8(vget_low_u8(bits))} | uint64_t{vaddv_u8(vget_high_u8(bits))} << 8;
}

#  include "kernels/nibble_planes.inl"
#  include "kernels/scalar_kernels.inl"
#  include "kernels/scalar_pack.inl"

template <class Value>
void pack(const Value* values, size_t n_bits, uint8_t* code) noexcept {
  pack_from(values, 0, n_bits, code);
}

}  // namespace

extern const KernelTable kTable;
const KernelTable kTable{Isa::kNeon, distances, scan,        kQueries,       tile_codes,   tile_bytes,
                         fill_tile,  scan_tile, pack<float>, pack<uint16_t>, pack<uint8_t>};

}  // namespace hashkit::neon
#endif
