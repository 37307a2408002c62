#include "scan/linear_scan.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "core/gather.hpp"
#include "core/scan_loops.hpp"
#include "core/top_k.hpp"
#include "parallel/parallel_for.hpp"
#include "scan/ranking.hpp"

namespace hashkit {
namespace {

// Starting a thread takes 50 to 80 us, in which one core of a Zen 4 reads 5 MB. Each thread must have this much to
// read, counted for each query. benchmarks/bench_scan.py measures where two threads begin to pay.
constexpr size_t kBytesPerThread = 8 << 20;
constexpr size_t kBytesPerPiece = 1 << 19;  // the fewest bytes of rows that a thread takes at a time
constexpr size_t kPiecesPerThread = 8;
// Neighbors of all queries: more would take too much memory if every thread kept them.
constexpr size_t kMostShared = 1 << 20;

// Limits are estimated from a sample if that saves more than it costs.
constexpr size_t kSampleStep = 64;
constexpr size_t kLeastGuessed = 16;   // neighbors
constexpr size_t kFewQueries = 64;     // with fewer, the sample is at most kSmallSample, because fetching it costs more
constexpr size_t kSmallSample = 1024;  // codes
constexpr size_t kLeastGuessedFew = 100;  // neighbors

// From these shares of the codes on, ranking all codes by counting is faster than collecting results. For 1,000,000
// codes of 64 and 1,024 bits it took as long as finding the 31,000 nearest, or those within a radius that contains a
// sixth (Zen 4, one thread). `pytest benchmarks/bench_scan.py -k ranking` measures it.
constexpr size_t kRankedShare = 32, kRankedShareWithin = 6;
constexpr size_t kLeastRanked = 4096;  // codes
// Codes in the sample that estimates how many are within a radius: a few microseconds, before a scan of a hundred.
constexpr size_t kGuessedCodes = 128, kGuessedQueries = 8;
constexpr size_t kLeastWorth = 1 << 17;  // codes compared

int n_bits_of(CodesView codes) {
  return static_cast<int>(8 * codes.n_bytes);
}

// Rows that are not allowed are dropped here, among the few codes that a kernel reports, at no cost to kernels.
struct KNearestVisitor {
  RowSet allowed;
  size_t first;  // number of the query of top_ks[0]
  std::vector<TopK> top_ks;
  std::vector<int> limits;  // of the top_ks, next to each other: they are read most often

  // `limits` has one for each query, from 0 to n_bits.
  KNearestVisitor(RowSet allowed, size_t first, size_t k, std::vector<int> own_limits)
      : allowed(allowed), first(first), limits(std::move(own_limits)) {
    top_ks.reserve(limits.size());
    for (int limit : limits) top_ks.emplace_back(k, limit);
  }
  bool go_on() const noexcept { return true; }
  int limit(size_t q) const noexcept { return limits[q - first]; }
  void push(size_t q, size_t row, int distance) {
    if (!allowed.has(row)) return;
    top_ks[q - first].push(static_cast<int64_t>(row), distance);
    limits[q - first] = top_ks[q - first].ascending_limit();
  }
};

// The arguments and the output of one call.
struct Request {
  const KernelTable& kernels;
  CodesView codes;
  RowSet allowed;
  CodesView queries;
  size_t k;
  const int32_t* limits;  // or null
  int32_t* distances;
  int64_t* rows;

  int limit(size_t q) const noexcept {
    return limits == nullptr ? n_bits_of(codes) : std::clamp(limits[q], 0, n_bits_of(codes));
  }
  void write(size_t q, const std::vector<Neighbor>& nearest) const {
    write_nearest(nearest, k, distances + q * k, rows + q * k);
  }
};

// How many threads share the rows of a call; 1 if there are enough queries to share those instead.
size_t threads_sharing(CodesView codes, size_t n_queries, size_t n_threads) {
  const size_t n_bytes = codes.n_codes * codes.n_bytes;
  if (n_queries >= n_threads * kQueriesPerTask) return 1;
  return std::max<size_t>(1, std::min({n_threads, n_bytes * n_queries / kBytesPerThread, n_bytes / kBytesPerPiece}));
}

// How many rows a thread takes at a time. With tiles, a piece costs as much as a few hundred of its rows; without
// tiles, a piece stays in cache while several queries are scanned over it.
size_t rows_per_piece(const KernelTable& kernels, CodesView codes, size_t n_queries, size_t n_threads) {
  const bool tiled = n_queries >= min_queries_for_tiles(kernels.isa, codes.n_bytes);
  if (n_threads == 1 && (tiled || n_queries == 1)) return codes.n_codes;
  const size_t least = std::max<size_t>(kRowBlock, kBytesPerPiece / codes.n_bytes);
  return tiled ? std::max(least, codes.n_codes / (kPiecesPerThread * n_threads)) : least;
}

using Lists = std::vector<std::vector<Neighbor>>;  // of neighbors, one for each query

// The first k of the results of all threads.
Lists join_parts(std::vector<std::vector<TopK>>& parts, size_t k, size_t n_queries) {
  Lists nearest(n_queries);
  parallel_for(n_queries, n_queries * k < 10'000 ? 1 : parts.size(), [&](size_t i) {
    std::vector<Neighbor>& all = nearest[i];
    all = parts[0][i].take();
    if (parts.size() == 1) return;
    for (size_t part = 1; part < parts.size(); ++part) {
      const std::vector<Neighbor> found = parts[part][i].take();
      all.insert(all.end(), found.begin(), found.end());
    }
    const size_t n_found = std::min(k, all.size());
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n_found), all.end());
    all.resize(n_found);
  });
  return nearest;
}

