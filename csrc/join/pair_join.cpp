#include "join/pair_join.hpp"

#include <algorithm>

#include "core/scan_loops.hpp"
#include "join/found_pairs.hpp"

namespace hashkit {
namespace {

constexpr size_t kPairsPerThread = 4'000'000;  // pairs compared; fewer are not worth a thread

struct PairVisitor {
  size_t first;  // the task's first left row
  bool later_only;
  int radius;
  FoundPairs& found;

  bool go_on() { return found.go_on(); }
  int limit(size_t) const noexcept { return radius; }
  void push(size_t q, size_t row, int distance) {
    if (later_only && row <= q) return;
    found.pairs.push_back({static_cast<int64_t>(row), static_cast<uint32_t>(q - first), distance});
  }
};

}  // namespace

std::optional<Pairs> scan_pairs(const KernelTable& kernels, const JoinRows& rows, int radius, size_t n_threads,
                                size_t max_pairs) {
  const size_t n_partners = rows.right.n_codes - (rows.later_only ? rows.first : 0);
  n_threads = std::min(n_threads, 1 + (rows.last - rows.first) * n_partners / kPairsPerThread);
  const auto find = [&](size_t first, size_t last, FoundPairs& found) {
    PairVisitor visitor{first, rows.later_only, radius, found};
    scan_queries(kernels, rows.right, rows.later_only ? first + 1 : 0, rows.left, first, last, visitor);
  };
  const size_t step = queries_per_task(rows.last - rows.first, n_threads);
  return find_pairs(rows.first, rows.last, step, n_threads, max_pairs, find);
}

}  // namespace hashkit
