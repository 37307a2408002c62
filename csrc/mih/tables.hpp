// The tables of multi-index hashing (Norouzi, Punjani, Fleet 2012): for each substring of the codes, the codes by its
// value. They never change, so that any number of threads may search them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/huge_array.hpp"
#include "mih/substrings.hpp"

namespace hashkit {

// A bucket holds the codes whose substring has one value, its key. Buckets lie one behind the other, by key; in a
// bucket rows ascend.
struct Table {
  HugeArray<uint32_t> offsets;   // where the bucket of every key begins, and the end of the last
  HugeArray<uint64_t> occupied;  // a bit for every key: most keys of a ball are empty, and these bits stay in cache
  HugeArray<uint32_t> rows;
  HugeArray<uint64_t> words;     // beside each row its rearranged code, so that a bucket is a short scan; or nothing
  std::vector<double> expected;  // by distance: how many codes have the substring that far from that of a code
};

struct Tables {
  size_t n_codes;
  size_t n_bytes;
  Substrings substrings;
  std::vector<Table> tables;
  bool compact;                  // only rows in the buckets: codes are looked up by row
  std::vector<double> expected;  // by distance: how many codes are that far from a code

  size_t memory() const noexcept;  // bytes, besides the codes
};

constexpr size_t kMaxTableCodes = (size_t{1} << 32) - 1;

// Tables of at most kMaxTableCodes codes. Those are not kept.
Tables build_tables(CodesView codes, size_t n_bits, bool compact, size_t n_threads);

}  // namespace hashkit
