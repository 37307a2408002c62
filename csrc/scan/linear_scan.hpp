// Exact search that compares every code, without tables, at the speed of memory or of the population count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/codes_view.hpp"
#include "core/results.hpp"
#include "core/row_set.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

// The k nearest allowed codes of each query, by (distance, row): `distances` and `rows` are (n_queries, k). With
// `limits`, one for each query, codes beyond its limit are left out. Empty places have kNoDistance.
void scan_k_nearest(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries, size_t k,
                    size_t n_threads, int32_t* distances, int64_t* rows, const int32_t* limits = nullptr);

// The same for some of the queries, by their numbers: each result goes to its query's place among those of all queries.
// `limits` has one for each of all queries.
void scan_k_nearest_of(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries,
                       const std::vector<size_t>& some, size_t k, size_t n_threads, int32_t* distances, int64_t* rows,
                       const int32_t* limits);

// Every allowed code within the radius of each query.
WithinRadius scan_within_radius(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries,
                                int radius, size_t n_threads);

// All distances between two sets, (a.n_codes, b.n_codes).
void all_distances(const KernelTable& kernels, CodesView a, CodesView b, size_t n_threads, uint16_t* distances);

}  // namespace hashkit
