// x86-64 with AVX2 (2013 and later). A batch is scanned by bit slices. A single query uses a table look-up of nibbles
// with four codes in a vector: on Zen 3 it takes 256 us for 1,000,000 codes of 64 bits, POPCNT 416 us.
#include "cpu/target.hpp"

#if defined(HASHKIT_X86)
#  include <immintrin.h>

#  include <algorithm>
#  include <cstring>

#  include "kernels/kernel_table.hpp"

HASHKIT_TARGET_BEGIN("avx2,popcnt")
namespace hashkit::avx2 {
namespace {

HASHKIT_ALWAYS_INLINE uint64_t popcount64(uint64_t x) noexcept {
  return static_cast<uint64_t>(_mm_popcnt_u64(x));
}

using Vec = uint64_t __attribute__((vector_size(32)));

HASHKIT_ALWAYS_INLINE bool all_bits(Vec v) noexcept {
  return _mm256_testc_si256(reinterpret_cast<__m256i>(v), _mm256_set1_epi32(-1));
}

#  include "kernels/scalar_kernels.inl"
#  include "kernels/bit_slices.inl"
#  include "kernels/scalar_pack.inl"
#  include "kernels/base_table.inl"

// Bits set in every byte, by look-up of its two nibbles (Mula, Kurz, Lemire 2018).
HASHKIT_ALWAYS_INLINE __m256i count_bytes(__m256i v) noexcept {
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  return _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(v, low)),
                         _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
}

HASHKIT_ALWAYS_INLINE __m256i load_row(const uint8_t* p) noexcept {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

// Returns a mask of all or none of 4 * kFours codes of kWords words: all if any may be within the limit. A vector holds
// the same word of four codes, so bytes are summed over words, and one sum across lanes serves four codes.
template <size_t kWords, size_t kFours>
struct AnyWithin {
  static constexpr int kMost = 64 * kWords;
  __m256i query[kWords];
  __m256i bound;  // limit + 1 in every low half; no sum's high half, which is 0, is below the 0 there

  AnyWithin(const uint8_t* bytes, int limit) noexcept
      : bound(_mm256_set1_epi64x(limit < 0       ? 0
                                 : limit < kMost ? limit + 1
                                                 : kMost + 1)) {
    for (size_t w = 0; w < kWords; ++w) query[w] = _mm256_set1_epi64x(static_cast<long long>(load_word(bytes + 8 * w)));
  }

  HASHKIT_ALWAYS_INLINE static void load_four(const uint8_t* codes, __m256i (&words)[kWords]) noexcept {
    if constexpr (kWords == 1) {
      words[0] = load_row(codes);
    } else if constexpr (kWords == 2) {
      const __m256i a = load_row(codes), b = load_row(codes + 32);
      words[0] = _mm256_unpacklo_epi64(a, b);
      words[1] = _mm256_unpackhi_epi64(a, b);
    } else {
      const __m256i a = load_row(codes), b = load_row(codes + 32), c = load_row(codes + 64), d = load_row(codes + 96);
      const __m256i ab0 = _mm256_unpacklo_epi64(a, b), ab1 = _mm256_unpackhi_epi64(a, b);
      const __m256i cd0 = _mm256_unpacklo_epi64(c, d), cd1 = _mm256_unpackhi_epi64(c, d);
      words[0] = _mm256_permute2x128_si256(ab0, cd0, 0x20);
      words[1] = _mm256_permute2x128_si256(ab1, cd1, 0x20);
      words[2] = _mm256_permute2x128_si256(ab0, cd0, 0x31);
      words[3] = _mm256_permute2x128_si256(ab1, cd1, 0x31);
    }
  }

  HASHKIT_ALWAYS_INLINE uint32_t operator()(const uint8_t* codes) const noexcept {
    __m256i any = _mm256_setzero_si256();
    for (size_t i = 0; i < kFours; ++i) {
      __m256i words[kWords], counts = _mm256_setzero_si256();
      load_four(codes + 32 * kWords * i, words);
      for (size_t w = 0; w < kWords; ++w) {
        counts = _mm256_add_epi8(counts, count_bytes(_mm256_xor_si256(words[w], query[w])));
      }
      any = _mm256_or_si256(any, _mm256_cmpgt_epi32(bound, _mm256_sad_epu8(counts, _mm256_setzero_si256())));
    }
    return _mm256_testz_si256(any, any) ? 0 : (1u << 4 * kFours) - 1;
  }
};

template <size_t kWords, size_t kFours>
size_t scan_words(const uint8_t* query, const uint8_t* codes, size_t n_codes, int limit, Hit* hits) noexcept {
  return scan_steps<4 * kFours>(AnyWithin<kWords, kFours>(query, limit), WordsDistance<kWords>(query), codes, n_codes,
                                8 * kWords, limit, hits);
}

// Returns a mask of the codes within the limit, of four codes of 33 to 48 bytes. A vector has 16 bytes of two codes:
// the first, the second and the last, of which those that the second has too are masked out. On Zen 3, 59,000 codes of
// 384 bits, as many as small sentence models have dimensions, take 99 us, by POPCNT 123 us.
struct MiddleWithin {
  size_t n_bytes;
  __m256i query[3], is_rest;
  __m256i bound;  // limit + 1 in every lane

  MiddleWithin(const uint8_t* bytes, size_t code_bytes, int limit) noexcept
      : n_bytes(code_bytes), bound(_mm256_set1_epi64x(int64_t{std::max(limit, -1)} + 1)) {
    for (size_t third = 0; third < 3; ++third) query[third] = load_two(bytes, bytes, third);
    uint8_t mask[16];
    for (size_t i = 0; i < 16; ++i) mask[i] = i + n_bytes >= 48 ? 255 : 0;
    is_rest = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(mask)));
  }

