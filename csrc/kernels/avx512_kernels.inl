// Kernels that both forms of AVX-512 share, included inside their namespaces. The includer defines
//   count_words(__m512i)  the bits set in every 64-bit word
// and popcount64(uint64_t), and has opened the target region and included what that needs.

using Vec = uint64_t __attribute__((vector_size(64)));

// One instruction each: exclusive or of three, and majority.
HASHKIT_ALWAYS_INLINE Vec add_bits(Vec a, Vec b, Vec c, Vec& carry) noexcept {
  const auto x = reinterpret_cast<__m512i>(a), y = reinterpret_cast<__m512i>(b), z = reinterpret_cast<__m512i>(c);
  carry = reinterpret_cast<Vec>(_mm512_ternarylogic_epi64(x, y, z, 0xE8));
  return reinterpret_cast<Vec>(_mm512_ternarylogic_epi64(x, y, z, 0x96));
}
HASHKIT_ALWAYS_INLINE bool all_bits(Vec v) noexcept {
  return _mm512_cmpeq_epi64_mask(reinterpret_cast<__m512i>(v), _mm512_set1_epi64(-1)) == 0xFF;
}

#include "kernels/scalar_kernels.inl"
#include "kernels/bit_slices.inl"
#include "kernels/scalar_pack.inl"
#include "kernels/base_table.inl"

// Sums of neighboring words: of a in even places, of b in odd ones.
HASHKIT_ALWAYS_INLINE __m512i add_pairs(__m512i a, __m512i b) noexcept {
  return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}
// Sums of neighboring quarters: of a in the lower half, of b in the upper one.
HASHKIT_ALWAYS_INLINE __m512i add_quarters(__m512i a, __m512i b) noexcept {
  return _mm512_add_epi64(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
}

// Distances of eight codes of kWords words to one query: every vector is compared with the same words of the query.
template <size_t kWords>
struct EightOfWords {
  static constexpr size_t kPatterns = kWords == 3 ? 3 : 1;
  __m512i query[kPatterns];

  EightOfWords(const uint8_t* bytes, size_t) noexcept {
    alignas(64) uint64_t words[8 * kPatterns];
    for (size_t i = 0; i < 8 * kPatterns; ++i) words[i] = load_word(bytes + 8 * (i % kWords));
    for (size_t i = 0; i < kPatterns; ++i) query[i] = _mm512_load_si512(words + 8 * i);
  }

  HASHKIT_ALWAYS_INLINE __m512i count(const uint8_t* codes, size_t i) const noexcept {
    return count_words(_mm512_xor_si512(_mm512_loadu_si512(codes + 64 * i), query[i % kPatterns]));
  }
  HASHKIT_ALWAYS_INLINE __m512i operator()(const uint8_t* codes) const noexcept {
    const __m512i a = count(codes, 0);
    if constexpr (kWords == 1) {
      return a;
    } else if constexpr (kWords == 2) {
      return add_pairs(a, count(codes, 1));
    } else if constexpr (kWords == 3) {
      const __m512i b = count(codes, 1), c = count(codes, 2);
      const __m512i sums = _mm512_add_epi64(every_third(a, b, c, 0), every_third(a, b, c, 1));
      return _mm512_add_epi64(sums, every_third(a, b, c, 2));
    } else {
      return add_quarters(add_pairs(a, count(codes, 1)), add_pairs(count(codes, 2), count(codes, 3)));
    }
  }
  HASHKIT_ALWAYS_INLINE static __m512i every_third(__m512i a, __m512i b, __m512i c, int start) noexcept {
    alignas(64) static constexpr long long kFromAB[3][8] = {
        {0, 3, 6, 9, 12, 15, 0, 0}, {1, 4, 7, 10, 13, 0, 0, 0}, {2, 5, 8, 11, 14, 0, 0, 0}};
    alignas(64) static constexpr long long kWithC[3][8] = {
        {0, 1, 2, 3, 4, 5, 10, 13}, {0, 1, 2, 3, 4, 8, 11, 14}, {0, 1, 2, 3, 4, 9, 12, 15}};
    const __m512i ab = _mm512_permutex2var_epi64(a, _mm512_load_si512(kFromAB[start]), b);
    return _mm512_permutex2var_epi64(ab, _mm512_load_si512(kWithC[start]), c);
  }
  // The position of each code's distance.
  static __m512i places() noexcept {
    return kWords == 2   ? _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7)
           : kWords == 4 ? _mm512_setr_epi64(0, 2, 1, 3, 4, 6, 5, 7)
                         : _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
  }
};