// The k nearest within its limit for each query from `first` on; there are as many queries as limits. Threads take
// pieces of the rows until none is left: a delayed thread takes fewer, and no row is put into a tile twice.
Lists find_nearest(const Request& request, CodesView queries, size_t first, const std::vector<int>& limits,
                   size_t n_threads) {
  const CodesView codes = request.codes;
  const size_t piece = rows_per_piece(request.kernels, codes, limits.size(), n_threads);
  std::vector<std::vector<TopK>> parts(n_threads);
  std::atomic<size_t> next{0};
  parallel_for(n_threads, n_threads, [&](size_t part) {
    KNearestVisitor visitor(request.allowed, first, request.k, limits);
    for (size_t row; (row = next.fetch_add(piece, std::memory_order_relaxed)) < codes.n_codes;) {
      const CodesView up_to{codes.data, std::min(row + piece, codes.n_codes), codes.n_bytes};
      scan_queries(request.kernels, up_to, row, queries, first, first + limits.size(), visitor);
    }
    parts[part] = std::move(visitor.top_ks);
  });
  return join_parts(parts, request.k, limits.size());
}

// Every step-th of the codes that is allowed; none if nothing is to be estimated.
struct Sample {
  size_t step;
  std::vector<uint8_t> codes;
};

Sample sample_codes(const Request& request) {
  const CodesView codes = request.codes;
  const bool few = request.queries.n_codes < kFewQueries;
  const size_t step = few ? std::max(kSampleStep, codes.n_codes / kSmallSample) : kSampleStep;
  Sample sample{step, {}};
  if (request.k < (few ? kLeastGuessedFew : kLeastGuessed)) return sample;
  sample.codes.reserve(codes.n_codes / step * codes.n_bytes);
  for (size_t row = step - 1; row < codes.n_codes; row += step) {
    if (row / step % kRowsPerPoll == kRowsPerPoll - 1) poll_stop();
    if (request.allowed.has(row)) sample.codes.insert(sample.codes.end(), codes.row(row), codes.row(row + 1));
  }
  return sample;
}

// Lowers limits to distances that very likely contain the k nearest. Otherwise far more than k codes pass before many
// have been scanned. The number of the k in the sample is Poisson distributed around k / step; the limit is the
// distance of the first number that is exceeded less than once in a thousand queries.
void guess_limits(const Request& request, const Sample& sample, size_t first, std::vector<int>& limits) {
  const size_t n_bytes = request.codes.n_bytes;
  const CodesView sampled{sample.codes.data(), sample.codes.size() / n_bytes, n_bytes};
  const double expected = static_cast<double>(request.k) / static_cast<double>(sample.step);
  const auto rank = static_cast<size_t>(expected + 4 * std::sqrt(expected) + 2.5);
  if (sampled.n_codes < 8 * rank) return;
  KNearestVisitor visitor({}, first, rank, limits);
  scan_queries(request.kernels, sampled, 0, request.queries, first, first + limits.size(), visitor);
  for (size_t i = 0; i < limits.size(); ++i) {
    const std::vector<Neighbor> nearest = visitor.top_ks[i].take();
    if (nearest.size() == rank) limits[i] = nearest.back().distance;
  }
}

// Queries whose limits were not estimated.
void scan_some(const Request& request, const std::vector<size_t>& some, size_t n_threads) {
  const GatheredCodes gathered(request.queries, some);
  std::vector<int> limits;
  for (size_t q : some) limits.push_back(request.limit(q));
  const Lists nearest = find_nearest(request, gathered.view(), 0, limits, n_threads);
  for (size_t i = 0; i < some.size(); ++i) request.write(some[i], nearest[i]);
}

