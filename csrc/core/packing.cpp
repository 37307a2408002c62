#include "core/packing.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kValuesPerTask = 1 << 20;  // fewer are not worth a thread

template <class Task>
void for_row_ranges(size_t n_rows, size_t n_bits, size_t n_threads, const Task& task) {
  const size_t step = std::max<size_t>(1, kValuesPerTask / n_bits);
  parallel_for((n_rows + step - 1) / step, n_threads,
               [&](size_t i) { task(i * step, std::min((i + 1) * step, n_rows)); });
}

template <class Value, class Pack>
size_t pack_all(Pack pack, const Value* values, size_t n_rows, size_t n_bits, size_t n_threads, uint8_t* codes) {
  const size_t n_bytes = (n_bits + 7) / 8;
  std::atomic<size_t> first_nan{n_rows};
  for_row_ranges(n_rows, n_bits, n_threads, [=, &first_nan](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      if (!pack(values + row * n_bits, n_bits, codes + row * n_bytes)) continue;
      for (size_t first = first_nan; row < first && !first_nan.compare_exchange_weak(first, row);) {
      }
      return;
    }
  });
  return first_nan;
}

// The 8 bits of a byte as 8 bytes of 0 or 1, most significant first: the byte is copied eight times by a
// multiplication, each copy keeps its own bit, and adding 0x7F carries that bit to the top of its byte.
uint64_t spread_bits(uint8_t byte) noexcept {
  const uint64_t kept = (byte * 0x0101010101010101u) & 0x0102040810204080u;
  return ((kept + 0x7F7F7F7F7F7F7F7Fu) >> 7) & 0x0101010101010101u;
}

}  // namespace

void spread_bytes(const uint8_t* bytes, size_t n_bytes, uint8_t* bits) noexcept {
  for (size_t i = 0; i < n_bytes; ++i) {
    const uint64_t spread = spread_bits(bytes[i]);  // little-endian: lowest byte first
    std::memcpy(bits + 8 * i, &spread, sizeof spread);
  }
}

size_t pack_rows(const KernelTable& kernels, const float* values, size_t n_rows, size_t n_bits, size_t n_threads,
                 uint8_t* codes) {
  return pack_all(kernels.pack_float32, values, n_rows, n_bits, n_threads, codes);
}

size_t pack_rows(const KernelTable& kernels, const uint16_t* half_bits, size_t n_rows, size_t n_bits, size_t n_threads,
                 uint8_t* codes) {
  return pack_all(kernels.pack_float16, half_bits, n_rows, n_bits, n_threads, codes);
}

size_t pack_rows(const KernelTable& kernels, const uint8_t* bytes, size_t n_rows, size_t n_bits, size_t n_threads,
                 uint8_t* codes) {
  return pack_all(kernels.pack_bytes, bytes, n_rows, n_bits, n_threads, codes);
}

void unpack_rows(const uint8_t* codes, size_t n_rows, size_t n_bits, size_t n_threads, uint8_t* bits) {
  const size_t n_bytes = (n_bits + 7) / 8;
  for_row_ranges(n_rows, n_bits, n_threads, [=](size_t begin, size_t end) {
    if (n_bits % 8 == 0) {  // rows follow each other without a gap: one long row
      spread_bytes(codes + begin * n_bytes, (end - begin) * n_bytes, bits + begin * n_bits);
      return;
    }
    for (size_t row = begin; row < end; ++row) {
      const uint8_t* code = codes + row * n_bytes;
      spread_bytes(code, n_bytes - 1, bits + row * n_bits);
      const uint64_t last = spread_bits(code[n_bytes - 1]);
      std::memcpy(bits + row * n_bits + n_bits / 8 * 8, &last, n_bits % 8);
    }
  });
}

}  // namespace hashkit
