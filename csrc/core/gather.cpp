#include "core/gather.hpp"

#include <algorithm>

#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kRowsPerTask = 1 << 18;  // a multiple of 64; fewer rows are not worth a thread

// Bits of rows [row, row + 64), zero from n_rows on; row is a multiple of 64.
uint64_t word_at(RowSet set, size_t row, size_t n_rows) noexcept {
  uint64_t word = 0;
  if (row + 64 <= n_rows) {
    std::memcpy(&word, set.bits + row / 8, 8);
  } else {
    std::memcpy(&word, set.bits + row / 8, (n_rows - row + 7) / 8);
  }
  return word;
}

// Uses no special instruction and counts several words at a time, so every compiler vectorizes it.
uint64_t count_bits(uint64_t word) noexcept {
  word -= word >> 1 & 0x5555'5555'5555'5555;
  word = (word & 0x3333'3333'3333'3333) + (word >> 2 & 0x3333'3333'3333'3333);
  word = (word + (word >> 4)) & 0x0f0f'0f0f'0f0f'0f0f;
  word += word >> 8;
  word += word >> 16;
  return (word + (word >> 32)) & 0x7f;
}

size_t count_range(RowSet set, size_t begin, size_t end) noexcept {
  size_t n = 0, row = begin;
  for (; row + 64 <= end; row += 64) n += count_bits(word_at(set, row, row + 64));
  return row < end ? n + count_bits(word_at(set, row, end)) : n;
}

// kBytes = 0 stands for any width. A copy of known length is one move instead of a call.
template <size_t kBytes>
void gather_range(CodesView codes, RowSet set, size_t begin, size_t end, uint8_t* gathered, int64_t* rows) {
  const size_t n_bytes = kBytes != 0 ? kBytes : codes.n_bytes;
  for (size_t first = begin; first < end; first += 64) {
    if (first % kRowsPerPoll == 0) poll_stop();
    for (uint64_t word = word_at(set, first, end); word != 0; word &= word - 1) {
      const size_t row = first + static_cast<size_t>(__builtin_ctzll(word));
      std::memcpy(gathered, codes.row(row), n_bytes);
      gathered += n_bytes;
      *rows++ = static_cast<int64_t>(row);
    }
  }
}

}  // namespace

size_t count_rows(RowSet set, size_t n_rows) {
  size_t n = 0;
  in_chunks(n_rows, kRowsPerTask, [&](size_t first, size_t last) { n += count_range(set, first, last); });
  return n;
}

void gather_rows(CodesView codes, RowSet set, size_t n_threads, uint8_t* gathered, int64_t* rows) {
  const size_t n_tasks = (codes.n_codes + kRowsPerTask - 1) / kRowsPerTask;
  const auto end_of = [&](size_t task) { return std::min((task + 1) * kRowsPerTask, codes.n_codes); };
  std::vector<size_t> starts(n_tasks + 1);
  for (size_t i = 0; i < n_tasks; ++i) starts[i + 1] = starts[i] + count_range(set, i * kRowsPerTask, end_of(i));
  const auto gather = codes.n_bytes == 8    ? gather_range<8>
                      : codes.n_bytes == 16 ? gather_range<16>
                      : codes.n_bytes == 32 ? gather_range<32>
                                            : gather_range<0>;
  parallel_for(n_tasks, n_threads, [&](size_t i) {
    gather(codes, set, i * kRowsPerTask, end_of(i), gathered + starts[i] * codes.n_bytes, rows + starts[i]);
  });
}

}  // namespace hashkit
