#include "far/search.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/top_k.hpp"
#include "far/cell_order.hpp"
#include "far/pending_rows.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kCellsPerPoll = 64;
// This many cells are read with the start distance of the rule. A query with fewer than k codes by then starts again
// without it.
constexpr size_t kMostCellsToStart = 64;
// In the first cells codes are compared in the order of their sketches, since the limit still falls.
constexpr size_t kCellsInOrder = 4;
constexpr size_t kMostCopiesAtOnce = 1024;  // codes of a cell between two looks at the limit
// Fewer codes are compared without a branch on each.
constexpr size_t kLeastToScan = 128;
// So many cells ahead of the one that is read a cell is chosen, and its codes are fetched.
constexpr size_t kFetchedAhead = 6, kFoundAhead = 3;
// Of a cell so much is fetched ahead.
constexpr size_t kBytesAhead = kLine * 24;

void prefetch(const void* data, size_t n_bytes) noexcept {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t byte = 0; byte < std::min(n_bytes, kBytesAhead); byte += kLine) __builtin_prefetch(bytes + byte);
}

// How many of kSteps steps are less than a bound; lanes of a vector are compared at once.
size_t count_below(const uint16_t* steps, int bound) noexcept {
  constexpr size_t kLanes = 8;
  using Lanes = int16_t __attribute__((vector_size(sizeof(int16_t) * kLanes)));
  using Sums = uint64_t __attribute__((vector_size(sizeof(int16_t) * kLanes)));
  static_assert(2 * 8 * kMaxBytes + 1 <= INT16_MAX, "sums of two distances are lanes");
  Lanes below{};
  for (size_t step = 0; step < kSteps; step += kLanes) {
    Lanes lanes;
    std::memcpy(&lanes, steps + step, sizeof lanes);
    below -= lanes < static_cast<int16_t>(bound);
  }
  const auto sums = reinterpret_cast<Sums>(below);
  return (sums[0] + sums[1]) * 0x0001'0001'0001'0001 >> 48;
}

// Searches for one query after the other and reuses its memory.
class Searcher {
 public:
  Searcher(const CellSearch& in, size_t k)
      : in_(in),
        k_(k),
        order_(in.kernels, in.cells),
        query_sketch_(in.cells.sketch_bytes),
        hits_(room_for_hits(in.cells.has_copies() ? kMostCopiesAtOnce : in.cells.largest_cell)),
        ends_(8 * in.cells.sketch_bytes + 2),
        ordered_(room_for_hits(in.cells.sketch_places.empty() ? 0 : in.cells.largest_cell)),
        pending_(in.kernels, in.codes, in.cells.checks, in.allowed, in.cells.largest_cell) {}

  std::vector<Neighbor> search(const uint8_t* query, int limit, CellStats& stats) {
    if (!in_.cells.sketch_places.empty()) sketch_code(in_.cells.sketch_places, query, query_sketch_.data());
    if (in_.rule.by_sketches && !in_.cells.sketch_places.empty()) {
      order_.start_by_sketches(query, query_sketch_.data());
    } else {
      order_.start(query);
    }
    const bool all_allowed = in_.allowed.bits == nullptr && in_.allowed.mask == nullptr;
    TopK nearest(k_, static_cast<int>(in_.cells.n_bits));
    if (all_allowed && in_.rule.start_distance < limit) {
      if (pass(query, in_.rule.start_distance, kMostCellsToStart, nearest, stats)) return nearest.take();
      nearest = TopK(k_, static_cast<int>(in_.cells.n_bits));
    }
    pass(query, limit, in_.cells.n_cells(), nearest, stats);
    return nearest.take();
  }

 private:
  // Places [begin, end) of the cells' arrays.
  struct Range {
    size_t begin, end;
  };

