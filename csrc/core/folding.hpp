// Sketches of codes: a code's bytes laid over each other by xor. Two bits that differ lie over the same place or not,
// so the Hamming distance of two sketches is never larger than that of their codes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/codes_view.hpp"

namespace hashkit {

// Writes n_folded bytes; n_folded <= n_bytes.
inline void fold_code(const uint8_t* code, size_t n_bytes, size_t n_folded, uint8_t* folded) noexcept {
  std::copy_n(code, n_folded, folded);
  for (size_t i = n_folded; i < n_bytes; i += n_folded) {
    const size_t n = std::min(n_folded, n_bytes - i);
    for (size_t j = 0; j < n; ++j) folded[j] ^= code[i + j];
  }
}

}  // namespace hashkit
