// What a join's tasks meet on their rows of the left side, under one limit, and how it becomes one ordered list.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "core/scan_loops.hpp"
#include "join/pair_join.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {

struct Met {
  int64_t right;
  uint32_t left;  // counted from the task's first
  int32_t distance;
};

// How many pairs all tasks have met.
class Count {
 public:
  explicit Count(size_t most) : most_(std::min(most, std::numeric_limits<size_t>::max() / 2)) {}

  // Adds to the count; false if there are too many.
  bool add(size_t n) noexcept { return n_.fetch_add(n, std::memory_order_relaxed) + n <= most_; }
  bool exceeded() const noexcept { return n_.load(std::memory_order_relaxed) > most_; }

 private:
  size_t most_;
  std::atomic<size_t> n_{0};
};

// The pairs of one task.
struct MetPairs {
  Count& count;
  std::vector<Met> met = {};
  size_t n_counted = 0;

  bool go_on() {
    poll_stop();
    const size_t n_new = met.size() - n_counted;
    n_counted = met.size();
    return count.add(n_new);
  }
};

// Puts what a task met, whose rights ascend for each left, in order of the lefts (a counting sort).
inline void append_ordered(const std::vector<Met>& met, size_t first, size_t n_left, Pairs& pairs) {
  std::vector<size_t> places(n_left + 1, pairs.left.size());
  for (const Met& pair : met) ++places[pair.left + 1];
  for (size_t i = 1; i <= n_left; ++i) places[i] += places[i - 1] - pairs.left.size();
  const size_t n_pairs = pairs.left.size() + met.size();
  pairs.left.resize(n_pairs);
  pairs.right.resize(n_pairs);
  pairs.distances.resize(n_pairs);
  for (const Met& pair : met) {
    const size_t place = places[pair.left]++;
    pairs.left[place] = static_cast<int64_t>(first + pair.left);
    pairs.right[place] = pair.right;
    pairs.distances[place] = pair.distance;
  }
}

// Calls meet(first, last, MetPairs&) for the rows of every task, and returns all pairs met by (left, right); nothing if
// they are more than max_pairs.
template <class Meet>
std::optional<Pairs> meet_pairs(size_t begin, size_t end, size_t n_threads, size_t max_pairs, const Meet& meet) {
  const size_t n_left = end - begin, step = queries_per_task(n_left, n_threads), n_tasks = (n_left + step - 1) / step;
  std::vector<std::vector<Met>> met(n_tasks);
  Count count(max_pairs);
  parallel_for(n_tasks, n_threads, [&](size_t task) {
    MetPairs pairs{count};
    meet(begin + task * step, std::min(begin + (task + 1) * step, end), pairs);
    pairs.go_on();
    met[task] = std::move(pairs.met);
  });
  if (count.exceeded()) return std::nullopt;
  Pairs pairs;
  for (size_t task = 0; task < n_tasks; ++task) {
    append_ordered(met[task], begin + task * step, std::min(step, n_left - task * step), pairs);
    std::vector<Met>().swap(met[task]);
  }
  return pairs;
}

}  // namespace hashkit
