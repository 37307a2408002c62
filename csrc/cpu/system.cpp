#include "cpu/system.hpp"

#include <chrono>
#include <cstdlib>

#if defined(_WIN32)
#  include <malloc.h>
#  include <windows.h>
#else
#  include <pthread.h>
#  include <sys/mman.h>
#  include <time.h>
#  include <unistd.h>
#endif
#if defined(__linux__)
#  include <sys/syscall.h>
#endif

namespace hashkit {
namespace {

#if defined(_WIN32)
int64_t steady_nanoseconds() noexcept {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}
#else
int64_t nanoseconds_of(clockid_t clock) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}
#endif

}  // namespace

#if defined(_WIN32)

void* allocate_aligned(size_t alignment, size_t n_bytes) noexcept {
  return _aligned_malloc(n_bytes, alignment);
}
void free_aligned(void* memory) noexcept {
  _aligned_free(memory);
}
bool has_address_space(size_t) noexcept {
  return true;
}
int64_t coarse_nanoseconds() noexcept {
  return steady_nanoseconds();
}
// GetThreadTimes counts in steps of 16 ms.
int64_t thread_nanoseconds() noexcept {
  return steady_nanoseconds();
}

#else

void* allocate_aligned(size_t alignment, size_t n_bytes) noexcept {
  return std::aligned_alloc(alignment, n_bytes);
}
void free_aligned(void* memory) noexcept {
  std::free(memory);
}
// Not by malloc, for which the address sanitizer would need 18 MiB more.
bool has_address_space(size_t n_bytes) noexcept {
#  if defined(MAP_NORESERVE)
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#  else
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
#  endif
  void* room = mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  return room != MAP_FAILED && munmap(room, n_bytes) == 0;
}
// On Linux the clock at the system's last tick, 1 to 10 ms ago. It takes a quarter of the exact clock's 20 ns.
int64_t coarse_nanoseconds() noexcept {
#  if defined(CLOCK_MONOTONIC_COARSE)
  return nanoseconds_of(CLOCK_MONOTONIC_COARSE);
#  else
  return nanoseconds_of(CLOCK_MONOTONIC);
#  endif
}
int64_t thread_nanoseconds() noexcept {
  return nanoseconds_of(CLOCK_THREAD_CPUTIME_ID);
}

#endif

void prefer_huge_pages([[maybe_unused]] void* memory, [[maybe_unused]] size_t n_bytes) noexcept {
#if defined(MADV_HUGEPAGE)
  madvise(memory, n_bytes, MADV_HUGEPAGE);
#endif
}

bool may_be_main_thread() noexcept {
#if defined(__linux__)
  return syscall(SYS_gettid) == getpid();
#elif defined(__APPLE__)
  return pthread_main_np() != 0;
#else
  return true;
#endif
}

void sleep_forever() noexcept {
#if defined(_WIN32)
  for (;;) Sleep(INFINITE);
#else
  for (;;) pause();
#endif
}

}  // namespace hashkit