void scan_range(const Request& request, const Sample& sample, size_t first, size_t last, size_t n_threads) {
  std::vector<int> limits;
  for (size_t q = first; q < last; ++q) limits.push_back(request.limit(q));
  guess_limits(request, sample, first, limits);
  const Lists nearest = find_nearest(request, request.queries, first, limits, n_threads);
  std::vector<size_t> guessed_too_low;
  for (size_t q = first; q < last; ++q) {
    if (nearest[q - first].size() < request.k && limits[q - first] < request.limit(q)) {
      guessed_too_low.push_back(q);
    } else {
      request.write(q, nearest[q - first]);
    }
  }
  if (!guessed_too_low.empty()) scan_some(request, guessed_too_low, n_threads);
}

struct RadiusVisitor {
  RowSet allowed;
  int radius;
  Lists& found;  // of all queries

  bool go_on() const noexcept { return true; }
  int limit(size_t) const noexcept { return radius; }
  void push(size_t q, size_t row, int distance) {
    if (allowed.has(row)) found[q].push_back({distance, static_cast<int64_t>(row)});
  }
};

bool is_ranked(CodesView codes, size_t n_wanted, size_t share) noexcept {
  return codes.n_codes >= kLeastRanked && n_wanted >= codes.n_codes / share;
}

// Calls work(ranking, q) for every query: one thread for each, or, if there are fewer queries than threads, one query
// after the other with the rows shared.
template <class Work>
void rank_queries(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries, size_t n_threads,
                  const Work& work) {
  const bool alone = queries.n_codes < n_threads;
  const size_t n_tasks = alone ? 1 : n_threads;
  std::atomic<size_t> next{0};
  parallel_for(n_tasks, n_tasks, [&](size_t) {
    Ranking ranking(kernels, codes, allowed, alone ? n_threads : 1);
    for (size_t q; (q = next.fetch_add(1, std::memory_order_relaxed)) < queries.n_codes;) {
      poll_stop();
      work(ranking, q);
    }
  });
}

void rank_k_nearest(const Request& request, size_t n_threads) {
  rank_queries(request.kernels, request.codes, request.allowed, request.queries, n_threads,
               [&](Ranking& ranking, size_t q) {
                 const size_t n = std::min(request.k, ranking.measure(request.queries.row(q), request.limit(q)));
                 int32_t* distances = request.distances + q * request.k;
                 int64_t* rows = request.rows + q * request.k;
                 ranking.write(n, distances, rows);
                 std::fill(distances + n, distances + request.k, kNoDistance);
                 std::fill(rows + n, rows + request.k, -1);
               });
}

// About how many of the allowed codes are within the radius of a query.
size_t guess_within(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries, int radius) {
  if (codes.n_codes < kLeastRanked || queries.n_codes == 0 || codes.n_codes * queries.n_codes < kLeastWorth) return 0;
  const size_t n_queries = std::min(queries.n_codes, kGuessedQueries);
  std::vector<uint8_t> sample;
  for (size_t i = 0; i < kGuessedCodes; ++i) {
    const size_t row = codes.n_codes * i / kGuessedCodes;
    if (allowed.has(row)) sample.insert(sample.end(), codes.row(row), codes.row(row + 1));
  }
  const size_t n_sampled = sample.size() / codes.n_bytes;
  std::vector<uint16_t> distances(n_sampled);
  size_t n_within = 0;
  for (size_t i = 0; i < n_queries; ++i) {
    const uint8_t* query = queries.row(queries.n_codes * i / n_queries);
    kernels.distances(query, sample.data(), n_sampled, codes.n_bytes, distances.data());
    for (uint16_t distance : distances) n_within += distance <= radius ? 1 : 0;
  }
  return codes.n_codes * n_within / (n_queries * kGuessedCodes);
}

// Counts first and then writes each result in its place, so no other memory is needed.
WithinRadius rank_within_radius(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries,
                                int radius, size_t n_threads) {
  const int limit = std::min(radius, n_bits_of(codes));
  WithinRadius result;
  result.offsets.assign(queries.n_codes + 1, 0);
  rank_queries(kernels, codes, allowed, queries, n_threads, [&](Ranking& ranking, size_t q) {
    result.offsets[q + 1] = static_cast<int64_t>(ranking.measure(queries.row(q), limit));
  });
  for (size_t q = 0; q < queries.n_codes; ++q) result.offsets[q + 1] += result.offsets[q];
  result.distances.resize(static_cast<size_t>(result.offsets.back()));
  result.rows.resize(result.distances.size());
  rank_queries(kernels, codes, allowed, queries, n_threads, [&](Ranking& ranking, size_t q) {
    const auto place = static_cast<size_t>(result.offsets[q]);
    const size_t n = ranking.measure(queries.row(q), limit);
    ranking.write(n, result.distances.data() + place, result.rows.data() + place);
  });
  return result;
}

}  // namespace

