// Batch scan by table look-up in nibbles, for the inside of an instruction set's namespace. The includer defines
//   Vec, kLanes       a vector of kLanes bytes
//   load, store       unaligned; zero(), splat(byte)
//   load_table        16 bytes repeated in every 16 bytes of the vector
//   look_up           table[index & 15] for every byte, within its 16 bytes
//   add_saturated, subtract_saturated, minimum    of unsigned bytes
//   any(Vec), nonzero_mask(Vec)                   a bit per byte that is not 0
//
// A tile holds spans of kSpan codes turned by 90 degrees: plane 2j has the high nibbles of byte j of those codes, plane
// 2j + 1 the low ones, a nibble per byte. Row q of kXorCounts gives popcount(q ^ v) for every nibble v, so that one
// shuffle counts four bits of a vector of codes without an xor, and no sum across lanes is ever needed: per 32 codes
// of 64 bits 16 shuffles and 16 additions, against 16 codes per nine instructions by the lookup in rows (Mula, Kurz,
// Lemire 2018). kQueries x kBlocks sums in registers make one load serve three shuffles.

constexpr size_t kQueries = 3;
constexpr size_t kBlocks = 3;
constexpr size_t kSpan = kBlocks * kLanes;
constexpr size_t kChunkPlanes = 16;  // planes between two looks at whether any code can still pass

using Sums = Vec[kQueries][kBlocks];

alignas(16) constexpr uint8_t kXorCounts[16][16] = {
    {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4}, {1, 0, 2, 1, 2, 1, 3, 2, 2, 1, 3, 2, 3, 2, 4, 3},
    {1, 2, 0, 1, 2, 3, 1, 2, 2, 3, 1, 2, 3, 4, 2, 3}, {2, 1, 1, 0, 3, 2, 2, 1, 3, 2, 2, 1, 4, 3, 3, 2},
    {1, 2, 2, 3, 0, 1, 1, 2, 2, 3, 3, 4, 1, 2, 2, 3}, {2, 1, 3, 2, 1, 0, 2, 1, 3, 2, 4, 3, 2, 1, 3, 2},
    {2, 3, 1, 2, 1, 2, 0, 1, 3, 4, 2, 3, 2, 3, 1, 2}, {3, 2, 2, 1, 2, 1, 1, 0, 4, 3, 3, 2, 3, 2, 2, 1},
    {1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3}, {2, 1, 3, 2, 3, 2, 4, 3, 1, 0, 2, 1, 2, 1, 3, 2},
    {2, 3, 1, 2, 3, 4, 2, 3, 1, 2, 0, 1, 2, 3, 1, 2}, {3, 2, 2, 1, 4, 3, 3, 2, 2, 1, 1, 0, 3, 2, 2, 1},
    {2, 3, 3, 4, 1, 2, 2, 3, 1, 2, 2, 3, 0, 1, 1, 2}, {3, 2, 4, 3, 2, 1, 3, 2, 2, 1, 3, 2, 1, 0, 2, 1},
    {3, 4, 2, 3, 2, 3, 1, 2, 2, 3, 1, 2, 1, 2, 0, 1}, {4, 3, 3, 2, 3, 2, 2, 1, 3, 2, 2, 1, 2, 1, 1, 0},
};

constexpr size_t span_bytes(size_t n_bytes) noexcept {
  return 2 * n_bytes * kSpan;
}

size_t tile_codes(size_t n_bytes) noexcept {  // planes of about 24 KiB, so that they stay in L1; at least one span
  const size_t n_spans = 24576 / span_bytes(n_bytes);
  return kSpan * (n_spans < 1 ? 1 : n_spans > kMaxTileCodes / kSpan ? kMaxTileCodes / kSpan : n_spans);
}

size_t tile_bytes(size_t n_bytes) noexcept {
  return tile_codes(n_bytes) / kSpan * span_bytes(n_bytes);
}

void fill_tile(const uint8_t* codes, size_t n_codes, size_t n_bytes, uint8_t* tile) noexcept {
  const size_t n_spans = (n_codes + kSpan - 1) / kSpan;
  if (n_codes % kSpan != 0) std::memset(tile + (n_spans - 1) * span_bytes(n_bytes), 0, span_bytes(n_bytes));
  for (size_t row = 0; row < n_codes; ++row) {
    uint8_t* column = tile + row / kSpan * span_bytes(n_bytes) + row % kSpan;
    for (size_t j = 0; j < n_bytes; ++j) {
      column[2 * j * kSpan] = codes[row * n_bytes + j] >> 4;
      column[(2 * j + 1) * kSpan] = codes[row * n_bytes + j] & 15;
    }
  }
}

// Nibbles of up to kQueries queries by plane, [plane][query]; a missing query repeats the first.
void spread_queries(const uint8_t* queries, size_t n_queries, size_t n_bytes, uint8_t* nibbles) noexcept {
  for (size_t j = 0; j < n_bytes; ++j) {
    for (size_t q = 0; q < kQueries; ++q) {
      const uint8_t byte = queries[(q < n_queries ? q : 0) * n_bytes + j];
      nibbles[2 * j * kQueries + q] = byte >> 4;
      nibbles[(2 * j + 1) * kQueries + q] = byte & 15;
    }
  }
}

