#include "core/row_set.hpp"

#include <algorithm>

#include "core/gather.hpp"
#include "parallel/stop.hpp"

namespace hashkit {
namespace {

constexpr size_t kBlock = 64, kWord = 8;

// A loop of fixed length over words: it compiles to a few vector instructions.
bool is_zero(const uint8_t* block) noexcept {
  uint64_t words[kBlock / kWord], any = 0;
  std::memcpy(words, block, kBlock);
  for (uint64_t word : words) any |= word;
  return any == 0;
}

// One bit for each byte of a block, 1 if the byte is not zero; the first byte's bit is the lowest.
uint64_t bits_of(const uint8_t* block) noexcept {
  uint64_t words[kBlock / kWord], bits = 0;
  std::memcpy(words, block, kBlock);
  for (size_t i = 0; i < kBlock / kWord; ++i) {
    uint64_t word = words[i];
    word |= word >> 4;
    word |= word >> 2;
    word = (word | word >> 1) & 0x0101'0101'0101'0101;
    bits |= (word * 0x0102'0408'1020'4080) >> 56 << (kWord * i);  // the product has byte j's bit at 56 + j
  }
  return bits;
}

}  // namespace

std::vector<size_t> ranks_of(const uint8_t* bits, size_t n_rows) {
  constexpr size_t kStep = RowSet::kRankStep;
  std::vector<size_t> ranks{0};
  ranks.reserve(n_rows / kStep + 2);
  for (size_t row = 0; row < n_rows; row += kStep) {
    ranks.push_back(ranks.back() + count_rows({bits + row / 8}, std::min(kStep, n_rows - row)));
  }
  return ranks;
}

void narrow_bits(const uint8_t* bits, const uint8_t* mask, size_t n_rows, uint8_t* narrowed) {
  for (size_t byte = 0; byte < (n_rows + 7) / 8; ++byte) {
    if (byte % kRowsPerPoll == kRowsPerPoll - 1) poll_stop();
    narrowed[byte] = 0;
    for (unsigned rest = bits[byte]; rest != 0; rest &= rest - 1) {
      if (*mask++ != 0) narrowed[byte] = static_cast<uint8_t>(narrowed[byte] | (rest & -rest));
    }
  }
}

std::optional<std::vector<int64_t>> list_rows(const uint8_t* mask, size_t n_rows, size_t most) {
  std::vector<int64_t> rows;
  size_t row = 0;
  for (; row + kBlock <= n_rows; row += kBlock) {
    if ((row + kBlock) % (kBlock * kRowsPerPoll) == 0) poll_stop();
    if (is_zero(mask + row)) continue;  // most blocks, if few rows are allowed
    for (uint64_t bits = bits_of(mask + row); bits != 0; bits &= bits - 1) {
      rows.push_back(static_cast<int64_t>(row + static_cast<size_t>(__builtin_ctzll(bits))));
    }
    if (rows.size() > most) return std::nullopt;
  }
  for (; row < n_rows; ++row) {
    if (mask[row] != 0) rows.push_back(static_cast<int64_t>(row));
  }
  return rows.size() > most ? std::nullopt : std::optional(std::move(rows));
}

void find_ids(const int64_t* ids, size_t n_ids, const int64_t* wanted, size_t n_wanted, int64_t* rows) {
  size_t at = 0;
  for (size_t i = 0; i < n_wanted; ++i) {
    if (i % kRowsPerPoll == kRowsPerPoll - 1) poll_stop();
    const int64_t id = wanted[i];
    // All ids before low are smaller than the wanted one; none from high on is.
    size_t low = at, high = at, step = 1;
    if (at < n_ids && ids[at] < id) {
      for (; high < n_ids && ids[high] < id; step *= 2) {
        low = high + 1;
        high = std::min(n_ids, low + step);
      }
    } else {
      for (; low > 0 && ids[low - 1] >= id; step *= 2) {
        high = low - 1;
        low = high - std::min(high, step);
      }
    }
    at = static_cast<size_t>(std::lower_bound(ids + low, ids + high, id) - ids);
    rows[i] = at < n_ids && ids[at] == id ? static_cast<int64_t>(at) : -1;
  }
}

}  // namespace hashkit
