// Scans with a population count per 64-bit lane (VPOPCNTDQ), for the inside of avx512's namespace.
//
// A tile holds groups of kSpan codes by word: word 0 of 8 codes, word 0 of the next 8, ..., then word 1. A vector has
// one word of 8 codes, so that the sum over words needs no addition across lanes. kQueries x kBlocks sums in registers;
// the smallest sum of a query's blocks is compared once. Per 8 words: xor, popcount and addition or minimum, three
// instructions for two ports.

constexpr size_t kQueries = 4;
constexpr size_t kBlocks = 4;
constexpr size_t kSpan = 8 * kBlocks;

using Sums = __m512i[kQueries][kBlocks];

size_t words_of(size_t n_bytes) noexcept {
  return (n_bytes + 7) / 8;
}

size_t tile_codes(size_t n_bytes) noexcept {  // 24 KiB, so that it stays in L1; at least one span
  const size_t n_spans = 24576 / (8 * words_of(n_bytes) * kSpan);
  return kSpan * (n_spans < 1 ? 1 : n_spans > kMaxTileCodes / kSpan ? kMaxTileCodes / kSpan : n_spans);
}

size_t tile_bytes(size_t n_bytes) noexcept {
  return tile_codes(n_bytes) * 8 * words_of(n_bytes);
}

// Word w of a code, bytes past its end zero.
HASHKIT_ALWAYS_INLINE uint64_t word_of(const uint8_t* code, size_t w, size_t n_bytes) noexcept {
  if (8 * w + 8 <= n_bytes) return load_word(code + 8 * w);
  return load_short(code + 8 * w, n_bytes - 8 * w);
}

void fill_tile(const uint8_t* codes, size_t n_codes, size_t n_bytes, uint8_t* tile) noexcept {
  const size_t n_words = words_of(n_bytes);
  auto* words = reinterpret_cast<uint64_t*>(tile);
  for (size_t row = 0; row < (n_codes + kSpan - 1) / kSpan * kSpan; ++row) {
    uint64_t* column = words + row / kSpan * kSpan * n_words + row % kSpan;
    for (size_t w = 0; w < n_words; ++w) {
      column[w * kSpan] = row < n_codes ? word_of(codes + row * n_bytes, w, n_bytes) : 0;
    }
  }
}

// The mask of the lanes of each block within the limit, written as hits; rows before n_codes only.
size_t write_hits(const Sums& sums, size_t n_queries, const int* limits, size_t first_row, size_t n_codes,
                  Hit* hits) noexcept {
  size_t n_hits = 0;
  for (size_t q = 0; q < n_queries; ++q) {
    for (size_t b = 0; b < kBlocks; ++b) {
      unsigned mask = _mm512_cmple_epi64_mask(sums[q][b], _mm512_set1_epi64(limits[q]));
      if (mask == 0) continue;
      uint64_t distances[8];
      _mm512_storeu_si512(distances, sums[q][b]);
      for (; mask != 0; mask &= mask - 1) {
        const auto lane = static_cast<size_t>(__builtin_ctz(mask));
        const size_t row = first_row + 8 * b + lane;
        if (row >= n_codes) break;
        hits[n_hits++] =
            Hit{static_cast<uint32_t>(row), static_cast<uint16_t>(q), static_cast<uint16_t>(distances[lane])};
      }
    }
  }
  return n_hits;
}

HASHKIT_ALWAYS_INLINE bool any_within(const Sums& sums, const __m512i (&limits)[kQueries]) noexcept {
  unsigned mask = 0;
  for (size_t q = 0; q < kQueries; ++q) {
    __m512i least = sums[q][0];
    for (size_t b = 1; b < kBlocks; ++b) least = _mm512_min_epu32(least, sums[q][b]);  // high halves are zero
    mask |= _mm512_cmple_epi64_mask(least, limits[q]);
  }
  return mask != 0;
}

