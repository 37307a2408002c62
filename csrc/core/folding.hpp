// Sketches of codes: the xor of a code's parts. Differing bits at the same place of two parts cancel out, so the
// Hamming distance of two sketches is at most that of their codes.
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
