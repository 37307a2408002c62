// Kernels on 64-bit words. Included inside an instruction set's namespace that defines popcount64(uint64_t). No include
// guard and no includes: the headers are included before the target region begins.

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "loads of words and halves take the first byte of a code for the lowest eight bits");

HASHKIT_ALWAYS_INLINE uint64_t load_word(const uint8_t* bytes) noexcept {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

HASHKIT_ALWAYS_INLINE uint64_t load_half(const uint8_t* bytes) noexcept {
  uint32_t half;
  std::memcpy(&half, bytes, sizeof half);
  return half;
}

// A short code of 1 to 7 bytes as a word. The pieces overlap, so nothing past the end is read.
HASHKIT_ALWAYS_INLINE uint64_t load_short(const uint8_t* bytes, size_t n_bytes) noexcept {
  if (n_bytes >= 4) return load_half(bytes) | load_half(bytes + n_bytes - 4) << (8 * (n_bytes - 4));
  return uint64_t{bytes[0]} | uint64_t{bytes[n_bytes / 2]} << (8 * (n_bytes / 2)) |
         uint64_t{bytes[n_bytes - 1]} << (8 * (n_bytes - 1));
}

// Distance to one query, for codes of kWords whole words: the query stays in registers.
template <size_t kWords>
struct WordsDistance {
  uint64_t query[kWords];

  explicit WordsDistance(const uint8_t* bytes) noexcept {
    for (size_t w = 0; w < kWords; ++w) query[w] = load_word(bytes + 8 * w);
  }
  HASHKIT_ALWAYS_INLINE int operator()(const uint8_t* code) const noexcept {
    uint64_t sum = 0;
    for (size_t w = 0; w < kWords; ++w) sum += popcount64(query[w] ^ load_word(code + 8 * w));
    return static_cast<int>(sum);
  }
};

// The same for codes of fewer than 8 bytes.
struct ShortDistance {
  size_t n_bytes;
  uint64_t query;

  ShortDistance(const uint8_t* bytes, size_t n_bytes) noexcept : n_bytes(n_bytes), query(load_short(bytes, n_bytes)) {}
  HASHKIT_ALWAYS_INLINE int operator()(const uint8_t* code) const noexcept {
    return static_cast<int>(popcount64(query ^ load_short(code, n_bytes)));
  }
};

// The same for 8 or more bytes. The last word may overlap the one before; the bits of the overlap are shifted out.
struct BytesDistance {
  const uint8_t* query;
  size_t n_words;
  size_t n_bytes;

  BytesDistance(const uint8_t* bytes, size_t n_bytes) noexcept : query(bytes), n_words(n_bytes / 8), n_bytes(n_bytes) {}
  HASHKIT_ALWAYS_INLINE int operator()(const uint8_t* code) const noexcept {
    uint64_t sum = 0;
    for (size_t w = 0; w < n_words; ++w) sum += popcount64(load_word(query + 8 * w) ^ load_word(code + 8 * w));
    if (const size_t tail = n_bytes % 8) {
      const uint64_t last = load_word(query + n_bytes - 8) ^ load_word(code + n_bytes - 8);
      sum += popcount64(last >> (8 * (8 - tail)));
    }
    return static_cast<int>(sum);
  }
};

// Calls visit(distance) with the fastest distance functor for codes of n_bytes.
template <class Visit>
HASHKIT_ALWAYS_INLINE auto with_distance(const uint8_t* query, size_t n_bytes, const Visit& visit) noexcept {
  switch (n_bytes) {
    case 8:
      return visit(WordsDistance<1>(query));
    case 16:
      return visit(WordsDistance<2>(query));
    case 24:
      return visit(WordsDistance<3>(query));
    case 32:
      return visit(WordsDistance<4>(query));
    case 48:  // 384 bits, as many as small sentence models have dimensions
      return visit(WordsDistance<6>(query));
    case 64:
      return visit(WordsDistance<8>(query));
    default:
      return n_bytes < 8 ? visit(ShortDistance(query, n_bytes)) : visit(BytesDistance(query, n_bytes));
  }
}

void distances(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes,
               uint16_t* distances) noexcept {
  with_distance(query, n_bytes, [=](const auto& distance) noexcept {
    for (size_t i = 0; i < n_codes; ++i) distances[i] = static_cast<uint16_t>(distance(codes + i * n_bytes));
    return 0;
  });
}

// Writes a hit for every code of a mask at distance <= limit. Bit 0 stands for codes[0], which is row first_row.
template <class Distance>
HASHKIT_ALWAYS_INLINE size_t write_passing(const Distance& distance, const uint8_t* codes, uint32_t mask,
                                           size_t n_bytes, int limit, size_t first_row, Hit* hits) noexcept {
  size_t n_hits = 0;
  for (; mask != 0; mask &= mask - 1) {
    const auto i = static_cast<size_t>(__builtin_ctz(mask));
    const int d = distance(codes + i * n_bytes);
    if (d <= limit) hits[n_hits++] = Hit{static_cast<uint32_t>(first_row + i), 0, static_cast<uint16_t>(d)};
  }
  return n_hits;
}

// Scans kStep codes at a time. `passes` returns a mask of the codes that may be within the limit. Few are, and only
// their distances are computed one by one. Cache lines are prefetched kAhead bytes ahead: on Zen 3, 1,000,000 codes of
// 128 bits take 673 us with it, 920 us without, and 1,451 us if one line a page ahead is prefetched. On Zen 4 no
// prefetching (kAhead = 0) is fastest.
template <size_t kStep, size_t kAhead = 1024, class Passes, class Distance>
HASHKIT_ALWAYS_INLINE size_t scan_steps(const Passes& passes, const Distance& distance, const uint8_t* codes,
                                        size_t n_codes, size_t n_bytes, int limit, Hit* hits) noexcept {
  size_t n_hits = 0, i = 0;
  for (; i + kStep <= n_codes; i += kStep) {
    const uint8_t* step = codes + i * n_bytes;
    if constexpr (kAhead != 0) {
      for (size_t line = 0; line < kStep * n_bytes; line += 64) __builtin_prefetch(step + kAhead + line);
    }
    const uint32_t mask = passes(step);
    if (__builtin_expect(mask != 0, 0)) n_hits += write_passing(distance, step, mask, n_bytes, limit, i, hits + n_hits);
  }
  const auto rest = static_cast<uint32_t>((1u << (n_codes - i)) - 1);
  return n_hits + write_passing(distance, codes + i * n_bytes, rest, n_bytes, limit, i, hits + n_hits);
}

size_t scan(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, int limit, Hit* hits) noexcept {
  return with_distance(query, n_bytes, [=](const auto& distance) noexcept {
    const auto passes = [=](const uint8_t* step) noexcept {
      bool any = false;
      for (size_t i = 0; i < 4; ++i) any |= distance(step + i * n_bytes) <= limit;
      return any ? 15u : 0u;
    };
    return scan_steps<4>(passes, distance, codes, n_codes, n_bytes, limit, hits);
  });
}

// Most runs have one or two codes, so cache misses would take most of the time: codes are prefetched a few runs ahead.
// Every code is written; the count increases only if it is within the limit.
size_t scan_runs(const uint8_t* query, const uint8_t* codes, const CodeRun* runs, size_t n_runs, size_t n_bytes,
                 int limit, Hit* hits) noexcept {
  constexpr size_t kRunsAhead = 12;
  return with_distance(query, n_bytes, [=](const auto& distance) noexcept {
    size_t n_hits = 0;
    for (size_t r = 0; r < n_runs; ++r) {
      if (r + kRunsAhead < n_runs) __builtin_prefetch(codes + runs[r + kRunsAhead].begin * n_bytes);
      for (uint32_t i = runs[r].begin; i < runs[r].end; ++i) {
        const int d = distance(codes + i * n_bytes);
        hits[n_hits] = Hit{i, 0, static_cast<uint16_t>(d)};
        n_hits += d <= limit ? 1 : 0;
      }
    }
    return n_hits;
  });
}

template <class Distance>
HASHKIT_ALWAYS_INLINE size_t scan_listed(const Distance& distance, const uint8_t* codes, const uint32_t* rows,
                                         const CodeRun* runs, size_t n_runs, size_t n_bytes, int limit,
                                         Hit* hits) noexcept {
  constexpr uint32_t kRowsAhead = 8;
  size_t n_hits = 0;
  for (size_t r = 0; r < n_runs; ++r) {
    for (uint32_t i = runs[r].begin; i < runs[r].end; ++i) {
      if (i + kRowsAhead < runs[r].end) __builtin_prefetch(codes + rows[i + kRowsAhead] * n_bytes);
      const int d = distance(codes + rows[i] * n_bytes);
      hits[n_hits] = Hit{rows[i], 0, static_cast<uint16_t>(d)};
      n_hits += d <= limit ? 1 : 0;
    }
  }
  return n_hits;
}

size_t scan_listed_runs(const uint8_t* query, const uint8_t* codes, const uint32_t* rows, const CodeRun* runs,
                        size_t n_runs, size_t n_bytes, int limit, Hit* hits) noexcept {
  return with_distance(query, n_bytes, [=](const auto& distance) noexcept {
    return scan_listed(distance, codes, rows, runs, n_runs, n_bytes, limit, hits);
  });
}
