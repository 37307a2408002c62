#include "search/linear_scan.hpp"

#include <algorithm>

#include "parallel/parallel_for.hpp"
#include "search/scan_loops.hpp"
#include "search/top_k.hpp"

namespace hashkit {
namespace {

constexpr size_t kCodesPerThread = 200'000;

int n_bits_of(CodesView codes) {
  return static_cast<int>(8 * codes.n_bytes);
}

// What is not allowed is turned away here, among the few codes that a kernel reports, at no cost to the kernels.
struct KNearestVisitor {
  RowSet allowed;
  size_t first;  // number of the query of top_ks[0]
  std::vector<TopK> top_ks;
  std::vector<int> limits;  // theirs, close together: they are read far more often than anything else of a query

  // `limits_of` is that of the whole call, or null.
  KNearestVisitor(RowSet allowed, size_t first, size_t n_queries, size_t k, int n_bits, const int32_t* limits_of)
      : allowed(allowed), first(first) {
    top_ks.reserve(n_queries);
    limits.reserve(n_queries);
    for (size_t q = first; q < first + n_queries; ++q) {
      limits.push_back(limits_of == nullptr ? n_bits : std::clamp(limits_of[q], 0, n_bits));
      top_ks.emplace_back(k, limits.back());
    }
  }
  bool go_on() const noexcept { return true; }
  int limit(size_t q) const noexcept { return limits[q - first]; }
  void push(size_t q, size_t row, int distance) {
    if (!allowed.has(row)) return;
    top_ks[q - first].push(static_cast<int64_t>(row), distance);
    limits[q - first] = top_ks[q - first].ascending_limit();
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

  bool go_on() const noexcept { return true; }
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
    scan_queries(kernels, codes, 0, queries, first, last, visitor);
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
    scan_queries(kernels, codes, 0, queries, first, last, visitor);
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
