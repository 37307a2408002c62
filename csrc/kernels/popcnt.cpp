// x86-64 with the POPCNT instruction (2008 and later).
#include "cpu/target.hpp"

#if defined(HASHKIT_X86)
#  include <nmmintrin.h>

#  include <cstring>

#  include "kernels/kernel_table.hpp"

HASHKIT_TARGET_BEGIN("popcnt")
namespace hashkit::popcnt {
namespace {

HASHKIT_ALWAYS_INLINE uint64_t popcount64(uint64_t x) noexcept {
  return static_cast<uint64_t>(_mm_popcnt_u64(x));
}

using Vec = uint64_t __attribute__((vector_size(16)));

#  include "kernels/scalar_kernels.inl"
#  include "kernels/bit_slices.inl"
#  include "kernels/scalar_pack.inl"
#  include "kernels/base_table.inl"

}  // namespace

extern const KernelTable kTable;
constexpr KernelTable kTable = base_table(Isa::kPopcnt);

}  // namespace hashkit::popcnt
HASHKIT_TARGET_END
#endif
