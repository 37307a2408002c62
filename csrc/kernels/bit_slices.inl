// Batch scan by bit slices. Included inside an instruction set's namespace, after scalar_kernels.inl. The includer
// defines Vec, a vector of 64-bit words (GCC's and clang's vector extension), and add_bits and all_bits if it has
// instructions for them.
//
// A tile holds codes transposed: plane i has bit i of one code per bit of the vector (256 codes with AVX2), and
// distances are summed by full adders on planes, in binary, plane 0 of the sum its ones, plane 1 its twos, ... No
// exclusive or with the query is computed: for every three planes the tile holds the sum and carry of their first full
// adder for each of the eight values of the query's three bits (the sum has only two forms), and the query selects one.
// A word of 64 bits is then 21 ready sums and carries and one bit left over: 42 full adders, 212 instructions for 256
// codes, where xor and a population count need three instructions for each word.
//
// The comparison with the limit is free: the sum starts at 2^n_planes - 1 - limit, so it reaches 2^n_planes exactly if
// the distance exceeds the limit. That plane is tested after every word. The distances of the few codes that remain are
// computed again from the codes themselves, so the planes of the sum are not stored. Measured on Zen 3 (AVX2),
// 1,000,000 codes of 64 bits, per query: 540 us by POPCNT in rows, 128 us by 4-bit table look-ups on planes of nibbles,
// 87 us so.

// A full adder for every bit position: returns the sum. Input c has the shortest path.
template <class Bits>
HASHKIT_ALWAYS_INLINE Bits add_bits(Bits a, Bits b, Bits c, Bits& carry) noexcept {
  const Bits differ = a ^ b;
  carry = (a & b) | (differ & c);
  return differ ^ c;
}

// Whether every bit is set.
template <class Bits>
HASHKIT_ALWAYS_INLINE bool all_bits(Bits v) noexcept {
  uint64_t all = ~uint64_t{0};
  for (size_t lane = 0; lane < sizeof(Bits) / 8; ++lane) all &= v[lane];
  return all == ~uint64_t{0};
}

constexpr size_t kTriples = 21;
constexpr size_t kVecWords = sizeof(Vec) / 8;
constexpr size_t kBlock = 64 * kVecWords;                  // codes in a block
constexpr size_t kSumPlanes = 2 * (kTriples + 1);          // sums of each triple and the last bit, two forms
constexpr size_t kWordPlanes = kSumPlanes + 8 * kTriples;  // the carries after them, eight forms each
constexpr size_t kWordBytes = kWordPlanes * sizeof(Vec);
constexpr size_t kWordOffsets = 2 * kTriples + 2;  // uint16 offsets of a query's picks, padded to even
constexpr size_t kLevels = 6;                      // planes of the sum below 64
constexpr size_t kMaxHigh = 8;                     // planes from 64 on: 64 ... 4,096 and the overflow

size_t words_of(size_t n_bytes) noexcept {
  return (n_bytes + 7) / 8;
}

// Word w of a code, bytes past its end zero.
HASHKIT_ALWAYS_INLINE uint64_t word_of(const uint8_t* code, size_t w, size_t n_bytes) noexcept {
  if (8 * w + 8 <= n_bytes) return load_word(code + 8 * w);
  return load_short(code + 8 * w, n_bytes - 8 * w);
}

size_t tile_codes(size_t n_bytes) noexcept {  // as many blocks as stay in an L1 of 32 KiB, at least one
  const size_t n_blocks = 28672 / (words_of(n_bytes) * kWordBytes);
  return kBlock * (n_blocks < 1 ? 1 : n_blocks > kMaxTileCodes / kBlock ? kMaxTileCodes / kBlock : n_blocks);
}

size_t planes_bytes(size_t n_bytes) noexcept {
  return tile_codes(n_bytes) / kBlock * words_of(n_bytes) * kWordBytes;
}

// The planes, and after them the codes themselves, in words.
size_t tile_bytes(size_t n_bytes) noexcept {
  return planes_bytes(n_bytes) + tile_codes(n_bytes) * words_of(n_bytes) * sizeof(uint64_t);
}

// The offsets, and after them the query itself, in words.
size_t query_bytes(size_t n_bytes) noexcept {
  return words_of(n_bytes) * (kWordOffsets * sizeof(uint16_t) + sizeof(uint64_t));
}

// Transposes 64 x 64 bits in every lane: bit j of rows[i] and bit i of rows[j] change places, by blocks of 32, 16, ...
// (Warren, Hacker's Delight, 7-3).
void transpose(Vec (&rows)[64]) noexcept {
  uint64_t mask = 0x00000000FFFFFFFFu;
  for (unsigned j = 32; j != 0; j >>= 1, mask ^= mask << j) {
    for (unsigned i = 0; i < 64; i = (i + j + 1) & ~j) {
      const Vec swapped = ((rows[i] >> j) ^ rows[i + j]) & mask;
      rows[i + j] ^= swapped;
      rows[i] ^= swapped << j;
    }
  }
}

