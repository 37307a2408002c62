// Vectors on x86-64 with POPCNT: counts of bits are faster, floats as on every machine.
#include "cpu/target.hpp"

#if defined(HASHKIT_X86)
#  include <immintrin.h>

#  include <cstring>

#  include "kernels/vector_kernels.hpp"
#  include "kernels/vector_values.hpp"

HASHKIT_TARGET_BEGIN("popcnt")
namespace hashkit::popcnt {
namespace {

constexpr Isa kThisIsa = Isa::kPopcnt;
using Floats = float __attribute__((vector_size(16)));

HASHKIT_ALWAYS_INLINE uint64_t popcount64(uint64_t x) noexcept {
  return static_cast<uint64_t>(_mm_popcnt_u64(x));
}

#  include "kernels/plane_words.inl"
#  include "kernels/vector_scalar_loads.inl"
#  include "kernels/vector_sums.inl"
#  include "kernels/rotation.inl"
#  include "kernels/plane_scan.inl"
#  include "kernels/plane_score.inl"
constexpr decltype(VectorKernels::fill_plane_tile) kFillPlaneTile = nullptr;
constexpr decltype(VectorKernels::scan_plane_tile) kScanPlaneTile = nullptr;

}  // namespace

#  include "kernels/vector_table.inl"

}  // namespace hashkit::popcnt
HASHKIT_TARGET_END
#endif
