#include "jaccard/jaccard.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <tuple>

#include "jaccard/jaccard_sweep.hpp"
#include "jaccard/limits.hpp"
#include "jaccard/sketches.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kSweptBytesPerThread = size_t{8} << 20;  // codes for which sharing one query pays
constexpr size_t kNearShare = 128;  // each query first scans one in so many segments, to either side
constexpr size_t kNearTimes = 16;   // and at least so many codes for each of its k nearest

// Distance and row as one number that sorts by (distance, row): h / sum in units of 2^-kKeyBits, rounded down.
// Different fractions with denominators up to 8,192 differ by more than 2^-26, and equal fractions give the same
// number.
constexpr int kKeyBits = 27, kRowBits = 36;

struct Found {
  uint64_t key;
  uint16_t hamming;
  uint16_t sum;

  Found(int hamming, int sum, int64_t row) noexcept
      : key((sum == 0 ? 0 : (static_cast<uint64_t>(hamming) << kKeyBits) / static_cast<uint64_t>(sum)) << kRowBits |
            static_cast<uint64_t>(row)),
        hamming(static_cast<uint16_t>(hamming)),
        sum(static_cast<uint16_t>(sum)) {}
  int64_t row() const noexcept { return static_cast<int64_t>(key & ((uint64_t{1} << kRowBits) - 1)); }
  double distance() const noexcept { return jaccard_distance(hamming, sum); }
};

bool operator<(const Found& a, const Found& b) noexcept {
  return a.key < b.key;
}

// The codes, their sketches in the same order, and the queries with theirs. Sketches as long as codes are the codes.
struct Searched {
  const KernelTable& kernels;
  const PopcountOrder& order;
  CodesView sketches;
  RowSet allowed;
  CodesView queries;
  CodesView query_sketches;

  bool is_sketched() const noexcept { return sketches.n_bytes < order.codes.n_bytes; }
  size_t least_for_tiles() const noexcept { return min_queries_for_tiles(kernels.isa, sketches.n_bytes); }
};

// The k nearest so far of each of some queries: a heap, the farthest first.
struct KNearestFinder {
  const Searched& searched;
  const QueryPopcount* sorted_queries;
  size_t k;
  bool verifies = false;  // whether the distances pushed are those of sketches
  std::vector<std::vector<Found>> kept;
  std::vector<size_t> first_seen, last_seen;  // positions that were pushed before the sweep

  KNearestFinder(const Searched& searched, const QueryPopcount* sorted_queries, size_t n_queries, size_t k)
      : searched(searched),
        sorted_queries(sorted_queries),
        k(k),
        kept(n_queries),
        first_seen(n_queries),
        last_seen(n_queries) {
    for (auto& heap : kept) heap.reserve(std::min(k, searched.order.codes.n_codes));
  }

  bool go_on() const noexcept { return true; }
  int limit(size_t q, int low, int high) const noexcept {
    const int popcount = sorted_queries[q].popcount, sum = popcount + high;
    if (kept[q].size() < k) return sum;
    const Found& farthest = kept[q].front();
    return NearLimits::within_reach(farthest.sum == 0 ? 0 : farthest.hamming * sum / farthest.sum, popcount, low, high);
  }
  void push(size_t q, size_t place, int popcount, int hamming) {
    if (place < last_seen[q] && place >= first_seen[q]) return;
    const int64_t row = searched.order.rows[place];
    if (!searched.allowed.has(static_cast<size_t>(row))) return;
    if (verifies) {
      // Hits of the same segment may have lowered the limit.
      if (hamming > limit(q, popcount, popcount)) return;
      hamming = exact_distance(q, place);
    }
    keep(kept[q], Found(hamming, sorted_queries[q].popcount + popcount, row));
  }

  // Compares every query with codes of about its own popcount first. A sweep shared by many queries reaches these codes
  // late for some, and nothing can be pruned before; nor do sketches prune anything before k codes are known.
  uint64_t compare_similar_popcounts() {
    uint64_t n_compared = 0;
    for (size_t q = 0; q < kept.size(); ++q) {
      One one{*this, q};
      JaccardSweep<One> sweep(searched.kernels, searched.order, searched.queries, sorted_queries + q, 1, one);
      const size_t n_steps =
          std::max({size_t{2}, sweep.n_segments() / kNearShare,
                    kNearTimes * std::min(k, searched.order.codes.n_codes) / (2 * sweep.codes_in_segment())});
      n_compared += sweep.run(0, 1, n_steps);
      std::tie(first_seen[q], last_seen[q]) = sweep.places_within(n_steps);
    }
    return n_compared;
  }

