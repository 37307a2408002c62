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

using Vec = uint64_t __attribute__((vector_size(16)));

// Where a and b differ the carry is c, elsewhere it is a: one bit select.
HASHKIT_ALWAYS_INLINE Vec add_bits(Vec a, Vec b, Vec c, Vec& carry) noexcept {
  const Vec differ = a ^ b;
  carry = reinterpret_cast<Vec>(vbslq_u64(reinterpret_cast<uint64x2_t>(differ), reinterpret_cast<uint64x2_t>(c),
                                          reinterpret_cast<uint64x2_t>(a)));
  return differ ^ c;
}

#  include "kernels/scalar_kernels.inl"
#  include "kernels/bit_slices.inl"
#  include "kernels/scalar_pack.inl"
#  include "kernels/base_table.inl"

}  // namespace

extern const KernelTable kTable;
constexpr KernelTable kTable = base_table(Isa::kNeon);

}  // namespace hashkit::neon
#endif
