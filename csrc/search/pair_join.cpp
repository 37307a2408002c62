#include "search/pair_join.hpp"

#include <algorithm>
#include <atomic>
#include <limits>

#include "parallel/parallel_for.hpp"
#include "search/scan_loops.hpp"

namespace hashkit {
namespace {

constexpr size_t kComparedPerThread = 4'000'000;  // pairs compared; fewer are not worth a thread

struct Met {
  int64_t right;
  uint32_t left;  // counted from the task's first
  int32_t distance;
};

// How many pairs all tasks have met, and whether to go on.
class Count {
 public:
  Count(size_t most, const Interrupt& interrupt) : most_(most), interrupt_(interrupt) {}

  // Adds to the count; false if there are too many, or another thread was interrupted.
  bool add(size_t n) noexcept { return n_.fetch_add(n, std::memory_order_relaxed) + n <= most_; }
  bool exceeded() const noexcept { return n_.load(std::memory_order_relaxed) > most_; }

  void ask() {
    try {
      interrupt_();
    } catch (...) {
      n_.store(most_ + 1, std::memory_order_relaxed);
      throw;
    }
  }

 private:
  size_t most_;
  const Interrupt& interrupt_;
  std::atomic<size_t> n_{0};
};

struct PairVisitor {
  size_t first;  // the task's first left row
  bool later_only;
  int radius;
  bool asks;  // whether this thread may be interrupted
  Count& count;
  std::vector<Met> met = {};
  size_t n_counted = 0;

  bool go_on() {
    if (asks) count.ask();
    const size_t n_new = met.size() - n_counted;
    n_counted = met.size();
    return count.add(n_new);
  }
  int limit(size_t) const noexcept { return radius; }
  void push(size_t q, size_t row, int distance) {
    if (later_only && row <= q) return;
    met.push_back({static_cast<int64_t>(row), static_cast<uint32_t>(q - first), distance});
  }
};

// Puts what each task met, whose rights ascend for each left, in order of the lefts (a counting sort).
void append_ordered(const std::vector<Met>& met, size_t first, size_t n_left, Pairs& pairs) {
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

}  // namespace

std::optional<Pairs> scan_pairs(const KernelTable& kernels, const JoinRows& rows, int radius, size_t n_threads,
                                size_t max_pairs, const Interrupt& interrupt) {
  const size_t n_left = rows.last - rows.first;
  const size_t n_compared = n_left * (rows.right.n_codes - (rows.later_only ? rows.first : 0));
  n_threads = std::min(n_threads, 1 + n_compared / kComparedPerThread);
  const size_t step = queries_per_task(n_left, n_threads), n_tasks = (n_left + step - 1) / step;
  std::vector<std::vector<Met>> met(n_tasks);
  Count count(std::min(max_pairs, std::numeric_limits<size_t>::max() / 2), interrupt);
  const CallingThread caller;
  parallel_for(n_tasks, n_threads, [&](size_t task) {
    const size_t first = rows.first + task * step, last = std::min(first + step, rows.last);
    PairVisitor visitor{first, rows.later_only, radius, caller.runs_here(), count};
    scan_queries(kernels, rows.right, rows.later_only ? first + 1 : 0, rows.left, first, last, visitor);
    visitor.go_on();
    met[task] = std::move(visitor.met);
  });
  if (count.exceeded()) return std::nullopt;
  Pairs pairs;
  for (size_t task = 0; task < n_tasks; ++task) {
    append_ordered(met[task], rows.first + task * step, std::min(step, n_left - task * step), pairs);
    std::vector<Met>().swap(met[task]);
  }
  return pairs;
}

}  // namespace hashkit
