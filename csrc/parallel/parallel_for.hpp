// Threads that live no longer than one call.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace hashkit {

// Whether there is address space for so many threads, up to 16: who has that much has enough. On its first allocation a
// thread takes a heap of its own, up to 128 MiB of it; where that fails glibc aborts the process instead of throwing.
// Nothing is touched: two system calls, which the address sanitizer does not follow with 18 MiB of its own as it does
// malloc.
inline bool has_room_for_threads(size_t n_threads) noexcept {
  constexpr size_t kRoomPerThread = size_t{144} << 20;
  const size_t n_bytes = std::min<size_t>(n_threads, 16) * kRoomPerThread;
  void* room = mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return room != MAP_FAILED && munmap(room, n_bytes) == 0;
}

// Calls task(i) once for every i in [0, n_tasks), from at most n_threads threads of which the caller is one.
// Tasks are taken from a shared counter, so that uneven ones balance. The first exception stops the handing out
// of tasks and is rethrown here once every thread is joined. No pool is kept: fork() and other libraries' threads
// meet nothing of ours. A thread that cannot be started is done without.
template <class Task>
void parallel_for(size_t n_tasks, size_t n_threads, const Task& task) {
  if (n_threads > n_tasks) n_threads = n_tasks;
  if (n_threads <= 1 || !has_room_for_threads(n_threads - 1)) {
    for (size_t i = 0; i < n_tasks; ++i) task(i);
    return;
  }
  std::atomic<size_t> next{0};
  std::exception_ptr first_error;
  std::mutex error_mutex;
  auto work = [&] {
    try {
      for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n_tasks;) task(i);
    } catch (...) {
      std::lock_guard<std::mutex> lock(error_mutex);
      if (!first_error) first_error = std::current_exception();
      next.store(n_tasks, std::memory_order_relaxed);
    }
  };
  const auto work_in_thread = [&] {
    // The first look at exceptions allocates the thread's own state of them, and glibc aborts if it cannot: now, rather
    // than when the exception is that there is no memory.
    if (std::uncaught_exceptions() == 0) work();
  };
  std::vector<std::thread> threads;
  threads.reserve(n_threads - 1);
  try {
    while (threads.size() + 1 < n_threads) threads.emplace_back(work_in_thread);
  } catch (const std::exception&) {
  }
  work();
  for (std::thread& thread : threads) thread.join();
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace hashkit
