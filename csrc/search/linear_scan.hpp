// Exhaustive search over packed codes in rows: exact, no tables, at the speed of memory or of the population count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernel_table.hpp"
#include "search/row_set.hpp"
#include "search/top_k.hpp"

namespace hashkit {

// Packed codes in consecutive rows; borrowed, never owned.
struct CodesView {
  const uint8_t* data;
  size_t n_codes;
  size_t n_bytes;

  const uint8_t* row(size_t i) const noexcept { return data + i * n_bytes; }
};

// The distance, beyond every other, at a place that nothing was found for; its row is -1.
constexpr int32_t kNoDistance = INT32_MAX;

// For every query the k nearest of the allowed codes, by (distance, row): distances and rows are (n_queries, k). With
// `limits`, one for each query, codes beyond its limit are left out. Where nothing is left: kNoDistance.
void scan_k_nearest(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries, size_t k,
                    size_t n_threads, int32_t* distances, int64_t* rows, const int32_t* limits = nullptr);

// Every allowed code within a distance, for many queries: those of query i are [offsets[i], offsets[i + 1]), by
// (distance, row).
struct WithinRadius {
  std::vector<int64_t> offsets;
  std::vector<int32_t> distances;
  std::vector<int64_t> rows;
};

WithinRadius scan_within_radius(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries,
                                int radius, size_t n_threads);

// A row of results: the k nearest, or what there is of them and kNoDistance behind.
void write_nearest(const std::vector<Neighbor>& nearest, size_t k, int32_t* distances, int64_t* rows);

// One result of the lists of many queries, each in ascending order of row; empties them.
WithinRadius join_lists(std::vector<std::vector<Neighbor>>& lists, int n_bits);

// All distances between two sets, (a.n_codes, b.n_codes).
void all_distances(const KernelTable& kernels, CodesView a, CodesView b, size_t n_threads, uint16_t* distances);

}  // namespace hashkit
