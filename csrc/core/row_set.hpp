// The rows of a code matrix that a search may return: those not removed, or those that a filter allows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

namespace hashkit {

// Borrowed, never owned. Rows are tested one by one, so a search pays only for the rows it reaches. Without bits and
// mask every row is in the set.
struct RowSet {
  static constexpr size_t kRankStep = 512;

  // One bit per row, least significant bit of a byte first (numpy.packbits, bitorder="little"). Bits after the last row
  // are zero.
  const uint8_t* bits = nullptr;
  // One byte for each row that is in `bits`; the row is in the set if its byte is not zero.
  const uint8_t* mask = nullptr;
  // Needed if both are given: the number of rows in `bits` before each kRankStep-th row (see ranks_of).
  const size_t* ranks = nullptr;

  bool has(size_t row) const noexcept {
    if (bits != nullptr && (bits[row >> 3] >> (row & 7) & 1) == 0) return false;
    return mask == nullptr || mask[bits == nullptr ? row : rank(row)] != 0;
  }

  // The number of rows in `bits` before this one.
  size_t rank(size_t row) const noexcept {
    size_t n = ranks[row / kRankStep], byte = row / kRankStep * (kRankStep / 8);
    for (uint64_t word; byte + 8 <= row / 8; byte += 8) {
      std::memcpy(&word, bits + byte, 8);
      n += static_cast<size_t>(__builtin_popcountll(word));
    }
    for (; byte < row / 8; ++byte) n += static_cast<size_t>(__builtin_popcount(bits[byte]));
    return n + static_cast<size_t>(__builtin_popcount(bits[byte] & ((1u << row % 8) - 1)));
  }
};

// The ranks of `bits`, and after them the number of rows in `bits`.
std::vector<size_t> ranks_of(const uint8_t* bits, size_t n_rows);

// The rows of `bits` whose byte in `mask` is not zero; `mask` has one byte for each row of `bits`.
void narrow_bits(const uint8_t* bits, const uint8_t* mask, size_t n_rows, uint8_t* narrowed);

// The positions of the bytes that are not zero, ascending, if there are at most `most`.
std::optional<std::vector<int64_t>> list_rows(const uint8_t* mask, size_t n_rows, size_t most);

// The row of each wanted id among ascending ids, -1 if there is none. Each search starts where the previous one ended
// and doubles its steps, so ascending ids cost no more than one pass.
void find_ids(const int64_t* ids, size_t n_ids, const int64_t* wanted, size_t n_wanted, int64_t* rows);

}  // namespace hashkit
