// Exact search that compares every code, without tables, at the speed of memory or of the population count.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/codes_view.hpp"
#include "core/results.hpp"
#include "core/row_set.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

// The k nearest allowed codes of each query, by (distance, row): `distances` and `rows` are (n_queries, k). With
// `limits`, one for each query, codes beyond its limit are left out. Empty places have kNoDistance.
void scan_k_nearest(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries, size_t k,
                    size_t n_threads, int32_t* distances, int64_t* rows, const int32_t* limits = nullptr);

// Every allowed code within the radius of each query.
WithinRadius scan_within_radius(const KernelTable& kernels, CodesView codes, RowSet allowed, CodesView queries,
                                int radius, size_t n_threads);

// All distances between two sets, (a.n_codes, b.n_codes).
void all_distances(const KernelTable& kernels, CodesView a, CodesView b, size_t n_threads, uint16_t* distances);

}  // namespace hashkit