  HASHKIT_ALWAYS_INLINE __m256i load_two(const uint8_t* a, const uint8_t* b, size_t third) const noexcept {
    const size_t at = third < 2 ? 16 * third : n_bytes - 16;
    return _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(b + at), reinterpret_cast<const __m128i*>(a + at));
  }

  // Sums for two codes, two in each half.
  HASHKIT_ALWAYS_INLINE __m256i sums_of(const uint8_t* a, const uint8_t* b) const noexcept {
    const __m256i x = _mm256_xor_si256(load_two(a, b, 0), query[0]);
    const __m256i y = _mm256_xor_si256(load_two(a, b, 1), query[1]);
    const __m256i z = _mm256_and_si256(_mm256_xor_si256(load_two(a, b, 2), query[2]), is_rest);
    const __m256i counts = _mm256_add_epi8(_mm256_add_epi8(count_bytes(x), count_bytes(y)), count_bytes(z));
    return _mm256_sad_epu8(counts, _mm256_setzero_si256());
  }

  HASHKIT_ALWAYS_INLINE uint32_t operator()(const uint8_t* codes) const noexcept {
    const __m256i of_0_2 = sums_of(codes, codes + 2 * n_bytes);
    const __m256i of_1_3 = sums_of(codes + n_bytes, codes + 3 * n_bytes);
    const __m256i distances =
        _mm256_add_epi64(_mm256_unpacklo_epi64(of_0_2, of_1_3), _mm256_unpackhi_epi64(of_0_2, of_1_3));
    return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(bound, distances))));
  }
};

// Masks are looked at after a round of steps. Among candidates for an estimate one step in ten has a code within the
// limit: a branch on each would be mispredicted as often, by which a scan took 1.3 times as long. Inlined, it costs the
// scan of longer codes 8 % more instructions, compiled by clang.
__attribute__((noinline)) size_t scan_middle(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes,
                                             int limit, Hit* hits) noexcept {
  constexpr size_t kStep = 4, kRound = 64;
  const MiddleWithin passes(query, n_bytes, limit);
  const BytesDistance distance(query, n_bytes);
  size_t n_hits = 0, i = 0;
  while (i + kStep <= n_codes) {
    size_t rows[kRound], n_marked = 0;
    uint32_t masks[kRound];
    for (size_t step = 0; step < kRound && i + kStep <= n_codes; ++step, i += kStep) {
      const uint8_t* at = codes + i * n_bytes;
      for (size_t line = 0; line < kStep * 48; line += 64) __builtin_prefetch(at + 1024 + line);  // as scan_steps does
      rows[n_marked] = i;
      masks[n_marked] = passes(at);
      n_marked += masks[n_marked] != 0 ? 1 : 0;
    }
    for (size_t m = 0; m < n_marked; ++m) {
      n_hits += write_passing(distance, codes + rows[m] * n_bytes, masks[m], n_bytes, limit, rows[m], hits + n_hits);
    }
  }
  const auto rest = static_cast<uint32_t>((1u << (n_codes - i)) - 1);
  return n_hits + write_passing(distance, codes + i * n_bytes, rest, n_bytes, limit, i, hits + n_hits);
}

