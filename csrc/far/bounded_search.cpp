#include "far/bounded_search.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/packing.hpp"
#include "core/results.hpp"
#include "far/cell_order.hpp"
#include "far/pending_rows.hpp"
#include "parallel/parallel_for.hpp"
#include "scan/linear_scan.hpp"

namespace hashkit {
namespace {

constexpr size_t kCellsBetweenPolls = 64;
constexpr size_t kMostSketchesAtOnce = 1024;  // codes of a cell
// Cells are fetched so many ahead.
constexpr size_t kCellsAhead = 2;
constexpr size_t kLinesAhead = 8;
// A thread takes 50 to 80 us to start, in which one reads this much of the codes' bytes, most of them not at all.
constexpr size_t kBytesPerSharer = 32 << 20;
// One thread reads this share of the cells, the nearest, before others join: then the k-th distance is nearly known.
constexpr size_t kAloneShare = 16, kAloneCells = 32;

// Estimates how much of a search remains, in bytes read, and ends it if a scan costs less.
class Progress {
 public:
  Progress(const BoundedSearch& in, size_t weight) noexcept
      : weight_(static_cast<double>(weight)),
        n_codes_(static_cast<double>(in.codes.n_codes)),
        sketch_bytes_(static_cast<double>(in.bounds.sketch_bytes + sizeof(uint16_t))),
        code_bytes_(kRandomReadCost * static_cast<double>(in.codes.n_bytes)),
        scan_bytes_(n_codes_ * static_cast<double>(in.codes.n_bytes)),
        next_look_(scan_bytes_ / kFirstLook) {}

  // The same from now on for one of several threads that share the rest: what it reads stands for all of them.
  Progress shared(size_t weight) const noexcept {
    Progress own = *this;
    own.weight_ = static_cast<double>(weight);
    return own;
  }

  void pass_cell(size_t n_codes) noexcept { passed_ += weight_ * static_cast<double>(n_codes); }
  void read(size_t n_sketches, size_t n_codes) noexcept {
    bytes_ += weight_ * (sketch_bytes_ * static_cast<double>(n_sketches) + code_bytes_ * static_cast<double>(n_codes));
  }

  // Whether to go on. From one look to the next, each after twice as many bytes, what a code costs falls as a power of
  // how many codes were passed: cells further away leave fewer. That power says what the rest will cost. The codes
  // around a query itself do not show it, so the first looks decide nothing.
  bool goes_on() noexcept {
    if (bytes_ < next_look_ || passed_ <= last_passed_) return true;
    const double rate = (bytes_ - last_bytes_) / (passed_ - last_passed_), middle = (passed_ + last_passed_) / 2;
    const double fall = ++n_looks_ == 1 ? 0 : std::log(last_rate_ / rate) / std::log(middle / last_middle_);
    const double power = 1 - std::clamp(fall, 0.0, kMostFall);
    const double rate_now = rate * std::pow(middle / passed_, 1 - power);
    const double rest = rate_now * passed_ * (std::pow(n_codes_ / passed_, power) - 1) / power;
    last_rate_ = rate;
    last_middle_ = middle;
    last_bytes_ = bytes_;
    last_passed_ = passed_;
    next_look_ = 2 * bytes_;
    return n_looks_ < kLeastLooks || rest < scan_bytes_;
  }

 private:
  static constexpr double kRandomReadCost = 3, kFirstLook = 32, kMostFall = 0.9;
  static constexpr int kLeastLooks = 3;

  double weight_, n_codes_, sketch_bytes_, code_bytes_, scan_bytes_, next_look_;
  double bytes_ = 0, passed_ = 0, last_bytes_ = 0, last_passed_ = 0, last_rate_ = 0, last_middle_ = 0;
  int n_looks_ = 0;
};

// A query, and its cells in order.
struct Ordered {
  const uint8_t* query = nullptr;
  int limit = 0;
  std::vector<uint8_t> bits;
  CellOrder order;

  explicit Ordered(const BoundedSearch& in) : bits(8 * in.codes.n_bytes), order(in.kernels, in.cells) {}

  void start(const uint8_t* of, int own_limit, size_t n_cells) {
    query = of;
    limit = own_limit;
    spread_bytes(of, bits.size() / 8, bits.data());
    order.start(of);
    order.cell(n_cells - 1);  // all are needed
  }
};

// Places first, first + step, … below end, of the order of the cells.
struct Slice {
  size_t first, step, end;
};

// What one thread reads cells with.
class Reader {
 public:
  Reader(const BoundedSearch& in, size_t k)
      : in_(in),
        k_(k),
        sketch_(in.bounds.sketch_bytes),
        sketched_(kMostSketchesAtOnce),
        left_(kMostSketchesAtOnce),
        pending_(in.kernels, in.codes, in.cells.checks, in.allowed, kMostSketchesAtOnce) {}

