#include "vectors/nearest_codes.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "core/scan_loops.hpp"
#include "parallel/parallel_for.hpp"
#include "scan/linear_scan.hpp"

namespace hashkit {
namespace {

constexpr size_t kLeastSampled = 2048, kSampledShare = 256;  // codes of a sample: so many, or one of so many
constexpr size_t kSampleRun = 16;                            // of them side by side, for few queries
constexpr size_t kFewSelected = 8;                           // more are scanned in tiles
constexpr size_t kTiledQueries = 512;                        // whose hits stay in a cache together
constexpr size_t kSelectedBytesPerPiece = size_t{4} << 20;   // of codes that a thread takes at a time
constexpr size_t kSelectedBlock = 4096;                      // codes between which hits are moved

using KeptHits = std::vector<Hit>;

// Codes within a limit, in the order of their rows. A hit has the place of its row after `row`.
struct HitRun {
  size_t row;
  const Hit* hits;
  size_t n_hits;
};

using DistanceCounts = std::vector<size_t>;  // of codes by distance

// The distance within which `rank` codes are counted.
int distance_of_rank(const DistanceCounts& counts, size_t rank) noexcept {
  size_t n = 0;
  for (size_t distance = 0; distance < counts.size(); ++distance) {
    n += counts[distance];
    if (n >= rank) return static_cast<int>(distance);
  }
  return static_cast<int>(counts.size()) - 1;
}

// A sample of codes, from which the distance of the k nearest is guessed.
class SampledCodes {
 public:
  // Runs of codes side by side for few queries, since fetching a code costs as much as comparing it. Else codes far
  // apart, copied once for all queries: codes side by side may be alike, so that more of them are needed.
  SampledCodes(CodesView codes, bool few) : n_codes_(codes.n_codes), n_bytes_(codes.n_bytes) {
    if (codes.n_codes < 2 * kLeastSampled) return;
    const size_t run = few ? kSampleRun : 1, n_runs = std::max(kLeastSampled, n_codes_ / kSampledShare) / run;
    n_sampled_ = n_runs * run;
    for (size_t i = 0; i < n_runs; ++i) {
      const uint8_t* first = codes.row((codes.n_codes - run) * i / (n_runs - 1));
      if (few) {
        runs_.push_back({first, run, n_bytes_});
      } else {
        copied_.insert(copied_.end(), first, first + n_bytes_);
      }
    }
    if (!few) runs_.push_back({copied_.data(), n_sampled_, n_bytes_});
    deviations_ = few ? 8 : 3;
  }

  // A number of codes of the sample that very likely holds those of them that are among the k nearest: how many these
  // are is Poisson distributed.
  size_t rank(size_t k) const noexcept {
    const double expected = static_cast<double>(k) * static_cast<double>(n_sampled_) / static_cast<double>(n_codes_);
    return static_cast<size_t>(expected + deviations_ * std::sqrt(expected) + 4);
  }

  // The distance of as many codes of the sample, or of all.
  int guess(const KernelTable& kernels, const uint8_t* query, size_t rank) const {
    DistanceCounts counts(8 * n_bytes_ + 1);
    std::vector<uint16_t> distances(n_sampled_);
    for (const CodesView& run : runs_) {
      kernels.distances(query, run.data, run.n_codes, n_bytes_, distances.data());
      for (size_t i = 0; i < run.n_codes; ++i) ++counts[distances[i]];
    }
    return distance_of_rank(counts, rank);
  }

  // Room for the codes within a guess, with as many again to spare.
  size_t room(size_t rank) const noexcept {
    return runs_.empty() ? n_codes_ : std::min(n_codes_, 2 * rank * (n_codes_ / n_sampled_ + 1));
  }

 private:
  size_t n_codes_, n_bytes_, n_sampled_ = 0;
  std::vector<uint8_t> copied_;
  std::vector<CodesView> runs_;  // none of a small set: all distances are within the guess
  double deviations_ = 0;
};

// Every code within the limit, a list for each piece of the rows.
std::vector<KeptHits> within(const KernelTable& kernels, CodesView codes, const uint8_t* query, int limit, size_t piece,
                             size_t n_threads) {
  std::vector<KeptHits> found((codes.n_codes + piece - 1) / piece);
  parallel_for(found.size(), n_threads, [&](size_t task) {
    const size_t begin = task * piece, end = std::min(begin + piece, codes.n_codes);
    std::vector<Hit> room(kSelectedBlock);
    for (size_t row = begin; row < end; row += kSelectedBlock) {
      const size_t n = std::min(kSelectedBlock, end - row);
      const size_t n_hits = kernels.scan(query, codes.row(row), n, codes.n_bytes, limit, room.data());
      for (size_t i = 0; i < n_hits; ++i) room[i].row += static_cast<uint32_t>(row - begin);
      found[task].insert(found[task].end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(n_hits));
    }
  });
  return found;
}

// The same for many queries. Each has as much room; what exceeds it is counted.
class WithinVisitor {
 public:
  // Rooms are an odd number of cache lines apart: else their ends, which all are written in turn, would compete for one
  // set of the cache, by which the lists took half as long again.
  WithinVisitor(size_t n_queries, size_t room)
      : room_(room), stride_(((room + kLine - 1) / kLine | 1) * kLine), hits_(room_for_hits(n_queries * stride_)) {}