// Adds the distances over n_planes planes to the (saturating) sums.
HASHKIT_ALWAYS_INLINE void add_planes(const uint8_t* planes, const uint8_t* nibbles, size_t n_planes,
                                      Sums& sums) noexcept {
  for (size_t p = 0; p < n_planes; ++p, planes += kSpan, nibbles += kQueries) {
    const Vec blocks[kBlocks] = {load(planes), load(planes + kLanes), load(planes + 2 * kLanes)};
    for (size_t q = 0; q < kQueries; ++q) {
      const Vec table = load_table(kXorCounts[nibbles[q]]);
      for (size_t b = 0; b < kBlocks; ++b) sums[q][b] = add_saturated(sums[q][b], look_up(table, blocks[b]));
    }
  }
}

HASHKIT_ALWAYS_INLINE bool any_below(const Sums& sums, const Vec (&bounds)[kQueries]) noexcept {
  Vec below = subtract_saturated(bounds[0], minimum(minimum(sums[0][0], sums[0][1]), sums[0][2]));
  for (size_t q = 1; q < kQueries; ++q) {
    below = either(below, subtract_saturated(bounds[q], minimum(minimum(sums[q][0], sums[q][1]), sums[q][2])));
  }
  return any(below);
}

// Writes the hits of a span, rows before n_codes only.
size_t write_hits(const Sums& sums, const Vec (&bounds)[kQueries], size_t first_row, size_t n_codes,
                  Hit* hits) noexcept {
  size_t n_hits = 0;
  for (size_t q = 0; q < kQueries; ++q) {
    for (size_t b = 0; b < kBlocks; ++b) {
      const size_t first = first_row + b * kLanes;
      uint64_t mask = nonzero_mask(subtract_saturated(bounds[q], sums[q][b]));
      if (mask == 0) continue;
      uint8_t distances[kLanes];
      store(distances, sums[q][b]);
      for (; mask != 0; mask &= mask - 1) {
        const auto lane = static_cast<size_t>(__builtin_ctzll(mask));
        if (first + lane >= n_codes) break;
        hits[n_hits++] = Hit{static_cast<uint32_t>(first + lane), static_cast<uint16_t>(q), distances[lane]};
      }
    }
  }
  return n_hits;
}

// Limits below 255: sums of bytes that saturate are right wherever they matter, and a span is left as soon as no sum
// of it is within its limit.
size_t scan_narrow(const uint8_t* nibbles, const uint8_t* tile, size_t n_codes, size_t n_bytes,
                   const Vec (&bounds)[kQueries], Hit* hits) noexcept {
  size_t n_hits = 0;
  for (size_t row = 0; row < n_codes; row += kSpan, tile += span_bytes(n_bytes)) {
    Sums sums = {};
    size_t plane = 0;
    do {
      const size_t n_planes = 2 * n_bytes - plane < kChunkPlanes ? 2 * n_bytes - plane : kChunkPlanes;
      add_planes(tile + plane * kSpan, nibbles + plane * kQueries, n_planes, sums);
      plane += n_planes;
    } while (any_below(sums, bounds) && plane < 2 * n_bytes);
    if (plane == 2 * n_bytes) n_hits += write_hits(sums, bounds, row, n_codes, hits + n_hits);
  }
  return n_hits;
}

// Any limit: the sums of up to 60 planes (at most 240) are emptied into totals of 16 bits.
size_t scan_wide(const uint8_t* nibbles, const uint8_t* tile, size_t n_codes, size_t n_bytes, size_t n_queries,
                 const int* limits, Hit* hits) noexcept {
  constexpr size_t kSafePlanes = 60;
  size_t n_hits = 0;
  for (size_t row = 0; row < n_codes; row += kSpan, tile += span_bytes(n_bytes)) {
    uint16_t totals[kQueries][kSpan] = {};
    for (size_t plane = 0; plane < 2 * n_bytes; plane += kSafePlanes) {
      const size_t n_planes = 2 * n_bytes - plane < kSafePlanes ? 2 * n_bytes - plane : kSafePlanes;
      Sums sums = {};
      add_planes(tile + plane * kSpan, nibbles + plane * kQueries, n_planes, sums);
      uint8_t bytes[kQueries][kSpan];
      for (size_t q = 0; q < kQueries; ++q) {
        for (size_t b = 0; b < kBlocks; ++b) store(&bytes[q][b * kLanes], sums[q][b]);
        for (size_t i = 0; i < kSpan; ++i) totals[q][i] = static_cast<uint16_t>(totals[q][i] + bytes[q][i]);
      }
    }
    for (size_t q = 0; q < n_queries; ++q) {
      for (size_t i = 0; i < kSpan && row + i < n_codes; ++i) {
        if (totals[q][i] > limits[q]) continue;
        hits[n_hits++] = Hit{static_cast<uint32_t>(row + i), static_cast<uint16_t>(q), totals[q][i]};
      }
    }
  }
  return n_hits;
}

size_t scan_tile(const uint8_t* queries, size_t n_queries, const uint8_t* tile, size_t n_codes, size_t n_bytes,
                 const int* limits, Hit* hits) noexcept {
  alignas(64) uint8_t nibbles[2 * kMaxBytes * kQueries];
  spread_queries(queries, n_queries, n_bytes, nibbles);
  Vec bounds[kQueries];  // first distance that no longer passes; 0, so nothing, for a missing query
  for (size_t q = 0; q < kQueries; ++q) {
    const int limit = q < n_queries ? limits[q] : -1;
    if (limit >= 255) return scan_wide(nibbles, tile, n_codes, n_bytes, n_queries, limits, hits);
    bounds[q] = splat(static_cast<uint8_t>(limit < 0 ? 0 : limit + 1));
  }
  return scan_narrow(nibbles, tile, n_codes, n_bytes, bounds, hits);
}
