// The kernels of an instruction set: one table of function pointers.
//
// All kernels take packed codes in rows of n_bytes (most significant bit first, padding bits zero). They allocate
// nothing, throw nothing, and read and write exactly the bytes that their arguments describe, never past the end.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/isa.hpp"

namespace hashkit {

// A code within a scan's limit: its row and its query, counted from the first of the call, and its distance.
struct Hit {
  uint32_t row;
  uint16_t query;
  uint16_t distance;
};

// Codes [begin, end) of a matrix.
struct CodeRun {
  uint32_t begin;
  uint32_t end;
};

constexpr size_t kMaxBytes = 512;       // 4,096 bits: distances fit uint16
constexpr size_t kMaxTileCodes = 2048;  // the most codes that any tile holds

struct KernelTable {
  Isa isa;

  // distances[i] = Hamming distance of query and code i.
  void (*distances)(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, uint16_t* distances);

  // Writes a hit for every code at distance <= limit, in the order of the rows; returns how many. `hits` has room
  // for n_codes. limit may be negative (nothing passes).
  size_t (*scan)(const uint8_t* query, const uint8_t* codes, size_t n_codes, size_t n_bytes, int limit, Hit* hits);

  // The same for runs of codes that lie anywhere, in the order of the runs; `hits` has room for all codes of the runs.
  size_t (*scan_runs)(const uint8_t* query, const uint8_t* codes, const CodeRun* runs, size_t n_runs, size_t n_bytes,
                      int limit, Hit* hits);
  // The same for runs of a list of rows.
  size_t (*scan_listed_runs)(const uint8_t* query, const uint8_t* codes, const uint32_t* rows, const CodeRun* runs,
                             size_t n_runs, size_t n_bytes, int limit, Hit* hits);

  // The same for many queries over a tile: codes that fill_tile rearranged once, to be scanned for many queries while
  // they are in the L1 cache. Tiles and prepared queries are 64-byte aligned.
  size_t (*tile_codes)(size_t n_bytes);   // codes in a full tile, <= kMaxTileCodes
  size_t (*tile_bytes)(size_t n_bytes);   // memory of a full tile
  size_t (*query_bytes)(size_t n_bytes);  // memory of a prepared query
  void (*fill_tile)(const uint8_t* codes, size_t n_codes, size_t n_bytes, uint8_t* tile);
  void (*fill_query)(const uint8_t* query, size_t n_bytes, uint8_t* prepared);
  // Hits are in the order of (query, row). `hits` has room for n_queries * n_codes.
  size_t (*scan_tile)(const uint8_t* prepared, size_t n_queries, const uint8_t* tile, size_t n_codes, size_t n_bytes,
                      const int* limits, Hit* hits);

  // One code from n_bits values: bit = 1 where the value is > 0 (NaN gives 0). Returns whether any is NaN.
  bool (*pack_float32)(const float* values, size_t n_bits, uint8_t* code);
  bool (*pack_float16)(const uint16_t* values, size_t n_bits, uint8_t* code);  // IEEE binary16, as raw bits
  bool (*pack_bytes)(const uint8_t* values, size_t n_bits, uint8_t* code);     // bit = 1 where the byte is not 0
};

// Whether a table has every function. A test calls it, because it is no constant expression under sanitizers.
inline bool is_complete(const KernelTable& t) noexcept {
  static_assert(sizeof(KernelTable) == 14 * sizeof(void*), "a function that is added to the table is checked here too");
  return t.distances && t.scan && t.scan_runs && t.scan_listed_runs && t.tile_codes && t.tile_bytes && t.query_bytes &&
         t.fill_tile && t.fill_query && t.scan_tile && t.pack_float32 && t.pack_float16 && t.pack_bytes;
}

// The table of an instruction set that this machine supports (see supported_isas). Throws std::invalid_argument for one
// of another architecture.
const KernelTable& kernel_table(Isa isa);

}  // namespace hashkit
