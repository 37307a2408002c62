// Large arrays that are read at random places.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace hashkit {

// `size` values, not initialized, in pages of 2 MiB where the system gives them: a random load then seldom misses the
// TLB as well as the cache.
template <class Value>
class HugeArray {
 public:
  HugeArray() = default;
  explicit HugeArray(size_t size) : size_(size), data_(allocate(size * sizeof(Value))) {}

  Value* data() noexcept { return data_.get(); }
  const Value* data() const noexcept { return data_.get(); }
  size_t size() const noexcept { return size_; }
  size_t n_bytes() const noexcept { return size_ * sizeof(Value); }
  Value& operator[](size_t i) noexcept { return data_.get()[i]; }
  const Value& operator[](size_t i) const noexcept { return data_.get()[i]; }

 private:
  static constexpr size_t kHugePage = size_t{2} << 20;

  struct Free {
    void operator()(Value* p) const noexcept { std::free(p); }
  };

  static Value* allocate(size_t n_bytes) {
    const size_t alignment = n_bytes < kHugePage ? 64 : kHugePage;
    const size_t rounded = (n_bytes + alignment - 1) / alignment * alignment;
    void* p = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    if (p == nullptr) throw std::bad_alloc();
    if (alignment == kHugePage) madvise(p, rounded, MADV_HUGEPAGE);  // a wish: it may be refused
    return static_cast<Value*>(p);
  }

  size_t size_ = 0;
  std::unique_ptr<Value[], Free> data_;
};

}  // namespace hashkit
