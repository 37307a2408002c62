// Tables stored in a file, and how they are checked.
//
// A search never reads outside stored tables, whatever they contain. Sizes and offsets are checked here when the file
// is opened; buckets and their rows are checked when they are read (probing.cpp). Wrong contents can only cause wrong
// results; checksums of blocks detect them, and so does check_tables, which reads everything.
#pragma once

#include <cstddef>

#include "core/codes_view.hpp"
#include "mih/tables.hpp"

namespace hashkit {

// Whether the small values of a file are possible: costs and expectations are finite, distances are in range, and only
// existing keys have buckets. The sizes of all arrays must have been checked.
bool are_plausible(const Tables& tables) noexcept;

// Compares the contents of tables with the codes; throws a DamagedError.
void check_tables(const Tables& tables, CodesView codes, size_t n_threads);

}  // namespace hashkit