  // Scans the segments first, first + stride, ... Returns how many codes were compared with a query.
  uint64_t sweep(size_t first, size_t stride) {
    verifies = searched.is_sketched();
    return JaccardSweep<KNearestFinder>(searched.kernels, searched.order, searched.sketches, searched.query_sketches,
                                        sorted_queries, kept.size(), *this)
        .run(first, stride);
  }

 private:
  int exact_distance(size_t q, size_t place) const noexcept {
    uint16_t hamming;
    searched.kernels.distances(searched.queries.row(sorted_queries[q].query), searched.order.codes.row(place), 1,
                               searched.queries.n_bytes, &hamming);
    return hamming;
  }

  // One of the queries as a finder.
  struct One {
    KNearestFinder& all;
    size_t q;

    bool go_on() const noexcept { return true; }
    int limit(size_t, int low, int high) const noexcept { return all.limit(q, low, high); }
    void push(size_t, size_t place, int popcount, int hamming) { all.push(q, place, popcount, hamming); }
  };

  void keep(std::vector<Found>& heap, const Found& found) const {
    if (heap.size() == k) {
      if (!(found < heap.front())) return;
      std::pop_heap(heap.begin(), heap.end());
      heap.back() = found;
    } else {
      heap.push_back(found);
    }
    std::push_heap(heap.begin(), heap.end());
  }
};

void write_row(std::vector<Found>& found, size_t k, double* distances, int64_t* rows) {
  poll_stop();
  stoppable_sort(found.begin(), found.end());
  for (size_t i = 0; i < k; ++i) {
    distances[i] = found[i].distance();
    rows[i] = found[i].row();
  }
}

// One query with several threads, each of which scans every n_threads-th segment.
uint64_t split_k_nearest(const Searched& searched, const QueryPopcount& sorted_queries, size_t k, size_t n_threads,
                         double* distances, int64_t* rows) {
  std::vector<std::vector<Found>> parts(n_threads);
  KNearestFinder begun(searched, &sorted_queries, 1, k);
  std::atomic<uint64_t> n_compared{searched.is_sketched() ? begun.compare_similar_popcounts() : 0};
  parallel_for(n_threads, n_threads, [&](size_t part) {
    KNearestFinder finder = begun;
    n_compared += finder.sweep(part, n_threads);
    parts[part] = std::move(finder.kept[0]);
  });
  std::vector<Found> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  stoppable_sort(all.begin(), all.end());
  // All parts begin with the same codes.
  all.erase(std::unique(all.begin(), all.end(), [](const Found& a, const Found& b) { return a.key == b.key; }),
            all.end());
  write_row(all, k, distances, rows);
  return n_compared;
}

struct RadiusFinder {
  const PopcountOrder& order;
  RowSet allowed;
  const QueryPopcount* sorted_queries;
  const NearLimits& limits;
  std::vector<std::vector<Found>>& found;  // by query, of the whole call

  bool go_on() const noexcept { return true; }
  int limit(size_t q, int low, int high) const noexcept { return limits.within(sorted_queries[q].popcount, low, high); }
  void push(size_t q, size_t place, int popcount, int hamming) {
    const int own = sorted_queries[q].popcount;
    if (hamming > limits.at(own, popcount) || !allowed.has(static_cast<size_t>(order.rows[place]))) return;
    found[sorted_queries[q].query].emplace_back(hamming, own + popcount, order.rows[place]);
  }
};

}  // namespace

void sort_by_popcount(const KernelTable& kernels, CodesView codes, size_t n_threads, uint8_t* sorted, int64_t* starts,
                      int64_t* rows) {
  constexpr size_t kPerTask = 1 << 16;
  const std::vector<uint8_t> zero(codes.n_bytes);
  std::vector<uint16_t> popcounts(codes.n_codes);
  parallel_for((codes.n_codes + kPerTask - 1) / kPerTask, n_threads, [&](size_t task) {
    const size_t first = task * kPerTask, n = std::min(kPerTask, codes.n_codes - first);
    kernels.distances(zero.data(), codes.row(first), n, codes.n_bytes, popcounts.data() + first);
  });
  const size_t n_starts = 8 * codes.n_bytes + 2;
  std::fill(starts, starts + n_starts, 0);
  for (uint16_t popcount : popcounts) ++starts[popcount + 1];
  for (size_t i = 1; i < n_starts; ++i) starts[i] += starts[i - 1];
  std::vector<int64_t> places(starts, starts + n_starts);
  for (size_t row = 0; row < codes.n_codes; ++row) {
    if (row % kRowsPerPoll == kRowsPerPoll - 1) poll_stop();
    const auto place = static_cast<size_t>(places[popcounts[row]]++);
    std::memcpy(sorted + place * codes.n_bytes, codes.row(row), codes.n_bytes);
    rows[place] = static_cast<int64_t>(row);
  }
}

