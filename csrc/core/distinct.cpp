#include "core/distinct.hpp"

#include <algorithm>
#include <cstring>

#include "core/huge_array.hpp"
#include "parallel/stop.hpp"

namespace hashkit {
namespace {

constexpr int64_t kEmpty = -1;

uint64_t hash_of(const uint8_t* code, size_t n_bytes) noexcept {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;  // 2^64 / the golden ratio (Knuth, The Art of Computer Programming 6.4)
  uint64_t hash = 0;
  for (size_t i = 0; i < n_bytes; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, code + i, std::min<size_t>(8, n_bytes - i));
    hash = (hash ^ word) * kOdd;
    hash ^= hash >> 29;
  }
  return hash * kOdd;
}

}  // namespace

Distinct find_distinct(CodesView codes) {
  size_t n_slots = 64;
  int shift = 64 - 6;
  for (; n_slots < 2 * codes.n_codes; n_slots *= 2) --shift;
  HugeArray<int64_t> slots(n_slots);  // the position of a code whose hash leads here or shortly before
  in_chunks(n_slots, 64 * kRowsPerPoll,
            [&](size_t first, size_t last) { std::fill(slots.data() + first, slots.data() + last, kEmpty); });
  Distinct distinct;
  distinct.places.resize(codes.n_codes);
  for (size_t row = 0; row < codes.n_codes; ++row) {
    if (row % kRowsPerPoll == kRowsPerPoll - 1) poll_stop();
    const uint8_t* code = codes.row(row);
    size_t slot = hash_of(code, codes.n_bytes) >> shift;
    while (slots[slot] != kEmpty) {
      const auto first = static_cast<size_t>(distinct.firsts[static_cast<size_t>(slots[slot])]);
      if (std::memcmp(codes.row(first), code, codes.n_bytes) == 0) break;
      slot = (slot + 1) % n_slots;
    }
    if (slots[slot] == kEmpty) {
      slots[slot] = static_cast<int64_t>(distinct.firsts.size());
      distinct.firsts.push_back(static_cast<int64_t>(row));
    }
    distinct.places[row] = slots[slot];
  }
  return distinct;
}

}  // namespace hashkit
