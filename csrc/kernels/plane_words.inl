// PlaneCounter by words of 64 bits. Included within an instruction set's namespace, which gives popcount64.
struct PlaneCounter {
  const uint8_t* planes;
  size_t n_planes, n_bytes;

  PlaneCounter(const PlaneQuery& query, size_t code_bytes) noexcept
      : planes(query.planes), n_planes(query.n_planes), n_bytes(code_bytes) {}

  HASHKIT_ALWAYS_INLINE static uint64_t load_word(const uint8_t* p, size_t n) noexcept {
    uint64_t word = 0;
    std::memcpy(&word, p, n);
    return word;
  }

  HASHKIT_ALWAYS_INLINE uint32_t operator()(const uint8_t* code) const noexcept {
    uint64_t sum = 0;
    size_t i = 0;
    for (; i + 8 <= n_bytes; i += 8) sum += weigh(load_word(code + i, 8), i);
    if (i < n_bytes) sum += weigh(load_word(code + i, n_bytes - i), i);
    return static_cast<uint32_t>(sum);
  }

  // By Horner's rule, from the most significant plane down.
  HASHKIT_ALWAYS_INLINE uint64_t weigh(uint64_t word, size_t i) const noexcept {
    const size_t stride = plane_bytes(n_bytes);
    uint64_t sum = 0;
    for (size_t p = n_planes; p-- > 0;) sum = 2 * sum + popcount64(word ^ load_word(planes + p * stride + i, 8));
    return sum;
  }
};