uint64_t jaccard_k_nearest(const KernelTable& kernels, const PopcountOrder& order, CodesView sketches, RowSet allowed,
                           CodesView queries, size_t k, size_t n_threads, double* distances, int64_t* rows) {
  if (k == 0 || queries.n_codes == 0) return 0;
  std::vector<uint8_t> room;
  const Searched searched{kernels, order, sketches, allowed, queries, fold_queries(queries, sketches.n_bytes, room)};
  const std::vector<QueryPopcount> sorted_queries = sort_queries(kernels, queries);
  const size_t worth = std::min(n_threads, order.codes.n_codes * sketches.n_bytes / kSweptBytesPerThread);
  std::atomic<uint64_t> n_compared{0};
  if (queries.n_codes < n_threads && worth > 1) {
    for (const QueryPopcount& one : sorted_queries) {
      n_compared += split_k_nearest(searched, one, k, worth, distances + one.query * k, rows + one.query * k);
    }
    return n_compared;
  }
  const size_t share = queries_per_task(sorted_queries.size(), n_threads),
               step = share < searched.least_for_tiles() ? 1 : share;
  parallel_for((sorted_queries.size() + step - 1) / step, n_threads, [&](size_t task) {
    const QueryPopcount* first = sorted_queries.data() + task * step;
    const size_t n_queries = std::min(step, sorted_queries.size() - task * step);
    KNearestFinder finder(searched, first, n_queries, k);
    if (searched.is_sketched() || n_queries >= searched.least_for_tiles())
      n_compared += finder.compare_similar_popcounts();
    n_compared += finder.sweep(0, 1);
    for (size_t i = 0; i < n_queries; ++i) {
      write_row(finder.kept[i], k, distances + first[i].query * k, rows + first[i].query * k);
    }
  });
  return n_compared;
}

WithinJaccard jaccard_within_radius(const KernelTable& kernels, const PopcountOrder& order, RowSet allowed,
                                    CodesView queries, double radius, size_t n_threads) {
  std::vector<std::vector<Found>> found(queries.n_codes);
  WithinJaccard result;
  if (queries.n_codes > 0 && order.codes.n_codes > 0) {
    const std::vector<QueryPopcount> sorted_queries = sort_queries(kernels, queries);
    const NearLimits limits(Measure{}, radius, false, queries.n_bytes);
    const size_t step = queries_per_task(sorted_queries.size(), n_threads);
    std::atomic<uint64_t> n_compared{0};
    parallel_for((sorted_queries.size() + step - 1) / step, n_threads, [&](size_t task) {
      const QueryPopcount* first = sorted_queries.data() + task * step;
      const size_t n_queries = std::min(step, sorted_queries.size() - task * step);
      RadiusFinder finder{order, allowed, first, limits, found};
      n_compared += JaccardSweep<RadiusFinder>(kernels, order, queries, first, n_queries, finder).run(0, 1);
      for (size_t i = 0; i < n_queries; ++i) {
        poll_stop();
        stoppable_sort(found[first[i].query].begin(), found[first[i].query].end());
      }
    });
    result.n_compared = n_compared;
  }
  result.offsets.reserve(queries.n_codes + 1);
  result.offsets.push_back(0);
  for (const auto& list : found) result.offsets.push_back(result.offsets.back() + static_cast<int64_t>(list.size()));
  result.distances.reserve(static_cast<size_t>(result.offsets.back()));
  result.rows.reserve(static_cast<size_t>(result.offsets.back()));
  for (auto& list : found) {
    in_chunks(list.size(), kRowsPerPoll, [&](size_t first, size_t last) {
      for (size_t i = first; i < last; ++i) {
        result.distances.push_back(list[i].distance());
        result.rows.push_back(list[i].row());
      }
    });
    std::vector<Found>().swap(list);
  }
  return result;
}

}  // namespace hashkit
