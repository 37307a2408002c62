// Large arrays with random access.
#pragma once

#include <cstddef>
#include <memory>

#include "core/huge_vector.hpp"

namespace hashkit {

// `size` values in pages of 2 MiB, like a HugeVector, but uninitialized. An array can also borrow values, for example
// those of a mapped file: they are only read, and must outlive the array.
template <class Value>
class HugeArray {
 public:
  HugeArray() = default;
  explicit HugeArray(size_t size) : size_(size), data_(size == 0 ? nullptr : Allocator().allocate(size)) {}
  static HugeArray borrow(const Value* data, size_t size) {
    HugeArray array;
    array.size_ = size;
    array.data_ = {const_cast<Value*>(data), Free{false}};
    return array;
  }

  Value* data() noexcept { return data_.get(); }
  const Value* data() const noexcept { return data_.get(); }
  size_t size() const noexcept { return size_; }
  size_t n_bytes() const noexcept { return size_ * sizeof(Value); }
  Value& operator[](size_t i) noexcept { return data_.get()[i]; }
  const Value& operator[](size_t i) const noexcept { return data_.get()[i]; }

 private:
  using Allocator = HugePageAllocator<Value>;

  struct Free {
    bool is_owner = true;
    void operator()(Value* p) const noexcept {
      if (is_owner) Allocator().deallocate(p, 0);
    }
  };

  size_t size_ = 0;
  std::unique_ptr<Value[], Free> data_;
};

}  // namespace hashkit
