// Packs values into codes and unpacks them, with several threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.hpp"

namespace hashkit {

// `values` is (n_rows, n_bits), `codes` (n_rows, ceil(n_bits / 8)). Returns the first row with NaN, or n_rows if there
// is none. Codes after a row with NaN may not be written.
size_t pack_rows(const KernelTable& kernels, const float* values, size_t n_rows, size_t n_bits, size_t n_threads,
                 uint8_t* codes);
size_t pack_rows(const KernelTable& kernels, const uint16_t* half_bits, size_t n_rows, size_t n_bits, size_t n_threads,
                 uint8_t* codes);
size_t pack_rows(const KernelTable& kernels, const uint8_t* bytes, size_t n_rows, size_t n_bits, size_t n_threads,
                 uint8_t* codes);

// bits is (n_rows, n_bits), each byte 0 or 1.
void unpack_rows(const uint8_t* codes, size_t n_rows, size_t n_bits, size_t n_threads, uint8_t* bits);

// The bits of n_bytes bytes, most significant first, as 8 * n_bytes bytes of 0 or 1.
void spread_bytes(const uint8_t* bytes, size_t n_bytes, uint8_t* bits) noexcept;

}  // namespace hashkit