  // Reads these cells; returns whether that was less work than a scan.
  bool read(Ordered& ordered, Slice slice, TopK& nearest, Progress& progress, BoundedStats& stats) {
    pending_.clear();
    Range next = find(ordered, slice.first, slice.end, nearest);
    for (size_t i = slice.first, n_read = 1; i < slice.end; i += slice.step, ++n_read) {
      if (n_read % kCellsBetweenPolls == 0) poll_stop();
      if (i + kCellsAhead * slice.step < slice.end) fetch(ordered.order.cell(i + kCellsAhead * slice.step));
      const Range range = next;
      next = find(ordered, i + slice.step, slice.end, nearest);
      const uint32_t cell = ordered.order.cell(i);
      progress.pass_cell(in_.cells.starts[cell + 1] - in_.cells.starts[cell]);
      if (range.begin < range.end) probe(ordered, cell, range, nearest, progress, stats);
      if (!progress.goes_on()) return false;
    }
    compare(ordered, nearest, progress, stats);
    return true;
  }

 private:
  struct Range {
    size_t begin, end;
  };

  static int bound_of(const Ordered& ordered, const TopK& nearest) noexcept {
    return std::min(ordered.limit, nearest.limit());
  }

  // The codes of the i-th cell that the distances from its centroid leave.
  Range find(Ordered& ordered, size_t i, size_t end, const TopK& nearest) const {
    if (i >= end) return {0, 0};
    const uint32_t cell = ordered.order.cell(i);
    const int from_centroid = ordered.order.distance_of(cell), limit = bound_of(ordered, nearest);
    if (from_centroid - limit > in_.bounds.reaches[cell]) return {0, 0};
    const uint16_t* distances = in_.bounds.distances.data();
    const uint16_t *first = distances + in_.cells.starts[cell], *last = distances + in_.cells.starts[cell + 1];
    in_.cells.require(first, static_cast<size_t>(last - first));
    const uint16_t* begin = std::lower_bound(first, last, from_centroid - limit);
    const uint16_t* stop = std::upper_bound(begin, last, from_centroid + limit);
    const Range range{static_cast<size_t>(begin - distances), static_cast<size_t>(stop - distances)};
    const uint8_t* sketches = in_.bounds.sketches.data() + range.begin * in_.bounds.sketch_bytes;
    const size_t n_bytes = std::min(kLinesAhead * kLine, (range.end - range.begin) * in_.bounds.sketch_bytes);
    for (size_t byte = 0; byte < n_bytes; byte += kLine) __builtin_prefetch(sketches + byte);
    return range;
  }

  void fetch(uint32_t cell) const noexcept {
    const auto* places = reinterpret_cast<const uint8_t*>(in_.bounds.places.data() + cell * n_places());
    for (size_t byte = 0; byte < n_places() * sizeof(uint16_t); byte += kLine) __builtin_prefetch(places + byte);
    const uint16_t *first = in_.bounds.distances.data() + in_.cells.starts[cell],
                   *last = in_.bounds.distances.data() + in_.cells.starts[cell + 1];
    for (size_t line = 0; line < kLinesAhead && first < last; ++line, first += kLine / sizeof *first) {
      __builtin_prefetch(first);
    }
  }

  size_t n_places() const noexcept { return 8 * in_.bounds.sketch_bytes; }

  void probe(const Ordered& ordered, uint32_t cell, Range range, TopK& nearest, Progress& progress,
             BoundedStats& stats) {
    const size_t n_bytes = in_.bounds.sketch_bytes;
    const uint8_t* centroid = in_.bounds.centroid_sketches.data() + cell * n_bytes;
    sketch_bits(ordered.bits.data(), in_.bounds.places.data() + cell * n_places(), n_bytes, sketch_.data());
    uint16_t sketched;
    in_.kernels.distances(sketch_.data(), centroid, 1, n_bytes, &sketched);
    const int rest = ordered.order.distance_of(cell) - sketched;
    for (size_t begin = range.begin; begin < range.end; begin += kMostSketchesAtOnce) {
      if (begin > range.begin) poll_stop();
      const size_t n = std::min(kMostSketchesAtOnce, range.end - begin);
      scan_sketches(begin, n, rest, bound_of(ordered, nearest));
      progress.read(n, 0);
      stats.sketches += static_cast<int64_t>(n);
      if (pending_.are_enough(k_, nearest)) compare(ordered, nearest, progress, stats);
    }
    ++stats.cells;
  }

  // Of codes from `begin` on, has those compared that their bounds leave.
  void scan_sketches(size_t begin, size_t n, int rest, int limit) {
    const Bounds& bounds = in_.bounds;
    const uint8_t* sketches = bounds.sketches.data() + begin * bounds.sketch_bytes;
    const uint16_t* rests = bounds.rests.data() + begin;
    const uint32_t* rows = bounds.rows.data() + begin;
    in_.cells.require(sketches, n * bounds.sketch_bytes);
    in_.cells.require(rests, n);
    in_.cells.require(rows, n);
    in_.kernels.distances(sketch_.data(), sketches, n, bounds.sketch_bytes, sketched_.data());
    // Without a branch, which would often be predicted wrongly.
    size_t n_left = 0;
    for (size_t i = 0; i < n; ++i) {
      left_[n_left] = rows[i];
      n_left += sketched_[i] + std::abs(rest - rests[i]) <= limit ? 1 : 0;
    }
    for (size_t i = 0; i < n_left; ++i) pending_.append(left_[i]);
  }

