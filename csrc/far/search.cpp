#include "far/search.hpp"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <vector>

#include "core/top_k.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kLine = 64;
// Rows whose sketches passed are compared this many at a time, after their codes have been prefetched.
constexpr size_t kPending = 32;
constexpr size_t kCellsPerPoll = 64;
// Cells are sorted by distance in two rounds: this share of them first, which suffices for most queries.
constexpr size_t kFirstShare = 16, kFirstCells = 32;
// This many cells are read with the start distance of the rule. A query with fewer than k codes by then starts again
// without it.
constexpr size_t kMostCellsToStart = 64;

// Cells in ascending order of (distance of the centroid, cell), sorted as far as needed.
class CellOrder {
 public:
  CellOrder(const KernelTable& kernels, const Cells& cells)
      : kernels_(kernels),
        cells_(cells),
        distances_(cells.n_cells()),
        order_(cells.n_cells()),
        ends_(8 * cells.n_bytes + 2) {}

  void start(const uint8_t* query) {
    const size_t n = cells_.n_cells();
    cells_.require(cells_.centroids.data(), cells_.centroids.size());
    kernels_.distances(query, cells_.centroids.data(), n, cells_.n_bytes, distances_.data());
    std::fill(ends_.begin(), ends_.end(), 0);
    for (uint16_t distance : distances_) ++ends_[distance + 1u];
    std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
    const size_t enough = std::min(n, n / kFirstShare + kFirstCells);
    const auto reached = std::find_if(ends_.begin() + 1, ends_.end(), [=](uint32_t end) { return end >= enough; });
    sorted_below_ = 0;
    sort_below(static_cast<uint32_t>(reached - ends_.begin()));
  }

  uint32_t cell(size_t i) {
    if (i >= n_sorted_) sort_below(static_cast<uint32_t>(ends_.size()) - 1);
    return order_[i];
  }
  int distance_of(uint32_t cell) const noexcept { return distances_[cell]; }

 private:
  // Appends cells at distances [sorted_below_, bound) to those already sorted.
  void sort_below(uint32_t bound) {
    const uint32_t from = sorted_below_;
    n_sorted_ = ends_[bound];
    for (uint32_t c = 0; c < distances_.size(); ++c) {
      const uint32_t distance = distances_[c];
      if (distance >= from && distance < bound) order_[ends_[distance]++] = c;
    }
    sorted_below_ = bound;
  }

  const KernelTable& kernels_;
  const Cells& cells_;
  std::vector<uint16_t> distances_;
  std::vector<uint32_t> order_;
  std::vector<uint32_t> ends_;  // by distance: where the next cell at it goes
  uint32_t sorted_below_ = 0;
  size_t n_sorted_ = 0;
};

// Searches for one query after the other and reuses its memory.
class Searcher {
 public:
  Searcher(const CellSearch& in, size_t k)
      : in_(in), k_(k), order_(in.kernels, in.cells), query_sketch_(in.cells.sketch_bytes) {
    const size_t room = in.cells.largest_cell + kPending;
    hits_.resize(room);
    pending_.resize(room);
  }

  std::vector<Neighbor> search(const uint8_t* query, int limit, CellStats& stats) {
    order_.start(query);
    if (!in_.cells.sketch_places.empty()) sketch_code(in_.cells.sketch_places, query, query_sketch_.data());
    const bool all_allowed = in_.allowed.bits == nullptr && in_.allowed.mask == nullptr;
    TopK nearest(k_, static_cast<int>(in_.cells.n_bits));
    if (all_allowed && pass(query, std::min(limit, in_.rule.start_distance), kMostCellsToStart, nearest, stats)) {
      return nearest.take();
    }
    nearest = TopK(k_, static_cast<int>(in_.cells.n_bits));
    pass(query, limit, in_.cells.n_cells(), nearest, stats);
    return nearest.take();
  }

 private:
  // Reads cells until the rule ends the search. Returns false if k codes are not known after this many cells.
  bool pass(const uint8_t* query, int limit, size_t n_cells_to_start, TopK& nearest, CellStats& stats) {
    const Cells& cells = in_.cells;
    n_pending_ = 0;
    limit_ = limit;
    const int nearest_centroid = order_.distance_of(order_.cell(0));
    for (size_t i = 0; i < cells.n_cells(); ++i) {
      const uint32_t cell = order_.cell(i);
      const int bound = nearest_centroid + bound_of(nearest) + in_.rule.twice_slack;
      if (nearest.is_full() && 2 * order_.distance_of(cell) > bound) break;
      if (i >= n_cells_to_start && !nearest.is_full()) return false;
      if (i % kCellsPerPoll == kCellsPerPoll - 1) poll_stop();
      ++stats.cells;
      stats.sketches += cells.starts[cell + 1] - cells.starts[cell];
      probe(cell, query, nearest, stats);
    }
    compare_pending(query, nearest, stats);
    return nearest.is_full();
  }