// Returns a mask of the codes of 64 bytes that are within the limit, for codes of 2 or 4 bytes, one in a lane.
template <size_t kBytes>
struct ShortWithin {
  static constexpr size_t kStep = 64 / kBytes;
  __m256i query;
  __m256i bound;  // limit + 1 in every lane

  ShortWithin(const uint8_t* bytes, int limit) noexcept {
    static_assert(kBytes == 2 || kBytes == 4, "sums of two or four bytes are a lane");
    const auto code = static_cast<int>(load_short(bytes, kBytes));
    const int above = limit < 0 ? 0 : limit < 32 ? limit + 1 : 33;
    query = kBytes == 2 ? _mm256_set1_epi16(static_cast<short>(code)) : _mm256_set1_epi32(code);
    bound = kBytes == 2 ? _mm256_set1_epi16(static_cast<short>(above)) : _mm256_set1_epi32(above);
  }

  HASHKIT_ALWAYS_INLINE __m256i within(const uint8_t* codes) const noexcept {
    const __m256i counts = count_bytes(_mm256_xor_si256(load_row(codes), query));
    const __m256i pairs = _mm256_maddubs_epi16(counts, _mm256_set1_epi8(1));
    if constexpr (kBytes == 2) return _mm256_cmpgt_epi16(bound, pairs);
    return _mm256_cmpgt_epi32(bound, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }

  HASHKIT_ALWAYS_INLINE uint32_t operator()(const uint8_t* codes) const noexcept {
    const __m256i a = within(codes), b = within(codes + 32);
    if constexpr (kBytes == 2) {  // packs works within 128-bit halves
      return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xD8)));
    }
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(a)) | _mm256_movemask_ps(_mm256_castsi256_ps(b))
                                                                                  << 8);
  }
};

template <size_t kBytes>
size_t scan_short(const uint8_t* query, const uint8_t* codes, size_t n_codes, int limit, Hit* hits) noexcept {
  using Within = ShortWithin<kBytes>;
  return scan_steps<Within::kStep>(Within(query, limit), ShortDistance(query, kBytes), codes, n_codes, kBytes, limit,
                                   hits);
}

// Distance to one query for long codes: 32 bytes at a time, then the rest by words. Byte counts are summed over the
// whole code: at most 16 vectors of up to 8 per byte. Full adders before counting (Harley-Seal) gain nothing up to
// 2,048 bits and 8 % at 4,096 (Zen 4, in cache): there are too few vectors to pay for counting each plane.
struct LongDistance {
  const uint8_t* query;
  size_t n_bytes;

  HASHKIT_ALWAYS_INLINE int operator()(const uint8_t* code) const noexcept {
    static_assert(kMaxBytes / 32 * 8 < 256, "the sums of bytes fit bytes");
    __m256i counts = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 32 <= n_bytes; i += 32) {
      counts = _mm256_add_epi8(counts, count_bytes(_mm256_xor_si256(load_row(code + i), load_row(query + i))));
    }
    const __m256i sums = _mm256_sad_epu8(counts, _mm256_setzero_si256());
    const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    const auto total = static_cast<int>(_mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1));
    if (i == n_bytes) return total;
    return total + (n_bytes - i >= 8 ? BytesDistance(query + i, n_bytes - i)(code + i)
                                     : ShortDistance(query + i, n_bytes - i)(code + i));
  }
};

size_t scan_rows(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, int limit,
                 Hit* hits) noexcept {
  switch (n_bytes) {
    case 2:
      return scan_short<2>(query, codes, n_codes, limit, hits);
    case 4:
      return scan_short<4>(query, codes, n_codes, limit, hits);
    case 8:
      return scan_words<1, 4>(query, codes, n_codes, limit, hits);
    case 16:
      return scan_words<2, 2>(query, codes, n_codes, limit, hits);
    case 32:
      return scan_words<4, 1>(query, codes, n_codes, limit, hits);
    default:
      if (n_bytes > 32 && n_bytes <= 48) {
        return scan_middle(query, codes, n_codes, n_bytes, limit, hits);
      }
      if (n_bytes < 64) return scan(query, codes, n_codes, n_bytes, limit, hits);
      const LongDistance distance{query, n_bytes};
      const auto passes = [&](const uint8_t* code) noexcept { return static_cast<uint32_t>(distance(code) <= limit); };
      return scan_steps<1>(passes, distance, codes, n_codes, n_bytes, limit, hits);
  }
}

