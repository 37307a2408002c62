// Pairs found by the tasks of a join, counted against a common limit and merged into one sorted list.
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

struct FoundPair {
  int64_t right;
  uint32_t left;  // counted from the task's first
  int32_t distance;
};

inline bool operator<(const FoundPair& a, const FoundPair& b) noexcept {
  return a.left != b.left ? a.left < b.left : a.right < b.right;
}

// The number of pairs found by all tasks.
class PairCount {
 public:
  explicit PairCount(size_t max_pairs) : max_pairs_(std::min(max_pairs, std::numeric_limits<size_t>::max() / 2)) {}

  // Adds to the count; false if there are too many.
  bool add(size_t n) noexcept { return n_.fetch_add(n, std::memory_order_relaxed) + n <= max_pairs_; }
  bool exceeded() const noexcept { return n_.load(std::memory_order_relaxed) > max_pairs_; }

 private:
  size_t max_pairs_;
  std::atomic<size_t> n_{0};
};

// The pairs of one task.
struct FoundPairs {
  PairCount& count;
  std::vector<FoundPair> pairs = {};
  size_t n_counted = 0;

  bool go_on() {
    poll_stop();
    const size_t n_new = pairs.size() - n_counted;
    n_counted = pairs.size();
    return count.add(n_new);
  }
};

// Appends the pairs of a task, whose rights ascend for each left, in order of the lefts (a counting sort).
inline void append_ordered(const std::vector<FoundPair>& found, size_t first, size_t n_left, Pairs& pairs) {
  std::vector<size_t> places(n_left + 1, pairs.left.size());
  for (const FoundPair& pair : found) ++places[pair.left + 1];
  for (size_t i = 1; i <= n_left; ++i) places[i] += places[i - 1] - pairs.left.size();
  const size_t n_pairs = pairs.left.size() + found.size();
  pairs.left.resize(n_pairs);
  pairs.right.resize(n_pairs);
  pairs.distances.resize(n_pairs);
  for (const FoundPair& pair : found) {
    const size_t place = places[pair.left]++;
    pairs.left[place] = static_cast<int64_t>(first + pair.left);
    pairs.right[place] = pair.right;
    pairs.distances[place] = pair.distance;
  }
}

// Calls find(first, last, FoundPairs&) for the rows of every task, at most `step`, and returns all pairs by (left,
// right); nothing if there are more than max_pairs.
template <class Find>
std::optional<Pairs> find_pairs(size_t begin, size_t end, size_t step, size_t n_threads, size_t max_pairs,
                                const Find& find) {
  const size_t n_left = end - begin, n_tasks = (n_left + step - 1) / step;
  std::vector<std::vector<FoundPair>> by_task(n_tasks);
  PairCount count(max_pairs);
  parallel_for(n_tasks, n_threads, [&](size_t task) {
    FoundPairs found{count};
    find(begin + task * step, std::min(begin + (task + 1) * step, end), found);
    found.go_on();
    by_task[task] = std::move(found.pairs);
  });
  if (count.exceeded()) return std::nullopt;
  Pairs pairs;
  for (size_t task = 0; task < n_tasks; ++task) {
    append_ordered(by_task[task], begin + task * step, std::min(step, n_left - task * step), pairs);
    std::vector<FoundPair>().swap(by_task[task]);
  }
  return pairs;
}

}  // namespace hashkit
