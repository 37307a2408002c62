// The codes of some rows copied together: a narrow set is scanned faster this way.
#pragma once

#include <cstddef>
#include <cstdint>

#include "search/linear_scan.hpp"
#include "search/row_set.hpp"

namespace hashkit {

// How many of the first n_rows rows are in the set, which has bits and no mask.
size_t count_rows(RowSet set, size_t n_rows) noexcept;

// The codes of the rows in such a set, one after the other, and the numbers of these rows, ascending. Both have room
// for count_rows(set, codes.n_codes).
void gather_rows(CodesView codes, RowSet set, size_t n_threads, uint8_t* gathered, int64_t* rows);

}  // namespace hashkit
