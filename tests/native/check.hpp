// TEST and CHECK, in the least code that says what failed, and memory whose borders are watched.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#  include <sanitizer/asan_interface.h>
#else
#  define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#  define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace check {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

struct Register {
  Register(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] inline void fail(const char* file, int line, const std::string& what, const std::string& context) {
  throw Failure(std::string(file) + ":" + std::to_string(line) + ": " + what + (context.empty() ? "" : "; " + context));
}

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  static_cast<void>((stream << ... << parts));
  return stream.str();
}

}  // namespace check

#define TEST(name)                                            \
  static void test_##name();                                  \
  static check::Register register_##name(#name, test_##name); \
  static void test_##name()

// The rest of the arguments is printed after the condition when it does not hold.
#define CHECK(condition, ...) \
  ((condition) ? void() : check::fail(__FILE__, __LINE__, #condition, check::text(__VA_ARGS__)))

#define CHECK_THROWS(statement, type, part)                                                              \
  do {                                                                                                   \
    std::string caught = "nothing";                                                                      \
    try {                                                                                                \
      statement;                                                                                         \
    } catch (const type& error) {                                                                        \
      caught = error.what();                                                                             \
    }                                                                                                    \
    CHECK(caught.find(part) != std::string::npos, "expected " #type " with '", part, "', got ", caught); \
  } while (false)

// Where an array lies between two pages that may not be touched.
struct Place {
  bool at_end;    // its last byte is the last before the forbidden page; `offset` is not used
  size_t offset;  // else so many bytes after the first forbidden page, which sets its alignment

  static Place end() { return {true, 0}; }
  static Place start(size_t offset = 0) { return {false, offset}; }
};

// n values whose neighbors on both sides are forbidden: by the page everywhere, and byte by byte under the address
// sanitizer. Not initialized.
template <class Value>
class Guarded {
  static_assert(std::is_trivially_copyable<Value>::value, "lies in raw memory");

 public:
  Guarded(size_t n, Place place) : n_(n) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t n_bytes = n * sizeof(Value);
    inside_ = (n_bytes + (place.at_end ? 0 : place.offset) + page - 1) / page * page;
    mapped_ = inside_ + 2 * page;
    void* memory = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<uint8_t*>(memory);
    if (inside_ > 0 && mprotect(base_ + page, inside_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    begin_ = base_ + page + (place.at_end ? inside_ - n_bytes : place.offset);
    ASAN_POISON_MEMORY_REGION(base_ + page, inside_);
    ASAN_UNPOISON_MEMORY_REGION(begin_, n_bytes);
  }
  ~Guarded() {
    ASAN_UNPOISON_MEMORY_REGION(base_, mapped_);
    munmap(base_, mapped_);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  Value* data() noexcept { return reinterpret_cast<Value*>(begin_); }
  const Value* data() const noexcept { return reinterpret_cast<const Value*>(begin_); }
  size_t size() const noexcept { return n_; }
  Value& operator[](size_t i) noexcept { return data()[i]; }
  const Value& operator[](size_t i) const noexcept { return data()[i]; }

 private:
  size_t n_, inside_, mapped_;
  uint8_t* base_;
  uint8_t* begin_;
};
