#include "kernels/vector_kernels.hpp"

#include <stdexcept>
#include <string>

#include "cpu/target.hpp"

namespace hashkit {

namespace portable {
extern const VectorKernels kVectorTable;
}
#if defined(HASHKIT_X86)
namespace popcnt {
extern const VectorKernels kVectorTable;
}
namespace avx2 {
extern const VectorKernels kVectorTable;
}
namespace avx512bw {
extern const VectorKernels kVectorTable;
}
namespace avx512 {
extern const VectorKernels kVectorTable;
}
#endif
#if defined(HASHKIT_ARM64)
namespace neon {
extern const VectorKernels kVectorTable;
}
#endif

// No default: a new instruction set without a case here is an error (-Wswitch-enum).
const VectorKernels& vector_kernels(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return portable::kVectorTable;
#if defined(HASHKIT_X86)
    case Isa::kPopcnt:
      return popcnt::kVectorTable;
    case Isa::kAvx2:
      return avx2::kVectorTable;
    case Isa::kAvx512bw:
      return avx512bw::kVectorTable;
    case Isa::kAvx512:
      return avx512::kVectorTable;
#else
    case Isa::kPopcnt:
    case Isa::kAvx2:
    case Isa::kAvx512bw:
    case Isa::kAvx512:
      break;
#endif
#if defined(HASHKIT_ARM64)
    case Isa::kNeon:
      return neon::kVectorTable;
#else
    case Isa::kNeon:
      break;
#endif
  }
  throw std::invalid_argument(std::string("no kernels for ") + isa_name(isa) + " on this architecture");
}

}  // namespace hashkit