void scan_k_nearest(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries, size_t k,
                    size_t n_threads, int32_t* distances, int64_t* rows, const int32_t* limits) {
  if (k == 0) return;
  const Request request{kernels, codes, allowed, queries, k, limits, distances, rows};
  if (is_ranked(codes, k, kRankedShare)) return rank_k_nearest(request, n_threads);
  const Sample sample = sample_codes(request);
  const bool fits = queries.n_codes * k <= kMostShared;
  const size_t n_sharing = fits ? threads_sharing(codes, queries.n_codes, n_threads) : 1;
  const size_t step = n_sharing > 1 ? kQueriesPerTask : queries_per_task(queries.n_codes, n_threads);
  parallel_for((queries.n_codes + step - 1) / step, n_sharing > 1 ? 1 : n_threads, [&](size_t task) {
    scan_range(request, sample, task * step, std::min((task + 1) * step, queries.n_codes), n_sharing);
  });
}

void scan_k_nearest_of(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries,
                       const std::vector<size_t>& some, size_t k, size_t n_threads, int32_t* distances, int64_t* rows,
                       const int32_t* limits) {
  const GatheredCodes gathered(queries, some);
  std::vector<int32_t> found(some.size() * k), own_limits;
  std::vector<int64_t> found_rows(some.size() * k);
  for (size_t q : some) own_limits.push_back(limits[q]);
  scan_k_nearest(kernels, codes, allowed, gathered.view(), k, n_threads, found.data(), found_rows.data(),
                 own_limits.data());
  for (size_t i = 0; i < some.size(); ++i) {
    std::copy_n(found.data() + i * k, k, distances + some[i] * k);
    std::copy_n(found_rows.data() + i * k, k, rows + some[i] * k);
  }
}

WithinRadius scan_within_radius(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries,
                                int radius, size_t n_threads) {
  if (radius >= 0 && is_ranked(codes, guess_within(kernels, codes, allowed, queries, radius), kRankedShareWithin)) {
    return rank_within_radius(kernels, codes, allowed, queries, radius, n_threads);
  }
  const size_t n_sharing = threads_sharing(codes, queries.n_codes, n_threads);
  const size_t piece = std::max<size_t>(1, rows_per_piece(kernels, codes, queries.n_codes, n_sharing));
  const size_t step = n_sharing > 1 ? kQueriesPerTask : queries_per_task(queries.n_codes, n_threads);
  const size_t n_pieces = std::max<size_t>(1, (codes.n_codes + piece - 1) / piece);
  const size_t n_steps = (queries.n_codes + step - 1) / step;
  std::vector<Lists> parts(n_pieces, Lists(queries.n_codes));
  parallel_for(n_pieces * n_steps, n_sharing > 1 ? n_sharing : n_threads, [&](size_t task) {
    const size_t part = task / n_steps, row = part * piece, first = task % n_steps * step;
    const CodesView up_to{codes.data, std::min(row + piece, codes.n_codes), codes.n_bytes};
    RadiusVisitor visitor{allowed, radius, parts[part]};
    scan_queries(kernels, up_to, row, queries, first, std::min(first + step, queries.n_codes), visitor);
  });
  for (size_t part = 1; part < n_pieces; ++part) {  // in the order of the rows
    for (size_t q = 0; q < queries.n_codes; ++q) {
      if (q % 1024 == 0) poll_stop();
      parts[0][q].insert(parts[0][q].end(), parts[part][q].begin(), parts[part][q].end());
      std::vector<Neighbor>().swap(parts[part][q]);
    }
  }
  return join_lists(parts[0], n_bits_of(codes));
}

void all_distances(const KernelTable& kernels, CodesView a, CodesView b, size_t n_threads, uint16_t* distances) {
  // Blocks of b stay in cache while they are compared with rows of a.
  const size_t block = std::max<size_t>(1, 131072 / b.n_bytes);
  const size_t step = std::max<size_t>(1, (a.n_codes + 4 * n_threads - 1) / (4 * n_threads));
  parallel_for((a.n_codes + step - 1) / step, n_threads, [&](size_t task) {
    const size_t last = std::min((task + 1) * step, a.n_codes);
    for (size_t start = 0; start < b.n_codes; start += block) {
      const size_t n = std::min(block, b.n_codes - start);
      for (size_t i = task * step; i < last; ++i) {
        poll_stop();
        kernels.distances(a.row(i), b.row(start), n, b.n_bytes, distances + i * b.n_codes + start);
      }
    }
  });
}

}  // namespace hashkit