  void compare(const Ordered& ordered, TopK& nearest, Progress& progress, BoundedStats& stats) {
    const size_t n_compared = pending_.compare(ordered.query, bound_of(ordered, nearest), nearest);
    stats.codes += static_cast<int64_t>(n_compared);
    progress.read(0, n_compared);
  }

  const BoundedSearch& in_;
  size_t k_;
  std::vector<uint8_t> sketch_;     // of the query, as a cell has it
  std::vector<uint16_t> sketched_;  // distances of sketches
  std::vector<uint32_t> left_;      // rows that the bounds leave
  PendingRows pending_;
};

// One query after the other, each by up to n_threads.
class BoundedSearcher {
 public:
  BoundedSearcher(const BoundedSearch& in, size_t k, size_t n_threads)
      : in_(in), k_(k), n_bits_(static_cast<int>(in.cells.n_bits)), ordered_(in) {
    for (size_t thread = 0; thread < n_threads; ++thread) readers_.push_back(std::make_unique<Reader>(in, k));
  }

  // The k nearest within the limit; or, if stats say that a scan has to find them, some of which these are among.
  TopK search(const uint8_t* query, int limit, BoundedStats& stats) {
    const size_t n_cells = in_.cells.n_cells(), n_threads = readers_.size();
    ordered_.start(query, limit, n_cells);
    TopK nearest(k_, n_bits_);
    Progress progress(in_, 1);
    const size_t alone = n_threads == 1 ? n_cells : std::min(n_cells, n_cells / kAloneShare + kAloneCells);
    stats.scanned = !readers_[0]->read(ordered_, {0, 1, alone}, nearest, progress, stats);
    if (stats.scanned || alone == n_cells) return nearest;
    ordered_.limit = std::min(limit, nearest.limit());
    std::vector<TopK> parts(n_threads, TopK(k_, n_bits_));
    std::vector<BoundedStats> done(n_threads);
    parallel_for(n_threads, n_threads, [&](size_t thread) {
      Progress own = progress.shared(n_threads);
      const Slice slice{alone + thread, n_threads, n_cells};
      done[thread].scanned = !readers_[thread]->read(ordered_, slice, parts[thread], own, done[thread]);
    });
    for (size_t thread = 0; thread < n_threads; ++thread) {
      for (const Neighbor& neighbor : parts[thread].take()) nearest.push(neighbor.row, neighbor.distance);
      stats.cells += done[thread].cells;
      stats.sketches += done[thread].sketches;
      stats.codes += done[thread].codes;
      stats.scanned |= done[thread].scanned;
    }
    return nearest;
  }

 private:
  const BoundedSearch& in_;
  size_t k_;
  int n_bits_;
  Ordered ordered_;
  std::vector<std::unique_ptr<Reader>> readers_;
};

}  // namespace

void bounded_k_nearest(const BoundedSearch& in, CodesView queries, size_t k, size_t n_threads, int32_t* distances,
                       int64_t* rows, const int32_t* limits, BoundedStats* stats) {
  const auto n_bits = static_cast<int>(in.cells.n_bits);
  const size_t n_sharing =
      queries.n_codes >= n_threads
          ? 1
          : std::clamp<size_t>(in.codes.n_codes * in.codes.n_bytes / kBytesPerSharer, 1, n_threads);
  const size_t n_tasks = n_sharing > 1 ? 1 : std::min(n_threads, queries.n_codes);
  std::vector<int32_t> reached(queries.n_codes);  // beyond it nothing of a query's answer lies
  std::vector<char> is_left(queries.n_codes);
  std::atomic<size_t> next{0};
  parallel_for(n_tasks, n_tasks, [&](size_t) {
    BoundedSearcher searcher(in, k, n_sharing);
    for (size_t q; (q = next.fetch_add(1, std::memory_order_relaxed)) < queries.n_codes;) {
      poll_stop();
      BoundedStats done;
      const int limit = limits == nullptr ? n_bits : std::clamp(limits[q], 0, n_bits);
      TopK nearest = searcher.search(queries.row(q), limit, done);
      is_left[q] = done.scanned ? 1 : 0;
      reached[q] = std::min(limit, nearest.limit());
      if (!done.scanned) write_nearest(nearest.take(), k, distances + q * k, rows + q * k);
      if (stats != nullptr) stats[q] = done;
    }
  });
  std::vector<size_t> left;
  for (size_t q = 0; q < queries.n_codes; ++q) {
    if (is_left[q] != 0) left.push_back(q);
  }
  if (left.empty()) return;
  in.cells.require(in.codes.data, in.codes.n_codes * in.codes.n_bytes);
  scan_k_nearest_of(in.kernels, in.codes, in.allowed, queries, left, k, n_threads, distances, rows, reached.data());
}

}  // namespace hashkit