  int bound_of(const TopK& nearest) const noexcept { return std::min(limit_, nearest.limit()); }

  void probe(uint32_t cell, const uint8_t* query, TopK& nearest, CellStats& stats) {
    const Cells& cells = in_.cells;
    const uint32_t begin = cells.starts[cell], n = cells.starts[cell + 1] - begin;
    const uint32_t* rows = cells.rows.data() + begin;
    const uint8_t* sketches = cells.sketches.data() + begin * cells.sketch_bytes;
    cells.require(rows, n);
    cells.require(sketches, n * cells.sketch_bytes);
    if (cells.has_copies()) {
      const size_t n_hits = in_.kernels.scan(query, sketches, n, cells.sketch_bytes, bound_of(nearest), hits_.data());
      for (size_t i = 0; i < n_hits; ++i) push(known(rows[hits_[i].row]), hits_[i].distance, nearest);
      stats.codes += n;
      return;
    }
    if (cells.sketch_bytes == 0) {
      for (size_t i = 0; i < n; ++i) append(rows[i]);
    } else {
      const int limit = in_.rule.sketch_limits[bound_of(nearest)];
      const size_t n_hits =
          in_.kernels.scan(query_sketch_.data(), sketches, n, cells.sketch_bytes, limit, hits_.data());
      for (size_t i = 0; i < n_hits; ++i) append(rows[hits_[i].row]);
    }
    // The sooner k codes are known, the sooner the rule can end the search.
    if (n_pending_ >= (nearest.is_full() ? kPending : std::min(k_, kPending))) compare_pending(query, nearest, stats);
  }

  void append(uint32_t row) {
    pending_[n_pending_++] = known(row);
    const uint8_t* code = in_.codes.row(row);
    for (size_t byte = 0; byte < in_.cells.n_bytes; byte += kLine) __builtin_prefetch(code + byte);
  }

  uint32_t known(uint32_t row) const {
    if (row >= in_.codes.n_codes) throw_damaged(in_.cells.checks, "its cells name a code that there is not");
    return row;
  }

  void push(uint32_t row, int distance, TopK& nearest) {
    if (in_.allowed.has(row)) nearest.push(row, distance);
  }

  void compare_pending(const uint8_t* query, TopK& nearest, CellStats& stats) {
    if (in_.cells.checks != nullptr) {
      for (size_t i = 0; i < n_pending_; ++i) in_.cells.require(in_.codes.row(pending_[i]), in_.cells.n_bytes);
    }
    const CodeRun all{0, static_cast<uint32_t>(n_pending_)};
    const size_t n_hits = in_.kernels.scan_listed_runs(query, in_.codes.data, pending_.data(), &all, 1,
                                                       in_.cells.n_bytes, bound_of(nearest), hits_.data());
    for (size_t i = 0; i < n_hits; ++i) {
      push(hits_[i].row, hits_[i].distance, nearest);
    }
    stats.codes += static_cast<int64_t>(n_pending_);
    n_pending_ = 0;
  }

  const CellSearch& in_;
  size_t k_;
  CellOrder order_;
  std::vector<uint8_t> query_sketch_;
  std::vector<Hit> hits_;
  std::vector<uint32_t> pending_;  // rows to compare, n_pending_ of them
  size_t n_pending_ = 0;
  int limit_ = 0;
};

}  // namespace

void cells_k_nearest(const CellSearch& in, CodesView queries, size_t k, size_t n_threads, int32_t* distances,
                     int64_t* rows, const int32_t* limits, CellStats* stats) {
  constexpr size_t kQueriesPerTask = 8;
  const auto n_bits = static_cast<int>(in.cells.n_bits);
  n_threads = std::min(n_threads, (queries.n_codes + kQueriesPerTask - 1) / kQueriesPerTask);
  std::atomic<size_t> next{0};
  parallel_for(n_threads, n_threads, [&](size_t) {
    Searcher searcher(in, k);
    for (size_t first; (first = next.fetch_add(kQueriesPerTask)) < queries.n_codes;) {
      for (size_t q = first; q < std::min(first + kQueriesPerTask, queries.n_codes); ++q) {
        poll_stop();
        CellStats done;
        const int limit = limits == nullptr ? n_bits : std::clamp(limits[q], 0, n_bits);
        write_nearest(searcher.search(queries.row(q), limit, done), k, distances + q * k, rows + q * k);
        if (stats != nullptr) stats[q] = done;
      }
    }
  });
}

}  // namespace hashkit
