// The form in which the core takes codes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hashkit {

// Packed codes in consecutive rows; borrowed, never owned.
struct CodesView {
  const uint8_t* data;
  size_t n_codes;
  size_t n_bytes;

  const uint8_t* row(size_t i) const noexcept { return data + i * n_bytes; }
};

}  // namespace hashkit
