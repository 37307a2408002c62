// Plain C++17 for every machine.
#include <cstring>

#include "cpu/target.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit::portable {
namespace {

HASHKIT_ALWAYS_INLINE uint64_t popcount64(uint64_t x) noexcept {
  // Counts in pairs, nibbles, bytes, then the bytes summed by a multiplication (Warren, Hacker's Delight, 5-1).
  x -= (x >> 1) & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
  x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
  return (x * 0x0101010101010101u) >> 56;
}

using Vec = uint64_t __attribute__((vector_size(16)));

#include "kernels/scalar_kernels.inl"
#include "kernels/bit_slices.inl"
#include "kernels/scalar_pack.inl"
#include "kernels/base_table.inl"

}  // namespace

extern const KernelTable kTable;
constexpr KernelTable kTable = base_table(Isa::kPortable);

}  // namespace hashkit::portable
