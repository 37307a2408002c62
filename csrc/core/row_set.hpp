// Which rows of a code matrix count: those not removed, or those that a filter lets through.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

namespace hashkit {

// Borrowed, never owned; read row by row, so that a search pays only for what it meets. Without bits and mask every
// row is in the set.
struct RowSet {
  static constexpr size_t kRankStep = 512;

  // One bit per row, least significant bit of a byte first (numpy.packbits, bitorder="little"), bits behind the last
  // row zero.
  const uint8_t* bits = nullptr;
  // One byte for each row that is in bits: not zero if it is in the set, too.
  const uint8_t* mask = nullptr;
  // Needed with both: how many rows bits has before each kRankStep-th row (see ranks_of).
  const size_t* ranks = nullptr;

  bool has(size_t row) const noexcept {
    if (bits != nullptr && (bits[row >> 3] >> (row & 7) & 1) == 0) return false;
    return mask == nullptr || mask[bits == nullptr ? row : rank(row)] != 0;
  }

  // How many rows bits has before this one.
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

// The ranks that go with bits, and at the end how many rows these have.
std::vector<size_t> ranks_of(const uint8_t* bits, size_t n_rows);

// The bits of those rows of `bits` for which a mask of them, with a byte for each, is not zero.
void narrow_bits(const uint8_t* bits, const uint8_t* mask, size_t n_rows, uint8_t* narrowed);

// The numbers of the bytes that are not zero, ascending, if they are at most `most`.
std::optional<std::vector<int64_t>> list_rows(const uint8_t* mask, size_t n_rows, size_t most);

// The row of each wanted id among ascending ids, -1 where there is none. Every one is looked for from where the one
// before was, in steps that double: in ascending order they cost no more than one pass.
void find_ids(const int64_t* ids, size_t n_ids, const int64_t* wanted, size_t n_wanted, int64_t* rows);

}  // namespace hashkit
