// Vectors on 64-bit ARM: every such machine has NEON, and conversions from float16.
#include "cpu/target.hpp"

#if defined(HASHKIT_ARM64)
#  include <arm_neon.h>

#  include <cstring>

#  include "kernels/vector_kernels.hpp"
#  include "kernels/vector_values.hpp"

namespace hashkit::neon {
namespace {

constexpr Isa kThisIsa = Isa::kNeon;
using Floats = float32x4_t;

HASHKIT_ALWAYS_INLINE Floats load(const float* values) noexcept {
  return vld1q_f32(values);
}
HASHKIT_ALWAYS_INLINE Floats load(const Half* values) noexcept {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&values->bits)));
}
HASHKIT_ALWAYS_INLINE Floats load(const Bfloat* values) noexcept {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&values->bits), 16));
}
HASHKIT_ALWAYS_INLINE Floats load(const int8_t* values) noexcept {
  int8_t bytes[8] = {};
  std::memcpy(bytes, values, 4);
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(bytes)))));
}

HASHKIT_ALWAYS_INLINE uint64_t popcount64(uint64_t x) noexcept {
  return vaddlv_u8(vcnt_u8(vcreate_u8(x)));
}

#  include "kernels/vector_sums.inl"
#  include "kernels/rotation.inl"
#  include "kernels/plane_words.inl"
#  include "kernels/plane_scan.inl"
#  include "kernels/plane_score.inl"
constexpr decltype(VectorKernels::fill_plane_tile) kFillPlaneTile = nullptr;
constexpr decltype(VectorKernels::scan_plane_tile) kScanPlaneTile = nullptr;

}  // namespace

#  include "kernels/vector_table.inl"

}  // namespace hashkit::neon
#endif
