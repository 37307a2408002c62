// The tables of multi-index hashing (Norouzi, Punjani, Fleet 2012): for each substring, the codes by its value. Tables
// are immutable, so any number of threads may search them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/block_checks.hpp"
#include "core/huge_array.hpp"
#include "cpu/isa.hpp"
#include "kernels/kernel_table.hpp"
#include "mih/step_costs.hpp"
#include "mih/substrings.hpp"

namespace hashkit {

// A bucket holds the codes whose substring has one value, its key. Buckets are stored in the order of their keys; rows
// ascend in each bucket.
struct Table {
  HugeArray<uint32_t> offsets;   // where the bucket of every key begins, and the end of the last
  HugeArray<uint64_t> occupied;  // a bit for every key: most keys of a ball are empty, and these bits stay in cache
  HugeArray<uint32_t> rows;
  HugeArray<uint64_t> words;     // beside each row its rearranged code, so that a bucket is a short scan; or nothing
  std::vector<double> expected;  // by distance: how many codes have the substring that far from that of a code
};

constexpr size_t kSurveyNeighbors = 100;

// Measurements made when the tables were built, see survey.hpp.
struct Survey {
  Isa isa = Isa::kPortable;  // whose kernels were measured
  Costs alone, tiled;        // for one query, and for many
  size_t n_neighbors = 0;
  std::vector<int32_t> neighbors;  // by sampled code and number: the distances of its n_neighbors nearest other codes
};

struct Tables {
  size_t n_codes;
  size_t n_bytes;
  Substrings substrings;
  std::vector<Table> tables;
  bool compact;                  // only rows in the buckets: codes are looked up by row
  std::vector<double> expected;  // by distance: how many codes are that far from a code
  Survey survey;
  // Checks of the mapped file that contains tables and codes; null if contents are not checked on first use.
  const BlockChecks* checks = nullptr;
  bool from_file = false;  // contents are not trusted

  // Checks the blocks of values that are about to be read.
  template <class Value>
  void require(const Value* values, size_t n) const {
    if (checks != nullptr) checks->require(values, n * sizeof(Value));
  }

  size_t memory() const noexcept;  // bytes, besides the codes
};

constexpr size_t kMaxTableCodes = (size_t{1} << 32) - 1;

// Builds tables of at most kMaxTableCodes codes, which are borrowed only during the call. The speed of `kernels` is
// measured.
Tables build_tables(const KernelTable& kernels, CodesView codes, size_t n_bits, bool compact, size_t n_threads);

}  // namespace hashkit