  // Reads cells until the rule ends the search. Returns false if k codes are not known after this many cells.
  bool pass(const uint8_t* query, int limit, size_t n_cells_to_start, TopK& nearest, CellStats& stats) {
    const Cells& cells = in_.cells;
    pending_.clear();
    limit_ = limit;
    const int nearest_centroid = order_.distance_of(order_.cell(0));
    // Cells ahead of the one that is read, in a ring: where they are in the order, and the codes to be read.
    size_t places[kFetchedAhead], n_ahead = 0;
    Range ranges[kFetchedAhead];
    size_t place = 0;
    const auto look_ahead = [&](int bound) {
      while (place < cells.n_cells() && is_beyond(order_.cell(place), bound)) ++place;
      places[n_ahead++ % kFetchedAhead] = place;
      if (place == cells.n_cells()) return;
      if (cells.has_copies()) __builtin_prefetch(cells.steps.data() + order_.cell(place) * kSteps);
      ++place;
    };
    const auto find_ahead = [&](size_t n, int bound) {
      const size_t slot = n % kFetchedAhead;
      if (places[slot] < cells.n_cells()) ranges[slot] = find(order_.cell(places[slot]), bound);
    };
    while (n_ahead < kFetchedAhead) look_ahead(limit);
    for (size_t n = 0; n < kFoundAhead; ++n) find_ahead(n, limit);
    for (size_t n_read = 0; places[n_read % kFetchedAhead] < cells.n_cells(); ++n_read) {
      const size_t i = places[n_read % kFetchedAhead];
      const int bound = bound_of(nearest), from_centroid = order_.distance_of(order_.cell(i));
      if (nearest.is_full() && 2 * from_centroid > nearest_centroid + bound + in_.rule.twice_slack) break;
      if (i >= n_cells_to_start && !nearest.is_full()) return false;
      if (n_read % kCellsPerPoll == kCellsPerPoll - 1) poll_stop();
      const Range range = ranges[n_read % kFetchedAhead];
      look_ahead(bound);
      find_ahead(n_read + kFoundAhead, bound);
      ++stats.cells;
      stats.sketches += static_cast<int64_t>(range.end - range.begin);
      if (cells.has_copies()) {
        scan_copies(range, query, nearest);
        stats.codes += static_cast<int64_t>(range.end - range.begin);
      } else {
        collect(range, i < kCellsInOrder, query, nearest, stats);
      }
    }
    compare(query, nearest, stats);
    return nearest.is_full();
  }

  int bound_of(const TopK& nearest) const noexcept { return std::min(limit_, nearest.limit()); }

  // Whether no code of this cell can be within the bound, by distances from the centroid.
  bool is_beyond(uint32_t cell, int bound) const noexcept {
    return in_.cells.has_copies() && order_.distance_of(cell) - bound > in_.cells.reaches[cell];
  }

  // The codes of a cell that may be within the bound, and some before and after these: by the triangle inequality those
  // whose distance from the centroid differs from the query's by no more. The first of them are fetched.
  Range find(uint32_t cell, int bound) const noexcept {
    const Cells& cells = in_.cells;
    const size_t first = cells.starts[cell], n = cells.starts[cell + 1] - first;
    Range range{first, first + n};
    if (cells.has_copies()) {
      const uint16_t* steps = cells.steps.data() + cell * kSteps;
      const int from_centroid = order_.distance_of(cell);
      const size_t n_below = count_below(steps, std::max(from_centroid - bound, 0));
      const size_t n_within = count_below(steps, from_centroid + bound + 1);
      range = {first + step_begin(n, n_below), first + step_begin(n, std::min(n_within + 1, kSteps))};
    }
    const size_t n_left = range.end - range.begin;
    prefetch(cells.rows.data() + range.begin, n_left * sizeof(uint32_t));
    prefetch(cells.sketches.data() + range.begin * cells.sketch_bytes, n_left * cells.sketch_bytes);
    return range;
  }

