// Loads of values without instructions for them. Included within an instruction set's namespace, which defines Floats.

HASHKIT_ALWAYS_INLINE float to_float(float value) noexcept {
  return value;
}
HASHKIT_ALWAYS_INLINE float to_float(int8_t value) noexcept {
  return static_cast<float>(value);
}
HASHKIT_ALWAYS_INLINE float from_bits(uint32_t bits) noexcept {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
HASHKIT_ALWAYS_INLINE float to_float(Bfloat value) noexcept {
  return from_bits(static_cast<uint32_t>(value.bits) << 16);
}
// The exponent's bias differs by 112; multiplying by 2^112 is exact, also for subnormal numbers. Infinity and NaN have
// the largest exponent in both.
HASHKIT_ALWAYS_INLINE float to_float(Half value) noexcept {
  const uint32_t magnitude = (value.bits & 0x7fffu) << 13, sign = (value.bits & 0x8000u) << 16;
  if (magnitude >= 0x0f800000u) return from_bits(sign | 0x70000000u | magnitude);
  const float scaled = from_bits(magnitude) * 0x1p112f;
  uint32_t bits;
  std::memcpy(&bits, &scaled, 4);
  return from_bits(sign | bits);
}

template <class Value>
HASHKIT_ALWAYS_INLINE Floats load(const Value* values) noexcept {
  constexpr size_t kValues = sizeof(Floats) / sizeof(float);
  Value copies[kValues];  // rows of a mapped file may lie anywhere
  std::memcpy(copies, values, sizeof copies);
  Floats vec{};  // each value is set below, which gcc does not see where the thread sanitizer watches
  for (size_t i = 0; i < kValues; ++i) vec[i] = to_float(copies[i]);
  return vec;
}
