#include "kernels/kernel_table.hpp"

#include "cpu/target.hpp"

namespace hashkit {

namespace portable {
extern const KernelTable kTable;
}
#if defined(HASHKIT_X86)
namespace popcnt {
extern const KernelTable kTable;
}
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx512bw {
extern const KernelTable kTable;
}
namespace avx512 {
extern const KernelTable kTable;
}
#endif
#if defined(HASHKIT_ARM64)
namespace neon {
extern const KernelTable kTable;
}
#endif

const KernelTable& kernel_table(Isa isa) {
  switch (isa) {
#if defined(HASHKIT_X86)
    case Isa::kPopcnt:
      return popcnt::kTable;
    case Isa::kAvx2:
      return avx2::kTable;
    case Isa::kAvx512bw:
      return avx512bw::kTable;
    case Isa::kAvx512:
      return avx512::kTable;
#endif
#if defined(HASHKIT_ARM64)
    case Isa::kNeon:
      return neon::kTable;
#endif
    default:
      return portable::kTable;
  }
}

}  // namespace hashkit
