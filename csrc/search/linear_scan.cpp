#include "search/linear_scan.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "parallel/parallel_for.hpp"
#include "search/top_k.hpp"

namespace hashkit {
namespace {

constexpr size_t kRowBlock = 2048;        // codes between two looks at the limit when one query is scanned
constexpr size_t kFirstBlock = 256;       // the first look comes sooner: until then everything passes
constexpr size_t kQueriesPerTask = 1024;  // queries that pass over one filled tile before it is replaced
constexpr size_t kGroup = 32;             // queries between two looks at their limits
constexpr size_t kFewQueries = 4;         // below, a tile costs more than it saves
constexpr size_t kCodesPerThread = 200'000;

struct AlignedDelete {
  void operator()(uint8_t* p) const noexcept { std::free(p); }
};
using AlignedBytes = std::unique_ptr<uint8_t[], AlignedDelete>;

AlignedBytes aligned_bytes(size_t n) {
  void* p = std::aligned_alloc(64, (n + 63) / 64 * 64);
  if (p == nullptr) throw std::bad_alloc();
  return AlignedBytes(static_cast<uint8_t*>(p));
}

// Passes one query over rows [begin, end). `visitor` has limit(q) and push(q, row, distance).
template <class Visitor>
void scan_rows(const KernelTable& kernels, CodesView codes, size_t begin, size_t end, const uint8_t* query, size_t q,
               std::vector<Hit>& hits, Visitor& visitor) {
  hits.resize(kRowBlock);
  size_t block = kFirstBlock;
  for (size_t row = begin; row < end; row += block, block = kRowBlock) {
    block = std::min(block, end - row);
    const size_t n_hits = kernels.scan(query, codes.row(row), block, codes.n_bytes, visitor.limit(q), hits.data());
    for (size_t i = 0; i < n_hits; ++i) visitor.push(q, row + hits[i].row, hits[i].distance);
  }
}

// Passes queries [first, last) over all codes, tile by tile.
template <class Visitor>
void scan_tiles(const KernelTable& kernels, CodesView codes, CodesView queries, size_t first, size_t last,
                Visitor& visitor) {
  const size_t query_bytes = kernels.query_bytes(codes.n_bytes), full_tile = kernels.tile_codes(codes.n_bytes);
  const AlignedBytes prepared = aligned_bytes((last - first) * query_bytes);
  for (size_t q = first; q < last; ++q) {
    kernels.fill_query(queries.row(q), codes.n_bytes, prepared.get() + (q - first) * query_bytes);
  }
  const AlignedBytes tile = aligned_bytes(kernels.tile_bytes(codes.n_bytes));
  const std::unique_ptr<Hit[]> hits(new Hit[kGroup * full_tile]);  // not filled: few of them are ever touched
  size_t n_tile = 0;
  for (size_t row = 0; row < codes.n_codes; row += n_tile) {
    // The first tiles are small, each as large as all before it: until a limit is known everything passes.
    n_tile = std::min({std::max(row, kFirstBlock), full_tile, codes.n_codes - row});
    kernels.fill_tile(codes.row(row), n_tile, codes.n_bytes, tile.get());
    for (size_t q = first; q < last; q += kGroup) {
      const size_t n_queries = std::min(kGroup, last - q);
      int limits[kGroup];
      for (size_t i = 0; i < n_queries; ++i) limits[i] = visitor.limit(q + i);
      const size_t n_hits = kernels.scan_tile(prepared.get() + (q - first) * query_bytes, n_queries, tile.get(), n_tile,
                                              codes.n_bytes, limits, hits.get());
      for (size_t i = 0; i < n_hits; ++i) visitor.push(q + hits[i].query, row + hits[i].row, hits[i].distance);
    }
  }
}

// Queries [first, last) over all codes, whichever way is faster for so many.
template <class Visitor>
void scan_queries(const KernelTable& kernels, CodesView codes, CodesView queries, size_t first, size_t last,
                  Visitor& visitor) {
  if (last - first >= kFewQueries) return scan_tiles(kernels, codes, queries, first, last, visitor);
  std::vector<Hit> hits;
  for (size_t q = first; q < last; ++q) {
    scan_rows(kernels, codes, 0, codes.n_codes, queries.row(q), q, hits, visitor);
  }
}

// How a batch is cut into tasks: enough for every thread, none larger than kQueriesPerTask.
size_t queries_per_task(size_t n_queries, size_t n_threads) {
  return std::clamp((n_queries + n_threads - 1) / n_threads, size_t{1}, kQueriesPerTask);
}

int n_bits_of(CodesView codes) {
  return static_cast<int>(8 * codes.n_bytes);
}

// What is not allowed is turned away here, among the few codes that a kernel reports, at no cost to the kernels.
struct KNearestVisitor {
  RowSet allowed;
  size_t first;  // number of the query of top_ks[0]
  std::vector<TopK> top_ks;