  void scan_copies(Range range, const uint8_t* query, TopK& nearest) {
    const Cells& cells = in_.cells;
    for (size_t begin = range.begin; begin < range.end; begin += kMostCopiesAtOnce) {
      if (begin > range.begin) poll_stop();
      const size_t n = std::min(kMostCopiesAtOnce, range.end - begin);
      const uint32_t* rows = cells.rows.data() + begin;
      const uint8_t* copies = cells.sketches.data() + begin * cells.sketch_bytes;
      cells.require(rows, n);
      cells.require(copies, n * cells.sketch_bytes);
      const int limit = bound_of(nearest);
      const CodeRun all{0, static_cast<uint32_t>(n)};
      const size_t n_hits = n < kLeastToScan
                                ? in_.kernels.scan_runs(query, copies, &all, 1, cells.sketch_bytes, limit, hits_.get())
                                : in_.kernels.scan(query, copies, n, cells.sketch_bytes, limit, hits_.get());
      for (size_t i = 0; i < n_hits; ++i) {
        pending_.push(pending_.known(rows[hits_[i].row]), hits_[i].distance, nearest);
      }
    }
  }

  // Has the codes compared whose sketches are near enough.
  void collect(Range range, bool in_order, const uint8_t* query, TopK& nearest, CellStats& stats) {
    const Cells& cells = in_.cells;
    const size_t n = range.end - range.begin;
    const uint32_t* rows = cells.rows.data() + range.begin;
    cells.require(rows, n);
    if (cells.sketch_bytes == 0) {
      for (size_t i = 0; i < n; ++i) pending_.append(rows[i]);
    } else {
      const uint8_t* sketches = cells.sketches.data() + range.begin * cells.sketch_bytes;
      cells.require(sketches, n * cells.sketch_bytes);
      // Up to half of the sketches pass. scan_runs does not branch on each: 1.2 times as fast a query as by scan.
      const CodeRun all{0, static_cast<uint32_t>(n)};
      const size_t n_hits = in_.kernels.scan_runs(query_sketch_.data(), sketches, &all, 1, cells.sketch_bytes,
                                                  sketch_limit(nearest), hits_.get());
      if (in_order) return compare_in_order(rows, n_hits, query, nearest, stats);
      for (size_t i = 0; i < n_hits; ++i) pending_.append(rows[hits_[i].row]);
    }
    // The sooner k codes are known, the sooner the rule can end the search.
    if (pending_.are_enough(k_, nearest)) compare(query, nearest, stats);
  }

  // Compares the codes of the hits, those with the nearest sketches first, as long as their sketches are near enough.
  void compare_in_order(const uint32_t* rows, size_t n_hits, const uint8_t* query, TopK& nearest, CellStats& stats) {
    std::fill(ends_.begin(), ends_.end(), 0);
    for (size_t i = 0; i < n_hits; ++i) ++ends_[hits_[i].distance + 1u];
    std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
    for (size_t i = 0; i < n_hits; ++i) ordered_[ends_[hits_[i].distance]++] = hits_[i];
    for (size_t i = 0; i < n_hits && ordered_[i].distance <= sketch_limit(nearest); ++i) {
      pending_.append(rows[ordered_[i].row]);
      if (pending_.are_enough(k_, nearest)) compare(query, nearest, stats);
    }
  }

  int sketch_limit(const TopK& nearest) const noexcept { return in_.rule.sketch_limits[bound_of(nearest)]; }

  void compare(const uint8_t* query, TopK& nearest, CellStats& stats) {
    stats.codes += static_cast<int64_t>(pending_.compare(query, bound_of(nearest), nearest));
  }

  const CellSearch& in_;
  size_t k_;
  CellOrder order_;
  std::vector<uint8_t> query_sketch_;
  HitRoom hits_;
  std::vector<uint32_t> ends_;  // by distance of sketches: where the next hit at it goes
  HitRoom ordered_;
  PendingRows pending_;
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
