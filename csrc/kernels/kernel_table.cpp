#include "kernels/kernel_table.hpp"

#include <stdexcept>
#include <string>

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

// No default: a new instruction set without a case here is an error (-Wswitch).
const KernelTable& kernel_table(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return portable::kTable;
#if defined(HASHKIT_X86)
    case Isa::kPopcnt:
      return popcnt::kTable;
    case Isa::kAvx2:
      return avx2::kTable;
    case Isa::kAvx512bw:
      return avx512bw::kTable;
    case Isa::kAvx512:
      return avx512::kTable;
#else
    case Isa::kPopcnt:
    case Isa::kAvx2:
    case Isa::kAvx512bw:
    case Isa::kAvx512:
      break;
#endif
#if defined(HASHKIT_ARM64)
    case Isa::kNeon:
      return neon::kTable;
#else
    case Isa::kNeon:
      break;
#endif
  }
  throw std::invalid_argument(std::string("no kernels for ") + isa_name(isa) + " on this architecture");
}

}  // namespace hashkit