HASHKIT_ALWAYS_INLINE void add_word(const uint64_t* words, const uint64_t* query_words, Sums& sums) noexcept {
  for (size_t b = 0; b < kBlocks; ++b) {
    const __m512i code = _mm512_loadu_si512(words + 8 * b);
    for (size_t q = 0; q < kQueries; ++q) {
      const __m512i query = _mm512_set1_epi64(static_cast<long long>(query_words[q]));
      sums[q][b] = _mm512_add_epi64(sums[q][b], _mm512_popcnt_epi64(_mm512_xor_si512(code, query)));
    }
  }
}

// query_words is [word][query]. kWords = 0 stands for any number; a span is left as soon as no sum is within its limit.
template <size_t kWords>
size_t scan_spans(const uint64_t* query_words, size_t n_queries, const uint64_t* words, size_t n_codes, size_t n_words,
                  const int* limits, Hit* hits) noexcept {
  if (kWords != 0) n_words = kWords;
  __m512i bounds[kQueries];
  for (size_t q = 0; q < kQueries; ++q) bounds[q] = _mm512_set1_epi64(q < n_queries ? limits[q] : -1);
  size_t n_hits = 0;
  for (size_t row = 0; row < n_codes; row += kSpan, words += kSpan * n_words) {
    Sums sums = {};
    bool passes = true;
    for (size_t w = 0; w < n_words && passes; ++w) {
      add_word(words + w * kSpan, query_words + w * kQueries, sums);
      if (w % 2 == 1 || w + 1 == n_words) passes = any_within(sums, bounds);
    }
    if (passes) n_hits += write_hits(sums, n_queries, limits, row, n_codes, hits + n_hits);
  }
  return n_hits;
}

size_t scan_tile(const uint8_t* queries, size_t n_queries, const uint8_t* tile, size_t n_codes, size_t n_bytes,
                 const int* limits, Hit* hits) noexcept {
  uint64_t query_words[kMaxBytes / 8 * kQueries];
  const size_t n_words = words_of(n_bytes);
  for (size_t w = 0; w < n_words; ++w) {
    for (size_t q = 0; q < kQueries; ++q) {
      query_words[w * kQueries + q] = word_of(queries + (q < n_queries ? q : 0) * n_bytes, w, n_bytes);
    }
  }
  const auto* words = reinterpret_cast<const uint64_t*>(tile);
  switch (n_words) {
    case 1:
      return scan_spans<1>(query_words, n_queries, words, n_codes, n_words, limits, hits);
    case 2:
      return scan_spans<2>(query_words, n_queries, words, n_codes, n_words, limits, hits);
    case 4:
      return scan_spans<4>(query_words, n_queries, words, n_codes, n_words, limits, hits);
    default:
      return scan_spans<0>(query_words, n_queries, words, n_codes, n_words, limits, hits);
  }
}

// One query over rows of one word: 8 codes per vector, no tile needed. Other widths are scanned word by word.
size_t scan_rows(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, int limit,
                 Hit* hits) noexcept {
  if (n_bytes != 8) return scan(query, codes, n_codes, n_bytes, limit, hits);
  const __m512i wanted = _mm512_set1_epi64(static_cast<long long>(load_word(query)));
  const __m512i bound = _mm512_set1_epi64(limit);
  size_t n_hits = 0, i = 0;
  for (; i + 8 <= n_codes; i += 8) {
    const __m512i counts = _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(codes + 8 * i), wanted));
    unsigned mask = _mm512_cmple_epi64_mask(counts, bound);
    if (__builtin_expect(mask == 0, 1)) continue;
    uint64_t distances[8];
    _mm512_storeu_si512(distances, counts);
    for (; mask != 0; mask &= mask - 1) {
      const auto lane = static_cast<size_t>(__builtin_ctz(mask));
      hits[n_hits++] = Hit{static_cast<uint32_t>(i + lane), 0, static_cast<uint16_t>(distances[lane])};
    }
  }
  const size_t n_rest = scan(query, codes + 8 * i, n_codes - i, n_bytes, limit, hits + n_hits);
  for (size_t j = 0; j < n_rest; ++j) hits[n_hits + j].row += static_cast<uint32_t>(i);
  return n_hits + n_rest;
}