// The planes of one word, from bit planes: sums and carries of every triple in all their forms.
void fill_word(const Vec (&bits)[64], Vec* planes) noexcept {
  Vec* carries = planes + kSumPlanes;
  for (size_t t = 0; t < kTriples; ++t, planes += 2, carries += 8) {
    const Vec a = bits[3 * t], b = bits[3 * t + 1], c = bits[3 * t + 2];
    planes[0] = a ^ b ^ c;
    planes[1] = ~planes[0];
    for (unsigned query = 0; query < 4; ++query) {  // the carry of the complement is the complement of the carry
      const Vec x = query & 1 ? ~a : a, y = query & 2 ? ~b : b;
      carries[query] = (x & y) | ((x ^ y) & c);
      carries[7 - query] = ~carries[query];
    }
  }
  planes[0] = bits[63];
  planes[1] = ~bits[63];
}

void fill_tile(const uint8_t* codes, size_t n_codes, size_t n_bytes, uint8_t* tile) noexcept {
  const size_t n_words = words_of(n_bytes);
  auto* planes = reinterpret_cast<Vec*>(tile);
  auto* words = reinterpret_cast<uint64_t*>(tile + planes_bytes(n_bytes));
  for (size_t first = 0; first < n_codes; first += kBlock) {
    for (size_t w = 0; w < n_words; ++w, planes += kWordPlanes) {
      Vec rows[64] = {};
      for (size_t i = 0; i < kBlock && first + i < n_codes; ++i) {
        const uint64_t word = word_of(codes + (first + i) * n_bytes, w, n_bytes);
        rows[i % 64][i / 64] = words[(first + i) * n_words + w] = word;
      }
      transpose(rows);
      fill_word(rows, planes);
    }
  }
}

// Where the query's pick of every sum, then of every carry, stands in a word's planes. Whole offsets rather than ones
// within the eight forms: addresses without a displacement are what lets the decoder keep up.
void fill_query(const uint8_t* query, size_t n_bytes, uint8_t* prepared) noexcept {
  const size_t n_words = words_of(n_bytes);
  auto* offsets = reinterpret_cast<uint16_t*>(prepared);
  auto* words = reinterpret_cast<uint64_t*>(offsets + n_words * kWordOffsets);
  for (size_t w = 0; w < n_words; ++w, offsets += kWordOffsets) {
    const uint64_t word = words[w] = word_of(query, w, n_bytes);
    for (size_t t = 0; t <= kTriples; ++t) {  // the last triple is bit 63 alone
      const auto bits = static_cast<unsigned>(word >> (3 * t) & 7), parity = (bits ^ bits >> 1 ^ bits >> 2) & 1;
      offsets[t] = static_cast<uint16_t>((2 * t + parity) * sizeof(Vec));
      offsets[kTriples + 1 + t] = static_cast<uint16_t>((kSumPlanes + 8 * t + bits) * sizeof(Vec));
    }
  }
}

// One word of a block, and the query's picks in it.
struct Picks {
  const uint8_t* planes;
  const uint16_t* offsets;

  HASHKIT_ALWAYS_INLINE Vec sum(size_t t) const noexcept { return *reinterpret_cast<const Vec*>(planes + offsets[t]); }
  HASHKIT_ALWAYS_INLINE Vec carry(size_t t) const noexcept {
    return *reinterpret_cast<const Vec*>(planes + offsets[kTriples + 1 + t]);
  }
};

// Adds the inputs of adder kIndex of a level to that level's plane and returns the carries, weight 2^(kLevel + 1).
// Level 0 adds the 22 sums, two by two; level 1 the 21 carries of the tile and the 11 of level 0; every other level
// the carries of the one below. Depth first, so that the planes and the pending carries of each level stay in 16
// registers; the input that is ready last goes in last, which shortens the chain from level to level (8 % of the time).
template <size_t kLevel, size_t kIndex>
HASHKIT_ALWAYS_INLINE Vec add_level(const Picks& picks, Vec (&sums)[kLevels]) noexcept {
  Vec carry;
  if constexpr (kLevel == 0) {
    sums[0] = add_bits(picks.sum(2 * kIndex), picks.sum(2 * kIndex + 1), sums[0], carry);
  } else if constexpr (kLevel == 1 && kIndex < 11) {
    const Vec last = add_level<0, kIndex>(picks, sums);
    sums[1] = add_bits(picks.carry(kIndex), sums[1], last, carry);
  } else if constexpr (kLevel == 1) {
    sums[1] = add_bits(picks.carry(kIndex), picks.carry(kIndex + 5), sums[1], carry);
  } else {
    const Vec first = add_level<kLevel - 1, 2 * kIndex>(picks, sums);
    const Vec last = add_level<kLevel - 1, 2 * kIndex + 1>(picks, sums);
    sums[kLevel] = add_bits(first, sums[kLevel], last, carry);
  }
  return carry;
}

// A prepared query.
struct TileQuery {
  const uint16_t* offsets;
  const uint64_t* words;
  size_t number;
  int limit;
};

