#include "search/row_set.hpp"

#include <algorithm>

#include "search/gather.hpp"

namespace hashkit {
namespace {

// A loop of known length over words, which becomes a few vector instructions.
template <size_t kBytes>
bool is_zero(const uint8_t* bytes) noexcept {
  uint64_t words[kBytes / 8], any = 0;
  std::memcpy(words, bytes, kBytes);
  for (uint64_t word : words) any |= word;
  return any == 0;
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
    narrowed[byte] = 0;
    for (unsigned rest = bits[byte]; rest != 0; rest &= rest - 1) {
      if (*mask++ != 0) narrowed[byte] = static_cast<uint8_t>(narrowed[byte] | (rest & -rest));
    }
  }
}

std::optional<std::vector<int64_t>> list_rows(const uint8_t* mask, size_t n_rows, size_t most) {
  constexpr size_t kBlock = 64;
  std::vector<int64_t> rows;
  for (size_t begin = 0; begin < n_rows; begin += kBlock) {
    const size_t end = std::min(begin + kBlock, n_rows);
    if (end == begin + kBlock && is_zero<kBlock>(mask + begin)) continue;
    for (size_t row = begin; row < end; ++row) {
      if (mask[row] != 0) rows.push_back(static_cast<int64_t>(row));
    }
    if (rows.size() > most) return std::nullopt;
  }
  return rows;
}

void find_ids(const int64_t* ids, size_t n_ids, const int64_t* wanted, size_t n_wanted, int64_t* rows) noexcept {
  size_t at = 0;
  for (size_t i = 0; i < n_wanted; ++i) {
    const int64_t id = wanted[i];
    // All before low are smaller, and from high on none is.
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
