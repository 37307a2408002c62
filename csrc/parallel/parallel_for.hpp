// Threads that end with the call that started them.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "cpu/system.hpp"
#include "parallel/stop.hpp"

namespace hashkit {

// Whether there is address space for n_threads, tested for up to 16. A thread's first allocation reserves a heap of up
// to 128 MiB; if that fails, glibc aborts the process instead of throwing. The test takes two system calls.
inline bool has_room_for_threads(size_t n_threads) noexcept {
  constexpr size_t kRoomPerThread = size_t{144} << 20;
  return has_address_space(std::min<size_t>(n_threads, 16) * kRoomPerThread);
}

// The most threads of a call: Linux supports no more CPUs on x86-64 (CONFIG_NR_CPUS).
constexpr size_t kMaxThreads = 8192;

// State that the threads of one parallel_for share.
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
  // Waits until every thread has finished. Meanwhile the thread that made the call checks whether it must stop.
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

// Calls task(i) once for every i in [0, n_tasks), from at most n_threads threads of which the caller is one. Tasks are
// taken from a shared counter, so uneven ones balance. After the first exception no task is started, and it is rethrown
// once every thread is joined. A call that is stopped (see stop.hpp) ends in the same way, before its next task. There
// is no pool of threads that could disturb fork() or other libraries. If a thread cannot be started, the others do its
// work.
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
    // Allocates the thread's exception state now. glibc aborts if that fails, which it would when memory has run out.
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