  void start(size_t first, std::vector<int> limits) {
    first_ = first;
    limits_ = std::move(limits);
    n_hits_.assign(limits_.size(), 0);
  }

  bool go_on() const noexcept { return true; }
  int limit(size_t q) const noexcept { return limits_[q - first_]; }
  void push(size_t q, size_t row, int distance) {
    const size_t i = q - first_, n = n_hits_[i]++;
    if (n < room_) hits_[i * stride_ + n] = {static_cast<uint32_t>(row), 0, static_cast<uint16_t>(distance)};
  }

  bool has_all(size_t q) const noexcept { return n_hits_[q - first_] <= room_; }
  HitRun run(size_t q) const noexcept { return {0, hits_.get() + (q - first_) * stride_, n_hits_[q - first_]}; }

 private:
  static constexpr size_t kLine = 64 / sizeof(Hit);

  size_t room_, stride_;
  HitRoom hits_;
  size_t first_ = 0;
  std::vector<int> limits_;
  std::vector<size_t> n_hits_;
};

// Writes the rows of the k nearest of the hits; false if there are fewer.
bool write_rows(const HitRun* runs, size_t n_runs, size_t n_bytes, size_t k, int64_t* rows) {
  DistanceCounts counts(8 * n_bytes + 1);
  size_t n_hits = 0;
  for (const HitRun* run = runs; run != runs + n_runs; ++run) {
    n_hits += run->n_hits;
    for (size_t i = 0; i < run->n_hits; ++i) ++counts[run->hits[i].distance];
  }
  if (n_hits < k) return false;
  const int last = distance_of_rank(counts, k);
  const size_t n_nearer = std::accumulate(counts.begin(), counts.begin() + last, size_t{0});
  size_t n_ties = k - n_nearer, n = 0;  // of the codes at the last distance the first so many
  for (const HitRun* run = runs; run != runs + n_runs; ++run) {
    for (size_t i = 0; i < run->n_hits && n < k; ++i) {
      const Hit hit = run->hits[i];
      const size_t is_tie = hit.distance == last && n_ties > 0;
      rows[n] = static_cast<int64_t>(run->row + hit.row);  // about half of them stay: no branch could be predicted
      n_ties -= is_tie;
      n += (hit.distance < last ? 1 : 0) + is_tie;
    }
  }
  return true;
}

// Without a guess.
void select_by_scan(const KernelTable& kernels, CodesView codes, const uint8_t* query, size_t k, size_t n_threads,
                    int64_t* rows) {
  std::vector<int32_t> distances(k);
  scan_k_nearest(kernels, codes, {}, {query, 1, codes.n_bytes}, k, n_threads, distances.data(), rows);
  std::sort(rows, rows + k);
}

void select_one_by_one(const KernelTable& kernels, CodesView codes, CodesView queries, size_t k, size_t n_threads,
                       int64_t* rows) {
  const size_t piece = std::max(kSelectedBytesPerPiece / codes.n_bytes, kSelectedBlock);
  const SampledCodes sample(codes, true);
  for (size_t q = 0; q < queries.n_codes; ++q) {
    const uint8_t* query = queries.row(q);
    const int limit = sample.guess(kernels, query, sample.rank(k));
    const std::vector<KeptHits> found = within(kernels, codes, query, limit, piece, n_threads);
    std::vector<HitRun> runs;
    for (const KeptHits& hits : found) runs.push_back({runs.size() * piece, hits.data(), hits.size()});
    if (!write_rows(runs.data(), runs.size(), codes.n_bytes, k, rows + q * k)) {
      select_by_scan(kernels, codes, query, k, n_threads, rows + q * k);
    }
  }
}

void select_in_tiles(const KernelTable& kernels, CodesView codes, CodesView queries, size_t k, size_t n_threads,
                     int64_t* rows) {
  const SampledCodes sample(codes, false);
  const size_t rank = sample.rank(k), step = std::min(queries_per_task(queries.n_codes, n_threads), kTiledQueries);
  std::atomic<size_t> next{0};
  parallel_for(n_threads, n_threads, [&](size_t) {
    WithinVisitor visitor(step, sample.room(rank));
    for (size_t first; (first = next.fetch_add(step, std::memory_order_relaxed)) < queries.n_codes;) {
      const size_t last = std::min(first + step, queries.n_codes);
      std::vector<int> limits;
      for (size_t q = first; q < last; ++q) limits.push_back(sample.guess(kernels, queries.row(q), rank));
      visitor.start(first, std::move(limits));
      scan_queries(kernels, codes, 0, queries, first, last, visitor);
      for (size_t q = first; q < last; ++q) {
        const HitRun run = visitor.run(q);
        if (!visitor.has_all(q) || !write_rows(&run, 1, codes.n_bytes, k, rows + q * k)) {
          select_by_scan(kernels, codes, queries.row(q), k, 1, rows + q * k);
        }
      }
    }
  });
}

}  // namespace

void select_nearest(const KernelTable& kernels, CodesView codes, CodesView queries, size_t k, size_t n_threads,
                    int64_t* rows) {
  if (k == 0) return;
  const auto select = queries.n_codes <= kFewSelected ? select_one_by_one : select_in_tiles;
  select(kernels, codes, queries, k, n_threads, rows);
}

}  // namespace hashkit