size_t scan_listed_rows(const uint8_t* query, const uint8_t* codes, const uint32_t* rows, const CodeRun* runs,
                        size_t n_runs, size_t n_bytes, int limit, Hit* hits) noexcept {
  if (n_bytes < 64) return scan_listed_runs(query, codes, rows, runs, n_runs, n_bytes, limit, hits);
  return scan_listed(LongDistance{query, n_bytes}, codes, rows, runs, n_runs, n_bytes, limit, hits);
}

void distances_rows(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, uint16_t* to) noexcept {
  if (n_bytes < 64) return distances(query, codes, n_codes, n_bytes, to);
  const LongDistance distance{query, n_bytes};
  for (size_t i = 0; i < n_codes; ++i) to[i] = static_cast<uint16_t>(distance(codes + i * n_bytes));
}

// Packs 32 bytes, each 0 or 255, into 32 bits. The first byte becomes the most significant bit of the code.
HASHKIT_ALWAYS_INLINE void store_bits(__m256i bytes, uint8_t* code) noexcept {
  const __m256i reversed = _mm256_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8,  //
                                            7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8);
  const int bits = _mm256_movemask_epi8(_mm256_shuffle_epi8(bytes, reversed));
  std::memcpy(code, &bits, sizeof bits);
}

// Where 16 values are > 0, 16 bits each, in the order that packs leaves them in. NaN is found in the same pass:
// one comparison of two vectors finds a NaN in either.
HASHKIT_ALWAYS_INLINE __m256i positive(const float* values, __m256& nan) noexcept {
  const __m256 a = _mm256_loadu_ps(values), b = _mm256_loadu_ps(values + 8), zero = _mm256_setzero_ps();
  nan = _mm256_or_ps(nan, _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
  return _mm256_packs_epi32(_mm256_castps_si256(_mm256_cmp_ps(a, zero, _CMP_GT_OQ)),
                            _mm256_castps_si256(_mm256_cmp_ps(b, zero, _CMP_GT_OQ)));
}

bool pack_float32(const float* values, size_t n_bits, uint8_t* code) noexcept {
  // packs works within 128-bit halves; this order of the four-byte groups undoes what two of them mix up.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  __m256 nan = _mm256_setzero_ps();
  size_t i = 0;
  for (; i + 32 <= n_bits; i += 32) {
    const __m256i first = positive(values + i, nan), second = positive(values + i + 16, nan);
    store_bits(_mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), order), code + i / 8);
  }
  pack_from(values, i, n_bits, code);
  return _mm256_movemask_ps(nan) != 0 || has_nan(values + i, n_bits - i);
}

HASHKIT_ALWAYS_INLINE __m256i positive(const uint16_t* half_bits, __m256i& nan) noexcept {
  const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(half_bits));
  const __m256i is_nan = _mm256_cmpgt_epi16(_mm256_and_si256(v, _mm256_set1_epi16(0x7FFF)), _mm256_set1_epi16(0x7C00));
  nan = _mm256_or_si256(nan, is_nan);
  return _mm256_andnot_si256(is_nan, _mm256_cmpgt_epi16(v, _mm256_setzero_si256()));
}

bool pack_float16(const uint16_t* values, size_t n_bits, uint8_t* code) noexcept {
  __m256i nan = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 32 <= n_bits; i += 32) {
    const __m256i bytes = _mm256_packs_epi16(positive(values + i, nan), positive(values + i + 16, nan));
    store_bits(_mm256_permute4x64_epi64(bytes, 0xD8), code + i / 8);
  }
  pack_from(values, i, n_bits, code);
  return !_mm256_testz_si256(nan, nan) || has_nan(values + i, n_bits - i);
}

bool pack_bytes(const uint8_t* values, size_t n_bits, uint8_t* code) noexcept {
  const __m256i zero = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 32 <= n_bits; i += 32) {
    const __m256i is_zero = _mm256_cmpeq_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i)), zero);
    store_bits(_mm256_cmpeq_epi8(is_zero, zero), code + i / 8);
  }
  pack_from(values, i, n_bits, code);
  return false;
}

constexpr KernelTable make_table() noexcept {
  KernelTable table = base_table(Isa::kAvx2);
  table.distances = distances_rows;
  table.scan = scan_rows;
  table.scan_listed_runs = scan_listed_rows;
  table.pack_float32 = pack_float32;
  table.pack_float16 = pack_float16;
  table.pack_bytes = pack_bytes;
  return table;
}

}  // namespace

extern const KernelTable kTable;
constexpr KernelTable kTable = make_table();

}  // namespace hashkit::avx2
HASHKIT_TARGET_END
#endif
