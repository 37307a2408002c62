// Measures, once when tables are built, how fast they are on this machine and for these codes.
#pragma once

#include "kernels/kernel_table.hpp"
#include "mih/tables.hpp"

namespace hashkit {

// Measures what probing and scanning cost with these kernels, and how far the neighbors of a sample of the codes are.
// `codes` are those of the tables.
Survey survey_tables(const KernelTable& kernels, const Tables& tables, CodesView codes, size_t n_threads);

}  // namespace hashkit