// The same for codes of any length. A vector holds 64 bytes of one code, the last vector up to 64 under a mask.
// kVectors = 0 stands for any number of vectors.
template <size_t kVectors>
struct EightOfBytes {
  const uint8_t* query;
  size_t n_bytes;
  size_t n_whole;  // vectors before the last
  __mmask64 mask;

  EightOfBytes(const uint8_t* bytes, size_t n_bytes) noexcept
      : query(bytes),
        n_bytes(n_bytes),
        n_whole(kVectors != 0 ? kVectors - 1 : (n_bytes - 1) / 64),
        mask(~uint64_t{0} >> (64 - (n_bytes - 64 * n_whole))) {}

  HASHKIT_ALWAYS_INLINE __m512i sums_of(const uint8_t* code) const noexcept {
    const size_t n = kVectors != 0 ? kVectors - 1 : n_whole;
    const __m512i last = _mm512_maskz_loadu_epi8(mask, query + 64 * n);
    __m512i sums = count_words(_mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, code + 64 * n), last));
    for (size_t i = 0; i < n; ++i) {
      const __m512i part = _mm512_loadu_si512(query + 64 * i);
      sums = _mm512_add_epi64(sums, count_words(_mm512_xor_si512(_mm512_loadu_si512(code + 64 * i), part)));
    }
    return sums;
  }
  HASHKIT_ALWAYS_INLINE __m512i operator()(const uint8_t* codes) const noexcept {
    __m512i sums[8];
    for (size_t i = 0; i < 8; ++i) sums[i] = sums_of(codes + i * n_bytes);
    return add_quarters(add_quarters(add_pairs(sums[0], sums[1]), add_pairs(sums[2], sums[3])),
                        add_quarters(add_pairs(sums[4], sums[5]), add_pairs(sums[6], sums[7])));
  }
  static __m512i places() noexcept { return _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7); }
};

// The same for codes of 4 bytes, each in a word of its own.
struct EightOfHalves {
  __m512i query;

  EightOfHalves(const uint8_t* bytes, size_t) noexcept
      : query(_mm512_set1_epi64(static_cast<long long>(load_half(bytes)))) {}

  HASHKIT_ALWAYS_INLINE __m512i operator()(const uint8_t* codes) const noexcept {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
    return count_words(_mm512_xor_si512(_mm512_cvtepu32_epi64(halves), query));
  }
  static __m512i places() noexcept { return _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7); }
};

// Lengths for which eight codes at a time are faster than one.
HASHKIT_ALWAYS_INLINE bool fits_eight(size_t n_bytes) noexcept {
  return n_bytes == 4 || n_bytes == 8 || n_bytes == 16 || n_bytes >= 24;
}

// Calls visit(distances of eight, distance of one) with the functors for codes of n_bytes.
template <class Visit>
HASHKIT_ALWAYS_INLINE auto with_eight(const uint8_t* query, size_t n_bytes, const Visit& visit) noexcept {
  switch (n_bytes) {
    case 4:
      return visit(EightOfHalves(query, n_bytes), ShortDistance(query, n_bytes));
    case 8:
      return visit(EightOfWords<1>(query, n_bytes), WordsDistance<1>(query));
    case 16:
      return visit(EightOfWords<2>(query, n_bytes), WordsDistance<2>(query));
    case 24:
      return visit(EightOfWords<3>(query, n_bytes), WordsDistance<3>(query));
    case 32:
      return visit(EightOfWords<4>(query, n_bytes), WordsDistance<4>(query));
    default:
      const BytesDistance distance(query, n_bytes);
      return n_bytes <= 64    ? visit(EightOfBytes<1>(query, n_bytes), distance)
             : n_bytes <= 128 ? visit(EightOfBytes<2>(query, n_bytes), distance)
                              : visit(EightOfBytes<0>(query, n_bytes), distance);
  }
}

size_t scan_rows(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, int limit,
                 Hit* hits) noexcept {
  if (!fits_eight(n_bytes)) return scan(query, codes, n_codes, n_bytes, limit, hits);
  return with_eight(query, n_bytes, [=](const auto& eight, const auto& distance) noexcept {
    const __m512i bound = _mm512_set1_epi64(limit), places = eight.places();
    const auto passes = [&](const uint8_t* step) noexcept {
      const __m512i first = eight(step), second = eight(step + 8 * n_bytes);
      const auto mask = [&](__m512i sums) noexcept { return uint32_t{_mm512_cmple_epi64_mask(sums, bound)}; };
      if (__builtin_expect((mask(first) | mask(second)) == 0, 1)) return uint32_t{0};
      return mask(_mm512_permutexvar_epi64(places, first)) | mask(_mm512_permutexvar_epi64(places, second)) << 8;
    };
    return scan_steps<16, 0>(passes, distance, codes, n_codes, n_bytes, limit, hits);
  });
}

