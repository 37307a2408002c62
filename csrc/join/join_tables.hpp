// Tables for joins within a small radius. Codes are split into substrings; for each substring a table holds all codes
// in buckets by its value. Two codes within radius r differ in at most `reach` bits of at least one of r / (reach + 1)
// + 1 substrings (the pigeonhole principle), so each code is compared only with codes in the buckets within `reach` of
// its own, in each table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/codes_view.hpp"
#include "core/huge_vector.hpp"

namespace hashkit {

constexpr size_t kMaxJoinTables = 32;
constexpr int kMaxReach = 3;

// Splits codes into substrings of consecutive bits. Each substring has a key, and each key one of 2^bucket_bits
// buckets.
class HashedSubstrings {
 public:
  // n_tables <= kMaxJoinTables and n_bits; bucket_bits <= 32; reach <= kMaxReach.
  HashedSubstrings(size_t n_bits, size_t n_tables, int reach, unsigned bucket_bits);

  size_t n_tables() const noexcept { return n_tables_; }
  size_t n_buckets() const noexcept { return size_t{1} << bucket_bits_; }
  // The number of bits in which a key may differ from that of the code looked up.
  int reach() const noexcept { return reach_; }
  // The largest radius for which the tables find all pairs.
  size_t radius() const noexcept { return n_tables_ * (static_cast<size_t>(reach_) + 1) - 1; }
  // The bits of a substring. A long one is folded by xor, so keys never differ in more bits than their substrings.
  uint64_t key_of(const uint8_t* code, size_t table) const noexcept;
  size_t width_of(size_t table) const noexcept;  // bits of a key
  uint32_t bucket_of(uint64_t key, size_t table) const noexcept;
  // The xor masks from a key to each key within reach; zero comes first.
  const std::vector<uint64_t>& masks(size_t table) const noexcept { return masks_[width_of(table) - least_width_]; }
  bool share_key_nearly(const uint8_t* a, const uint8_t* b, size_t table) const noexcept {
    return __builtin_popcountll(key_of(a, table) ^ key_of(b, table)) <= reach_;
  }

 private:
  size_t n_bytes_;
  size_t n_tables_;
  int reach_;
  unsigned bucket_bits_;
  size_t least_width_;
  std::vector<uint64_t> masks_[2];     // widths differ by one at most
  uint32_t cuts_[kMaxJoinTables + 1];  // substring t is bits [cuts_[t], cuts_[t + 1])
};

// For each table, all codes in the order of (bucket, row): bytes, rows, and the start of each bucket.
struct JoinTables {
  HashedSubstrings substrings;
  size_t n_codes;
  size_t n_bits;
  HugeVector<uint8_t> codes;
  HugeVector<uint32_t> rows;
  HugeVector<uint32_t> starts;  // 2^bucket_bits + 1 for each table

  size_t memory() const noexcept;  // bytes
};

// Builds tables for joins of n_left codes with `codes`, or of `codes` with themselves if n_left is 0, with the reach of
// the lowest estimated cost. Returns nothing if a scan costs less: too few codes, too large a radius, or too many codes
// in the same buckets. If `reach` is given, it is used at any cost, if possible.
std::optional<JoinTables> make_join_tables(CodesView codes, size_t n_bits, size_t n_left, int radius,
                                           std::optional<int> reach, size_t n_threads);

}  // namespace hashkit
