// Threads that live no longer than one call.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "parallel/stop.hpp"

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

// The most threads of a call: Linux runs no more CPUs on x86-64 (CONFIG_NR_CPUS).
constexpr size_t kMaxThreads = 8192;

// What the threads of one parallel_for share.
class SharedTasks {
 public:
  SharedTasks(size_t n_tasks, size_t n_threads) : n_tasks_(n_tasks), n_running_(n_threads) {}

  // Takes tasks until there are none left, or one of them throws.
  template <class Task>
  void work(const Task& task) noexcept {
    try {
      for (size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < n_tasks_;) {
        poll_stop();
        task(i);
      }
    } catch (...) {
      fail(std::current_exception());
    }
  }
  void finish(size_t n_threads) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    n_running_ -= n_threads;
    done_.notify_one();
  }
  // Until every thread has finished; meanwhile the thread that made the call is the one that sees whether it shall
  // stop.
  void wait() noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!done_.wait_for(lock, StoppableCall::kInterval / 3, [this] { return n_running_ == 0; })) {
      lock.unlock();
      try {
        poll_stop();
      } catch (...) {
        fail(std::current_exception());
      }
      lock.lock();
    }
  }
  void rethrow() const {
    const StoppableCall* call = current_call().call;
    if (!first_error_) return;
    if (call != nullptr && current_call().is_own && call->reason()) std::rethrow_exception(call->reason());
    std::rethrow_exception(first_error_);
  }

 private:
  void fail(std::exception_ptr error) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!first_error_) first_error_ = std::move(error);
    next_.store(n_tasks_, std::memory_order_relaxed);
  }

  const size_t n_tasks_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::condition_variable done_;
  size_t n_running_;
  std::exception_ptr first_error_;
};

// Calls task(i) once for every i in [0, n_tasks), from at most n_threads threads of which the caller is one.
// Tasks are taken from a shared counter, so that uneven ones balance. The first exception stops the handing out
// of tasks and is rethrown here once every thread is joined. A call that is stopped (see stop.hpp) ends in the same
// way, before its next task. No pool is kept: fork() and other libraries' threads meet nothing of ours. A thread that
// cannot be started is done without.
template <class Task>
void parallel_for(size_t n_tasks, size_t n_threads, const Task& task) {
  if (n_threads > n_tasks) n_threads = n_tasks;
  if (n_threads <= 1 || !has_room_for_threads(n_threads - 1)) {
    for (size_t i = 0; i < n_tasks; ++i) {
      if (i > 0) poll_stop();
      task(i);
    }
    return;
  }
  SharedTasks tasks(n_tasks, n_threads - 1);
  const auto work_in_thread = [&tasks, &task, call = current_call().call] {
    // The first look at exceptions allocates the thread's own state of them, and glibc aborts if it cannot: now, rather
    // than when the exception is that there is no memory.
    if (std::uncaught_exceptions() == 0) {
      const JoinCall joined(call);
      tasks.work(task);
    }
    tasks.finish(1);
  };
  std::vector<std::thread> threads;
  threads.reserve(n_threads - 1);
  try {
    while (threads.size() + 1 < n_threads) threads.emplace_back(work_in_thread);
  } catch (const std::exception&) {
  }
  tasks.finish(n_threads - 1 - threads.size());
  tasks.work(task);
  tasks.wait();
  for (std::thread& thread : threads) thread.join();
  tasks.rethrow();
}

}  // namespace hashkit