  // `limits` is that of the whole call, or null.
  KNearestVisitor(RowSet allowed, size_t first, size_t n_queries, size_t k, int n_bits, const int32_t* limits)
      : allowed(allowed), first(first) {
    top_ks.reserve(n_queries);
    for (size_t q = first; q < first + n_queries; ++q) {
      top_ks.emplace_back(k, limits == nullptr ? n_bits : std::clamp(limits[q], 0, n_bits));
    }
  }
  int limit(size_t q) const noexcept { return top_ks[q - first].ascending_limit(); }
  void push(size_t q, size_t row, int distance) {
    if (allowed.has(row)) top_ks[q - first].push(static_cast<int64_t>(row), distance);
  }
};

void write_row(const std::vector<Neighbor>& nearest, size_t k, int32_t* distances, int64_t* rows) {
  for (size_t i = 0; i < nearest.size(); ++i) {
    distances[i] = nearest[i].distance;
    rows[i] = nearest[i].row;
  }
  std::fill(distances + nearest.size(), distances + k, kNoDistance);
  std::fill(rows + nearest.size(), rows + k, -1);
}

// One query by several threads, each over a range of the rows.
void split_k_nearest(const KernelTable& kernels, CodesView codes, RowSet allowed, const uint8_t* query, size_t k,
                     size_t n_threads, int32_t* distances, int64_t* rows, const int32_t* limit) {
  std::vector<std::vector<Neighbor>> parts(n_threads);
  parallel_for(n_threads, n_threads, [&](size_t part) {
    KNearestVisitor visitor(allowed, 0, 1, k, n_bits_of(codes), limit);
    std::vector<Hit> hits;
    scan_rows(kernels, codes, codes.n_codes * part / n_threads, codes.n_codes * (part + 1) / n_threads, query, 0, hits,
              visitor);
    parts[part] = visitor.top_ks[0].take();
  });
  std::vector<Neighbor> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  const size_t n_found = std::min(k, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n_found), all.end());
  all.resize(n_found);
  write_row(all, k, distances, rows);
}

struct RadiusVisitor {
  RowSet allowed;
  size_t first;
  int radius;
  std::vector<std::vector<Neighbor>>& found;  // by query, of the whole call

  int limit(size_t) const noexcept { return radius; }
  void push(size_t q, size_t row, int distance) {
    if (allowed.has(row)) found[q].push_back({distance, static_cast<int64_t>(row)});
  }
};

}  // namespace

void scan_k_nearest(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries, size_t k,
                    size_t n_threads, int32_t* distances, int64_t* rows, const int32_t* limits) {
  if (k == 0) return;
  const size_t worth = std::min(n_threads, codes.n_codes / kCodesPerThread);
  if (queries.n_codes < n_threads && worth > 1) {
    for (size_t q = 0; q < queries.n_codes; ++q) {
      split_k_nearest(kernels, codes, allowed, queries.row(q), k, worth, distances + q * k, rows + q * k,
                      limits == nullptr ? nullptr : limits + q);
    }
    return;
  }
  const size_t step = queries_per_task(queries.n_codes, n_threads);
  parallel_for((queries.n_codes + step - 1) / step, n_threads, [&](size_t task) {
    const size_t first = task * step, last = std::min(first + step, queries.n_codes);
    KNearestVisitor visitor(allowed, first, last - first, k, n_bits_of(codes), limits);
    scan_queries(kernels, codes, queries, first, last, visitor);
    for (size_t q = first; q < last; ++q) {
      write_row(visitor.top_ks[q - first].take(), k, distances + q * k, rows + q * k);
    }
  });
}

WithinRadius scan_within_radius(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries,
                                int radius, size_t n_threads) {
  std::vector<std::vector<Neighbor>> found(queries.n_codes);
  const size_t step = queries_per_task(queries.n_codes, n_threads);
  parallel_for((queries.n_codes + step - 1) / step, n_threads, [&](size_t task) {
    const size_t first = task * step, last = std::min(first + step, queries.n_codes);
    RadiusVisitor visitor{allowed, first, radius, found};
    scan_queries(kernels, codes, queries, first, last, visitor);
    for (size_t q = first; q < last; ++q) std::sort(found[q].begin(), found[q].end());
  });
  WithinRadius result;
  result.offsets.reserve(queries.n_codes + 1);
  result.offsets.push_back(0);
  for (const auto& list : found) result.offsets.push_back(result.offsets.back() + static_cast<int64_t>(list.size()));
  result.distances.reserve(static_cast<size_t>(result.offsets.back()));
  result.rows.reserve(static_cast<size_t>(result.offsets.back()));
  for (auto& list : found) {
    for (const Neighbor& neighbor : list) {
      result.distances.push_back(neighbor.distance);
      result.rows.push_back(neighbor.row);
    }
    std::vector<Neighbor>().swap(list);
  }
  return result;
}

void all_distances(const KernelTable& kernels, CodesView a, CodesView b, size_t n_threads, uint16_t* distances) {
  // In blocks of b that stay in cache while rows of a pass over them.
  const size_t block = std::max<size_t>(1, 131072 / b.n_bytes);
  const size_t step = std::max<size_t>(1, (a.n_codes + 4 * n_threads - 1) / (4 * n_threads));
  parallel_for((a.n_codes + step - 1) / step, n_threads, [&](size_t task) {
    const size_t last = std::min((task + 1) * step, a.n_codes);
    for (size_t start = 0; start < b.n_codes; start += block) {
      const size_t n = std::min(block, b.n_codes - start);
      for (size_t i = task * step; i < last; ++i) {
        kernels.distances(a.row(i), b.row(start), n, b.n_bytes, distances + i * b.n_codes + start);
      }
    }
  });
}

}  // namespace hashkit
