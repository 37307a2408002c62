// All pairs of codes within a small radius of each other, by tables.
#pragma once

#include <cstddef>
#include <optional>

#include "join/join_tables.hpp"
#include "join/pair_join.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

// Like scan_pairs, for a radius that the tables support. rows.right are the codes of the tables.
std::optional<Pairs> bucket_pairs(const KernelTable& kernels, const JoinRows& rows, const JoinTables& tables,
                                  int radius, size_t n_threads, size_t max_pairs);

}  // namespace hashkit
