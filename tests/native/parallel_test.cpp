// parallel_for: every task once, whatever the number of threads, and nothing lost when one throws.
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>

#include "check.hpp"
#include "parallel/parallel_for.hpp"

using hashkit::parallel_for;

TEST(parallel_every_task_once) {
  for (size_t n_tasks : {0, 1, 2, 3, 7, 64, 1000}) {
    for (size_t n_threads : {0, 1, 2, 3, 8, 2000}) {
      std::vector<std::atomic<int>> calls(n_tasks);
      parallel_for(n_tasks, n_threads, [&](size_t i) { ++calls[i]; });
      for (size_t i = 0; i < n_tasks; ++i)
        CHECK(calls[i] == 1, "task ", i, " of ", n_tasks, ", ", n_threads, " threads");
    }
  }
}

TEST(parallel_uses_no_more_threads_than_asked) {
  for (size_t n_threads : {1, 2, 4}) {
    std::mutex mutex;
    std::set<std::thread::id> seen;
    parallel_for(200, n_threads, [&](size_t) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      const std::lock_guard<std::mutex> lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
    CHECK(seen.size() <= n_threads, seen.size(), " threads of ", n_threads);
  }
}

TEST(parallel_one_thread_is_the_caller) {
  parallel_for(3, 1, [caller = std::this_thread::get_id()](size_t) { CHECK(std::this_thread::get_id() == caller); });
}

TEST(parallel_results_are_seen_by_the_caller) {
  std::vector<size_t> results(5000);  // plain memory: the thread sanitizer would see a missing join
  parallel_for(results.size(), 4, [&](size_t i) { results[i] = i * i; });
  for (size_t i = 0; i < results.size(); ++i) CHECK(results[i] == i * i, i);
}

TEST(parallel_first_exception_is_rethrown) {
  for (size_t n_threads : {1, 2, 4}) {
    std::atomic<int> n_calls{0};
    const auto throws = [&] {
      parallel_for(100000, n_threads, [&](size_t i) {
        ++n_calls;
        if (i == 10) throw std::out_of_range("task 10");
      });
    };
    CHECK_THROWS(throws(), std::out_of_range, "task 10");
    CHECK(n_calls < 100000, "tasks are still handed out after an exception");
  }
}

TEST(parallel_every_task_may_throw) {
  const auto throws = [] { parallel_for(64, 4, [](size_t) { throw std::runtime_error("each"); }); };
  CHECK_THROWS(throws(), std::runtime_error, "each");
}

TEST(parallel_calls_may_be_nested) {
  std::atomic<int> n_calls{0};
  parallel_for(4, 2, [&](size_t) { parallel_for(8, 2, [&](size_t) { ++n_calls; }); });
  CHECK(n_calls == 32);
}
