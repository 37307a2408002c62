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

}  // namespace

extern const KernelTable kTable;
const KernelTable kTable{Isa::kPopcnt, distances,   scan,           scan_runs,    scan_listed_runs,
                         tile_codes,   tile_bytes,  query_bytes,    fill_tile,    fill_query,
                         scan_tile,    pack<float>, pack<uint16_t>, pack<uint8_t>};

}  // namespace hashkit::popcnt
HASHKIT_TARGET_END
#endif
