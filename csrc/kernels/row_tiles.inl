// Tiles that are plain copies of the rows, for instruction sets whose row scan is already their best. Included after
// scalar_kernels.inl, inside the instruction set's namespace.

size_t tile_codes(size_t n_bytes) noexcept {  // 16 KiB: half of the usual L1
  const size_t n_codes = 16384 / n_bytes;
  return n_codes < kMaxTileCodes ? n_codes : kMaxTileCodes;
}

size_t tile_bytes(size_t n_bytes) noexcept {
  return tile_codes(n_bytes) * n_bytes;
}

void fill_tile(const uint8_t* codes, size_t n_codes, size_t n_bytes, uint8_t* tile) noexcept {
  std::memcpy(tile, codes, n_codes * n_bytes);
}

size_t scan_tile(const uint8_t* queries, size_t n_queries, const uint8_t* tile, size_t n_codes, size_t n_bytes,
                 const int* limits, Hit* hits) noexcept {
  size_t n_hits = 0;
  for (size_t q = 0; q < n_queries; ++q) {
    const size_t n_found = scan(queries + q * n_bytes, tile, n_codes, n_bytes, limits[q], hits + n_hits);
    for (size_t i = 0; i < n_found; ++i) hits[n_hits + i].query = static_cast<uint16_t>(q);
    n_hits += n_found;
  }
  return n_hits;
}
