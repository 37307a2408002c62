// The loops that every scan shares. A visitor decides what is searched for:
//   int limit(q)               the largest distance that query q still accepts
//   void push(q, row, distance)  takes a code within it; rows ascend for each query
//   bool go_on()               called before every block of codes; false ends the scan
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "core/codes_view.hpp"
#include "cpu/system.hpp"
#include "kernels/kernel_table.hpp"
#include "parallel/stop.hpp"

namespace hashkit {

constexpr size_t kRowBlock = 8192;        // the most codes of one query between two reads of its limit
constexpr size_t kFirstBlock = 64;        // the first read comes sooner: nothing can be pruned before it
constexpr size_t kQueriesPerTask = 1024;  // queries that are scanned over one tile before it is replaced
constexpr size_t kGroup = 32;             // queries between two reads of their limits

// The least number of queries for which filling tiles pays. With AVX-512 it is larger, because rows are scanned faster:
// on Zen 4 filling takes about 0.26 ns a byte, and a query over 1,000,000 codes of 64 (128, 256) bits takes 43 (200,
// 650) us less in tiles than in rows.
inline size_t min_queries_for_tiles(Isa isa, size_t n_bytes) noexcept {
  const bool fast_rows = isa == Isa::kAvx512 || isa == Isa::kAvx512bw;
  return fast_rows ? std::clamp<size_t>(384 / n_bytes, 4, 48) : 4;
}

struct AlignedDelete {
  void operator()(uint8_t* p) const noexcept { free_aligned(p); }
};
using AlignedBytes = std::unique_ptr<uint8_t[], AlignedDelete>;

inline AlignedBytes aligned_bytes(size_t n) {
  void* p = allocate_aligned(64, (n + 63) / 64 * 64);
  if (p == nullptr) throw std::bad_alloc();
  return AlignedBytes(static_cast<uint8_t*>(p));
}

// Uninitialized room for hits, most of which is never touched.
using HitRoom = std::unique_ptr<Hit[]>;
inline HitRoom room_for_hits(size_t n_hits) {
  return HitRoom(new Hit[n_hits]);
}

// Rows [first, last) of `queries`, prepared for scan_tile, one after the other.
inline AlignedBytes prepare_queries(const KernelTable& kernels, CodesView queries, size_t first, size_t last) {
  const size_t query_bytes = kernels.query_bytes(queries.n_bytes);
  AlignedBytes prepared = aligned_bytes((last - first) * query_bytes);
  for (size_t q = first; q < last; ++q) {
    kernels.fill_query(queries.row(q), queries.n_bytes, prepared.get() + (q - first) * query_bytes);
  }
  return prepared;
}

// Scans rows [begin, end) for one query; `hits` has room for that many, or for kRowBlock. Each block is as large as all
// before it, so that about as many codes pass in each; with blocks of 2,048 a query over 1,000,000 codes of 64 bits
// took 6 % longer.
template <class Visitor>
void scan_rows(const KernelTable& kernels, CodesView codes, size_t begin, size_t end, const uint8_t* query, size_t q,
               Hit* hits, Visitor& visitor) {
  size_t block = kFirstBlock;
  for (size_t row = begin; row < end && visitor.go_on(); row += block) {
    block = std::min({std::max(row - begin, kFirstBlock), kRowBlock, end - row});
    if (block == kRowBlock) poll_stop();
    const size_t n_hits = kernels.scan(query, codes.row(row), block, codes.n_bytes, visitor.limit(q), hits);
    for (size_t i = 0; i < n_hits; ++i) visitor.push(q, row + hits[i].row, hits[i].distance);
  }
}

// Scans all codes from row `begin` on for queries [first, last), tile by tile.
template <class Visitor>
void scan_tiles(const KernelTable& kernels, CodesView codes, size_t begin, CodesView queries, size_t first, size_t last,
                Visitor& visitor) {
  const size_t query_bytes = kernels.query_bytes(codes.n_bytes), full_tile = kernels.tile_codes(codes.n_bytes);
  const AlignedBytes prepared = prepare_queries(kernels, queries, first, last);
  const AlignedBytes tile = aligned_bytes(kernels.tile_bytes(codes.n_bytes));
  const HitRoom hits = room_for_hits(std::min(kGroup, last - first) * std::min(full_tile, codes.n_codes - begin));
  size_t n_tile = 0;
  for (size_t row = begin; row < codes.n_codes && visitor.go_on(); row += n_tile) {
    // The first tiles are small, each as large as all before it: nothing can be pruned before a limit is known.
    n_tile = std::min({std::max(row - begin, kFirstBlock), full_tile, codes.n_codes - row});
    kernels.fill_tile(codes.row(row), n_tile, codes.n_bytes, tile.get());
    for (size_t q = first; q < last; q += kGroup) {
      poll_stop();
      const size_t n_queries = std::min(kGroup, last - q);
      int limits[kGroup];
      for (size_t i = 0; i < n_queries; ++i) limits[i] = visitor.limit(q + i);
      const size_t n_hits = kernels.scan_tile(prepared.get() + (q - first) * query_bytes, n_queries, tile.get(), n_tile,
                                              codes.n_bytes, limits, hits.get());
      for (size_t i = 0; i < n_hits; ++i) visitor.push(q + hits[i].query, row + hits[i].row, hits[i].distance);
    }
  }
}

// Scans all codes from row `begin` on for queries [first, last), in rows or tiles, whichever is faster.
template <class Visitor>
void scan_queries(const KernelTable& kernels, CodesView codes, size_t begin, CodesView queries, size_t first,
                  size_t last, Visitor& visitor) {
  if (last - first >= min_queries_for_tiles(kernels.isa, codes.n_bytes))
    return scan_tiles(kernels, codes, begin, queries, first, last, visitor);
  const HitRoom hits = room_for_hits(std::min(kRowBlock, codes.n_codes - begin));
  for (size_t q = first; q < last; ++q) {
    if (q > first) poll_stop();
    scan_rows(kernels, codes, begin, codes.n_codes, queries.row(q), q, hits.get(), visitor);
  }
}

// Splits a batch into tasks of at most kQueriesPerTask. Each thread gets one, or two if they stay large enough: a
// thread that another process delays then delays the call less.
inline size_t queries_per_task(size_t n_queries, size_t n_threads) {
  constexpr size_t kLeastQueries = 384;
  const auto share = [=](size_t n_tasks) { return (n_queries + n_tasks - 1) / n_tasks; };
  if (n_threads > 1 && share(2 * n_threads) >= kLeastQueries) return std::min(share(2 * n_threads), kQueriesPerTask);
  return std::clamp(share(n_threads), size_t{1}, kQueriesPerTask);
}

}  // namespace hashkit
