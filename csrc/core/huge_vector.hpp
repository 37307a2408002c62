// Vectors with random access. They use pages of 2 MiB if the system provides them, so that fewer accesses miss the TLB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "cpu/system.hpp"

namespace hashkit {

template <class Value>
struct HugePageAllocator {
  using value_type = Value;

  HugePageAllocator() = default;
  template <class Other>
  HugePageAllocator(const HugePageAllocator<Other>&) noexcept {}

  Value* allocate(size_t n) {
    constexpr size_t kHugePage = size_t{2} << 20;
    if (n > (PTRDIFF_MAX - kHugePage) / sizeof(Value)) throw std::bad_alloc();
    const size_t alignment = n * sizeof(Value) < kHugePage ? 64 : kHugePage;
    const size_t rounded = (n * sizeof(Value) + alignment - 1) / alignment * alignment;
    void* p = allocate_aligned(alignment, rounded);
    if (p == nullptr) throw std::bad_alloc();
    if (alignment == kHugePage) prefer_huge_pages(p, rounded);
    return static_cast<Value*>(p);
  }
  void deallocate(Value* p, size_t) noexcept { free_aligned(p); }

  // Without a value nothing is written: resize() leaves new memory uninitialized.
  template <class Other, class... Arguments>
  void construct(Other* p, Arguments&&... arguments) {
    if constexpr (sizeof...(Arguments) == 0) {
      ::new (static_cast<void*>(p)) Other;
    } else {
      ::new (static_cast<void*>(p)) Other(std::forward<Arguments>(arguments)...);
    }
  }

  bool operator==(const HugePageAllocator&) const noexcept { return true; }
  bool operator!=(const HugePageAllocator&) const noexcept { return false; }
};

template <class Value>
using HugeVector = std::vector<Value, HugePageAllocator<Value>>;

}  // namespace hashkit
