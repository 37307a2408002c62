#include "kernels/vector_kernels.hpp"

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

const VectorKernels& vector_kernels(Isa isa) {
  switch (isa) {
#if defined(HASHKIT_X86)
    case Isa::kPopcnt:
      return popcnt::kVectorTable;
    case Isa::kAvx2:
      return avx2::kVectorTable;
    case Isa::kAvx512bw:
      return avx512bw::kVectorTable;
    case Isa::kAvx512:
      return avx512::kVectorTable;
#endif
#if defined(HASHKIT_ARM64)
    case Isa::kNeon:
      return neon::kVectorTable;
#endif
    default:
      return portable::kVectorTable;
  }
}

}  // namespace hashkit
