// Vectors in plain C++17, for every machine.
#include <cstring>

#include "cpu/target.hpp"
#include "kernels/vector_kernels.hpp"
#include "kernels/vector_values.hpp"

namespace hashkit::portable {
namespace {

constexpr Isa kThisIsa = Isa::kPortable;
using Floats = float __attribute__((vector_size(16)));

HASHKIT_ALWAYS_INLINE uint64_t popcount64(uint64_t x) noexcept {
  // Counts in pairs, nibbles, bytes, then the bytes summed by a multiplication (Warren, Hacker's Delight, 5-1).
  x -= (x >> 1) & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
  x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
  return (x * 0x0101010101010101u) >> 56;
}

#include "kernels/vector_scalar_loads.inl"
#include "kernels/vector_sums.inl"
#include "kernels/rotation.inl"
#include "kernels/plane_words.inl"
#include "kernels/plane_scan.inl"
#include "kernels/plane_score.inl"
constexpr decltype(VectorKernels::fill_plane_tile) kFillPlaneTile = nullptr;
constexpr decltype(VectorKernels::scan_plane_tile) kScanPlaneTile = nullptr;

}  // namespace

#include "kernels/vector_table.inl"

}  // namespace hashkit::portable
