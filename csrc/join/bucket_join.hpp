// All pairs of codes within a small radius of each other, by tables: if codes are cut into radius + 1 substrings, two
// codes within the radius agree in at least one of them. So each code is compared only with the codes that share a
// bucket with it in one of radius + 1 tables.
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

// Cuts codes into substrings of consecutive bits, and hashes each to one of 2^bucket_bits buckets.
class HashedSubstrings {
 public:
  // n_tables <= kMaxJoinTables and n_bits; bucket_bits <= 32.
  HashedSubstrings(size_t n_bits, size_t n_tables, unsigned bucket_bits);

  size_t n_tables() const noexcept { return n_tables_; }
  size_t n_buckets() const noexcept { return size_t{1} << bucket_bits_; }
  uint32_t bucket_of(const uint8_t* code, size_t table) const noexcept;

 private:
  size_t n_bytes_;
  size_t n_tables_;
  unsigned bucket_bits_;
  uint32_t cuts_[kMaxJoinTables + 1];  // substring t is bits [cuts_[t], cuts_[t + 1])
};

// For each table all codes in the order of (bucket, row): their bytes, their rows, and where each bucket starts. The
// tables serve a join within a radius below their number.
struct JoinTables {
  HashedSubstrings substrings;
  size_t n_codes;
  size_t n_bits;
  HugeVector<uint8_t> codes;
  HugeVector<uint32_t> rows;
  HugeVector<uint32_t> starts;  // 2^bucket_bits + 1 for each table

  size_t memory() const noexcept;  // bytes
};

// Tables for joins of n_left codes with `codes`, or of `codes` with themselves if n_left is 0. Nothing if a scan costs
// less: too few codes, too large a radius, or too many codes that share buckets. `always` ignores the costs.
std::optional<JoinTables> make_join_tables(CodesView codes, size_t n_bits, size_t n_left, int radius, bool always,
                                           size_t n_threads);

// As scan_pairs, for a radius below the number of tables. rows.right are the codes that the tables were made of.
std::optional<Pairs> bucket_pairs(const KernelTable& kernels, const JoinRows& rows, const JoinTables& tables,
                                  int radius, size_t n_threads, size_t max_pairs);

}  // namespace hashkit
