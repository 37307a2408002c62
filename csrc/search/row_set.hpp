// Which rows of a code matrix count: those not removed, or those that a filter lets through.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hashkit {

// One bit per row, least significant bit of a byte first (numpy.packbits, bitorder="little"), bits behind the last row
// zero; borrowed, never owned. Without bits every row is in the set.
struct RowSet {
  const uint8_t* bits = nullptr;

  bool has(size_t row) const noexcept { return bits == nullptr || (bits[row >> 3] >> (row & 7) & 1) != 0; }
};

}  // namespace hashkit
