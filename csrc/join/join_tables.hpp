// Tables for joins within a small radius: codes are cut into substrings, and for each substring a table holds all codes
// in buckets by it. Two codes within the radius r agree in all but `reach` bits of one of r / (reach + 1) + 1
// substrings (the pigeonhole principle): each code is compared only with those in the buckets around its own, as far
// as that, in each table.
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

// Cuts codes into substrings of consecutive bits. Each has a key, and each key one of 2^bucket_bits buckets.
class HashedSubstrings {
 public:
  // n_tables <= kMaxJoinTables and n_bits; bucket_bits <= 32; reach <= kMaxReach.
  HashedSubstrings(size_t n_bits, size_t n_tables, int reach, unsigned bucket_bits);

  size_t n_tables() const noexcept { return n_tables_; }
  size_t n_buckets() const noexcept { return size_t{1} << bucket_bits_; }
  // How many bits a key may differ in from that of the code that is looked up.
  int reach() const noexcept { return reach_; }
  // The largest radius that the tables serve.
  size_t radius() const noexcept { return n_tables_ * (static_cast<size_t>(reach_) + 1) - 1; }
  // The bits of a substring; those of a long one in pieces laid over each other by xor, so that keys never differ in
  // more bits than their substrings.
  uint64_t key_of(const uint8_t* code, size_t table) const noexcept;
  uint32_t bucket_of(uint64_t key, size_t table) const noexcept;
  // The xor of a key with each key within reach, of no bit first.
  const std::vector<uint64_t>& masks(size_t table) const noexcept { return masks_[width_of(table) - least_width_]; }
  bool share_key_nearly(const uint8_t* a, const uint8_t* b, size_t table) const noexcept {
    return __builtin_popcountll(key_of(a, table) ^ key_of(b, table)) <= reach_;
  }

 private:
  size_t width_of(size_t table) const noexcept;  // of a key

  size_t n_bytes_;
  size_t n_tables_;
  int reach_;
  unsigned bucket_bits_;
  size_t least_width_;
  std::vector<uint64_t> masks_[2];     // widths differ by one at most
  uint32_t cuts_[kMaxJoinTables + 1];  // substring t is bits [cuts_[t], cuts_[t + 1])
};

// For each table all codes in the order of (bucket, row): their bytes, their rows, and where each bucket starts.
struct JoinTables {
  HashedSubstrings substrings;
  size_t n_codes;
  size_t n_bits;
  HugeVector<uint8_t> codes;
  HugeVector<uint32_t> rows;
  HugeVector<uint32_t> starts;  // 2^bucket_bits + 1 for each table

  size_t memory() const noexcept;  // bytes
};

// Tables for joins of n_left codes with `codes`, or of `codes` with themselves if n_left is 0, at the reach that is
// estimated to cost least. Nothing if a scan costs less: too few codes, too large a radius, or too many codes that
// share buckets. With `reach`, tables of that one whatever they cost, if there can be any.
std::optional<JoinTables> make_join_tables(CodesView codes, size_t n_bits, size_t n_left, int radius,
                                           std::optional<int> reach, size_t n_threads);

}  // namespace hashkit
