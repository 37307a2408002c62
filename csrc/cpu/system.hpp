// What the core needs of the operating system. The only file of csrc, with system.cpp, that knows one: Linux, other
// POSIX systems (macOS among them) or Windows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hashkit {

// Memory at a multiple of `alignment`, a power of two that divides n_bytes; null if there is none.
void* allocate_aligned(size_t alignment, size_t n_bytes) noexcept;
void free_aligned(void* memory) noexcept;

// Asks for pages of 2 MiB, a request that the system may refuse, and that only Linux has.
void prefer_huge_pages(void* memory, size_t n_bytes) noexcept;

// Whether this much address space is free, where malloc can abort the process for want of it. Touches no memory.
bool has_address_space(size_t n_bytes) noexcept;

// Nanoseconds of a clock that only goes forward. It may stand still for 16 ms, which makes it the cheapest to read.
int64_t coarse_nanoseconds() noexcept;

// Nanoseconds of CPU time of this thread, which exclude other work on the machine; of a clock where the system does not
// count them finely.
int64_t thread_nanoseconds() noexcept;

// False on a thread that is surely not the process's main thread.
bool may_be_main_thread() noexcept;

[[noreturn]] void sleep_forever() noexcept;

}  // namespace hashkit