// Hits among the remaining codes of a block, one bit each, in rows before n_codes; `codes` are those of the tile.
// kWords = 0 stands for any number of words.
template <size_t kWords>
__attribute__((noinline)) size_t write_remaining(Vec remaining, const uint64_t* codes, size_t n_words,
                                                 const TileQuery& query, size_t first_row, size_t n_codes,
                                                 Hit* hits) noexcept {
  if constexpr (kWords != 0) n_words = kWords;
  size_t n_hits = 0;
  for (size_t lane = 0; lane < kVecWords; ++lane) {
    for (uint64_t bits = remaining[lane]; bits != 0; bits &= bits - 1) {
      const size_t row = first_row + 64 * lane + static_cast<size_t>(__builtin_ctzll(bits));
      if (row >= n_codes) return n_hits;
      uint64_t distance = 0;
      for (size_t w = 0; w < n_words; ++w) distance += popcount64(codes[row * n_words + w] ^ query.words[w]);
      hits[n_hits++] =
          Hit{static_cast<uint32_t>(row), static_cast<uint16_t>(query.number), static_cast<uint16_t>(distance)};
    }
  }
  return n_hits;
}

// One query over a tile. kWords = 0 stands for any number of words; n_high counts the planes from 64 on.
template <size_t kWords>
HASHKIT_ALWAYS_INLINE size_t scan_blocks(const TileQuery& query, const uint8_t* planes, const uint64_t* codes,
                                         size_t n_codes, size_t n_words, size_t n_high, Hit* hits) noexcept {
  const int most = static_cast<int>(64 * n_words), limit = query.limit < -1     ? -1
                                                           : query.limit > most ? most
                                                                                : query.limit;
  const uint64_t start = (uint64_t{1} << (kLevels + n_high - 1)) - 1 - static_cast<uint64_t>(int64_t{limit});
  const Vec starts = Vec{} + start;
  Vec start_sums[kLevels], start_high[kMaxHigh];
  for (size_t p = 0; p < kLevels; ++p) start_sums[p] = Vec{} - (starts >> p & 1);
  for (size_t p = 0; p < n_high; ++p) start_high[p] = Vec{} - (starts >> (kLevels + p) & 1);
  size_t n_hits = 0;
  for (size_t row = 0; row < n_codes; row += kBlock, planes += n_words * kWordBytes) {
    Vec sums[kLevels], high[kMaxHigh];
    for (size_t p = 0; p < kLevels; ++p) sums[p] = start_sums[p];
    for (size_t p = 0; p < n_high; ++p) high[p] = start_high[p];
    for (size_t w = 0; w < n_words; ++w) {
      const uint16_t* picks = query.offsets + w * kWordOffsets;
      asm("" : "+r"(picks));  // else GCC keeps all 43 offsets across blocks, on the stack, and spills the planes too
      Vec carry = add_level<kLevels - 1, 0>(Picks{planes + w * kWordBytes, picks}, sums);
      for (size_t p = 0; p < n_high; ++p) {
        const Vec next = high[p] & carry;
        high[p] ^= carry;
        carry = next;
      }
      if (all_bits(high[n_high - 1])) break;  // every distance exceeds the limit
      if (w + 1 == n_words) {
        n_hits += write_remaining<kWords>(~high[n_high - 1], codes, n_words, query, row, n_codes, hits + n_hits);
      }
    }
  }
  return n_hits;
}

size_t scan_tile(const uint8_t* prepared, size_t n_queries, const uint8_t* tile, size_t n_codes, size_t n_bytes,
                 const int* limits, Hit* hits) noexcept {
  const size_t n_words = words_of(n_bytes);
  const auto* codes = reinterpret_cast<const uint64_t*>(tile + planes_bytes(n_bytes));
  // Planes for distances up to 8 * n_bytes, less the six below 64, and one for the overflow.
  const auto n_high = static_cast<size_t>(64 - __builtin_clzll(64 * n_words)) - kLevels + 1;
  size_t n_hits = 0;
  for (size_t q = 0; q < n_queries; ++q) {
    const uint8_t* own = prepared + q * query_bytes(n_bytes);
    const TileQuery query{reinterpret_cast<const uint16_t*>(own),
                          reinterpret_cast<const uint64_t*>(own + n_words * kWordOffsets * sizeof(uint16_t)), q,
                          limits[q]};
    Hit* to = hits + n_hits;
    switch (n_words) {
      case 1:
        n_hits += scan_blocks<1>(query, tile, codes, n_codes, 1, 2, to);
        break;
      case 2:
        n_hits += scan_blocks<2>(query, tile, codes, n_codes, 2, 3, to);
        break;
      case 6:
        n_hits += scan_blocks<6>(query, tile, codes, n_codes, 6, 4, to);
        break;
      default:
        n_hits += scan_blocks<0>(query, tile, codes, n_codes, n_words, n_high, to);
    }
  }
  return n_hits;
}