void distances_rows(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, uint16_t* to) noexcept {
  if (!fits_eight(n_bytes)) return distances(query, codes, n_codes, n_bytes, to);
  with_eight(query, n_bytes, [=](const auto& eight, const auto& distance) noexcept {
    const __m512i places = eight.places();
    size_t i = 0;
    for (; i + 8 <= n_codes; i += 8) {
      const __m512i sums = _mm512_permutexvar_epi64(places, eight(codes + i * n_bytes));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm512_cvtsepi64_epi16(sums));
    }
    for (; i < n_codes; ++i) to[i] = static_cast<uint16_t>(distance(codes + i * n_bytes));
    return 0;
  });
}

// 64 bits, the first value the lowest, to bytes with the first value the most significant bit of the first byte.
HASHKIT_ALWAYS_INLINE void store_bits(uint64_t bits, uint8_t* code, size_t n_bytes) noexcept {
  bits = (bits >> 4 & 0x0F0F0F0F0F0F0F0Fu) | (bits & 0x0F0F0F0F0F0F0F0Fu) << 4;
  bits = (bits >> 2 & 0x3333333333333333u) | (bits & 0x3333333333333333u) << 2;
  bits = (bits >> 1 & 0x5555555555555555u) | (bits & 0x5555555555555555u) << 1;
  std::memcpy(code, &bits, n_bytes);
}

// NaN is found in the same pass: one comparison of two vectors finds a NaN in either.
bool pack_float32(const float* values, size_t n_bits, uint8_t* code) noexcept {
  const __m512 zero = _mm512_setzero_ps();
  unsigned nan = 0;
  size_t i = 0;
  for (; i + 64 <= n_bits; i += 64) {
    uint64_t bits = 0;
    for (size_t part = 0; part < 4; part += 2) {
      const __m512 a = _mm512_loadu_ps(values + i + 16 * part), b = _mm512_loadu_ps(values + i + 16 * part + 16);
      bits |= uint64_t{_mm512_cmp_ps_mask(a, zero, _CMP_GT_OQ)} << (16 * part);
      bits |= uint64_t{_mm512_cmp_ps_mask(b, zero, _CMP_GT_OQ)} << (16 * part + 16);
      nan |= _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q);
    }
    store_bits(bits, code + i / 8, 8);
  }
  pack_from(values, i, n_bits, code);
  return nan != 0 || has_nan(values + i, n_bits - i);
}

bool pack_float16(const uint16_t* values, size_t n_bits, uint8_t* code) noexcept {
  const __m512i zero = _mm512_setzero_si512(), infinity = _mm512_set1_epi16(0x7C00);
  const __m512i no_sign = _mm512_set1_epi16(0x7FFF);
  unsigned nan = 0;
  size_t i = 0;
  for (; i + 32 <= n_bits; i += 32) {
    const __m512i v = _mm512_loadu_si512(values + i);
    const auto is_nan = _mm512_cmpgt_epi16_mask(_mm512_and_si512(v, no_sign), infinity);
    store_bits(_mm512_cmpgt_epi16_mask(v, zero) & ~is_nan, code + i / 8, 4);
    nan |= is_nan;
  }
  pack_from(values, i, n_bits, code);
  return nan != 0 || has_nan(values + i, n_bits - i);
}

bool pack_bytes(const uint8_t* values, size_t n_bits, uint8_t* code) noexcept {
  size_t i = 0;
  for (; i + 64 <= n_bits; i += 64) {
    const __m512i v = _mm512_loadu_si512(values + i);
    store_bits(_mm512_test_epi8_mask(v, v), code + i / 8, 8);
  }
  pack_from(values, i, n_bits, code);
  return false;
}

constexpr KernelTable wide_table(Isa isa) noexcept {
  KernelTable table = base_table(isa);
  table.distances = distances_rows;
  table.scan = scan_rows;
  table.pack_float32 = pack_float32;
  table.pack_float16 = pack_float16;
  table.pack_bytes = pack_bytes;
  return table;
}
