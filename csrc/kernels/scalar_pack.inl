// Packs one value at a time. Included inside an instruction set's namespace: the whole kernel of scalar instruction
// sets, and the last bits of a row in the others.

HASHKIT_ALWAYS_INLINE bool is_set(float value) noexcept {
  return value > 0.0f;
}
// IEEE binary16: positive and not zero, up to infinity (0x7C00); values above are NaN or negative.
HASHKIT_ALWAYS_INLINE bool is_set(uint16_t half_bits) noexcept {
  return half_bits > 0 && half_bits <= 0x7C00;
}
HASHKIT_ALWAYS_INLINE bool is_set(uint8_t byte) noexcept {
  return byte != 0;
}

// Whether any of n <= 4,096 values is not a number. Sums instead of an early return, so that the loops are vectorized.
HASHKIT_ALWAYS_INLINE bool has_nan(const float* values, size_t n) noexcept {
  int n_nan = 0;
  for (size_t i = 0; i < n; ++i) n_nan += values[i] != values[i];
  return n_nan != 0;
}
HASHKIT_ALWAYS_INLINE bool has_nan(const uint16_t* half_bits, size_t n) noexcept {
  uint16_t n_nan = 0;
  for (size_t i = 0; i < n; ++i) n_nan = static_cast<uint16_t>(n_nan + ((half_bits[i] & 0x7FFF) > 0x7C00));
  return n_nan != 0;
}
HASHKIT_ALWAYS_INLINE bool has_nan(const uint8_t*, size_t) noexcept {
  return false;
}

// Bits [first_bit, n_bits) of a code, first_bit a multiple of 8; the padding of the last byte is zero.
template <class Value>
HASHKIT_ALWAYS_INLINE void pack_from(const Value* values, size_t first_bit, size_t n_bits, uint8_t* code) noexcept {
  for (size_t start = first_bit; start < n_bits; start += 8) {
    const size_t n = n_bits - start < 8 ? n_bits - start : 8;
    unsigned byte = 0;
    for (size_t i = 0; i < n; ++i) byte |= static_cast<unsigned>(is_set(values[start + i])) << (7 - i);
    code[start / 8] = static_cast<uint8_t>(byte);
  }
}

// A whole code.
template <class Value>
bool pack(const Value* values, size_t n_bits, uint8_t* code) noexcept {
  pack_from(values, 0, n_bits, code);
  return has_nan(values, n_bits);
}
