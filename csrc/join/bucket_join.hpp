// All pairs of codes within a small radius of each other, by buckets: if codes are cut into radius + 1 substrings, two
// within the radius have at least one of these in common. So every code is compared with those only that share a bucket
// with it in one of radius + 1 tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/codes_view.hpp"
#include "core/huge_vector.hpp"
#include "join/pair_join.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

constexpr size_t kMaxJoinTables = 16;

// Where codes are cut, and which bucket of 2^bucket_bits a substring belongs to.
class Substrings {
 public:
  // n_tables <= kMaxJoinTables and n_bits; bucket_bits <= 32.
  Substrings(size_t n_bits, size_t n_tables, unsigned bucket_bits);

  size_t n_tables() const noexcept { return n_tables_; }
  size_t n_buckets() const noexcept { return size_t{1} << bucket_bits_; }
  uint32_t bucket_of(const uint8_t* code, size_t table) const noexcept;

 private:
  size_t n_bytes_;
  size_t n_tables_;
  unsigned bucket_bits_;
  uint32_t cuts_[kMaxJoinTables + 1];  // substring t is bits [cuts_[t], cuts_[t + 1])
};

// For each table all codes in the order of (bucket, row): their bytes, their rows, and where each bucket starts.
struct BucketTables {
  Substrings substrings;
  HugeVector<uint8_t> codes;
  HugeVector<uint32_t> rows;
  HugeVector<uint32_t> starts;  // 2^bucket_bits + 1 for each table
};

struct BucketTablesView {
  Substrings substrings;
  size_t n_codes;
  const uint8_t* codes;
  const uint32_t* rows;
  const uint32_t* starts;
};

// Tables for joins of n_left codes with `codes`, or of these with themselves if n_left is 0; nothing if a scan costs
// less, whether for lack of codes, for too large a radius, or because too many of them share buckets. With `always` the
// costs do not matter.
std::optional<BucketTables> make_bucket_tables(CodesView codes, size_t n_bits, size_t n_left, int radius, bool always,
                                               size_t n_threads);

// As scan_pairs. rows.right are the codes that the tables were made of.
std::optional<Pairs> bucket_pairs(const KernelTable& kernels, const JoinRows& rows, const BucketTablesView& tables,
                                  int radius, size_t n_threads, size_t max_pairs);

}  // namespace hashkit
