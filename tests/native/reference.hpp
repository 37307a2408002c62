// The slow, obvious twins, the data they are compared on, and the instruction sets that are tested.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include "check.hpp"
#include "core/row_set.hpp"
#include "core/top_k.hpp"
#include "kernels/kernel_table.hpp"
#include "scan/linear_scan.hpp"

namespace reference {

using hashkit::Isa;
using hashkit::Neighbor;

// What this machine runs, and what this build emulates.
inline std::vector<Isa> tested_isas() {
  std::vector<Isa> isas = hashkit::supported_isas();
#if defined(HASHKIT_TEST_EMULATES_AVX512)
  isas = {Isa::kAvx512bw, Isa::kAvx512};
#endif
  return isas;
}

inline std::vector<int> counts_of_bytes() {
  std::vector<int> counts(256);
  for (size_t byte = 1; byte < 256; ++byte) counts[byte] = counts[byte / 2] + static_cast<int>(byte % 2);
  return counts;
}

inline int distance(const uint8_t* a, const uint8_t* b, size_t n_bytes) {
  static const std::vector<int> counts = counts_of_bytes();
  int sum = 0;
  for (size_t j = 0; j < n_bytes; ++j) sum += counts[a[j] ^ b[j]];
  return sum;
}

// Kinds of codes: what a kernel may get wrong shows on at least one of them.
enum class Data { kRandom, kNear, kFar, kFew };
constexpr Data kAllData[] = {Data::kRandom, Data::kNear, Data::kFar, Data::kFew};

inline const char* name_of(Data data) {
  switch (data) {
    case Data::kRandom:
      return "random";
    case Data::kNear:  // at most one bit from zero: many ties at 0, 1 and 2
      return "near";
    case Data::kFar:  // zeros and ones only: distances 0 and n_bits, sums at their largest
      return "far";
    case Data::kFew:  // three different codes: ties everywhere
      return "few";
  }
  return "?";
}

inline void fill_codes(Data data, uint8_t* codes, size_t n_codes, size_t n_bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t row = 0; row < n_codes; ++row) {
    uint8_t* code = codes + row * n_bytes;
    const uint64_t draw = random();
    if (data == Data::kRandom) {
      for (size_t j = 0; j < n_bytes; ++j) code[j] = static_cast<uint8_t>(random());
    } else if (data == Data::kNear) {
      std::memset(code, 0, n_bytes);
      if (draw % 2 == 0) code[draw / 16 % n_bytes] = static_cast<uint8_t>(1u << (draw / 2 % 8));
    } else if (data == Data::kFar) {
      std::memset(code, draw % 2 == 0 ? 0 : 0xFF, n_bytes);
    } else {
      for (size_t j = 0; j < n_bytes; ++j) code[j] = static_cast<uint8_t>(37 * (draw % 3) + 11 * j * (draw % 3));
    }
  }
}

// Codes and queries of one kind, nothing readable behind either.
struct Sets {
  Guarded<uint8_t> codes, queries;
  hashkit::CodesView stored, asked;

  Sets(size_t n_codes, size_t n_queries, size_t n_bytes, Data data)
      : codes(n_codes * n_bytes, Place::end()),
        queries(n_queries * n_bytes, Place::end()),
        stored{codes.data(), n_codes, n_bytes},
        asked{queries.data(), n_queries, n_bytes} {
    fill_codes(data, codes.data(), n_codes, n_bytes, 3 * n_codes + n_bytes);
    fill_codes(data, queries.data(), n_queries, n_bytes, 5 * n_queries + n_bytes);
  }
};

// A bitmap of rows, about one of `every` set, that ends before a forbidden page.
struct SomeRows {
  Guarded<uint8_t> bits;

  SomeRows(size_t n_rows, uint64_t every) : bits((n_rows + 7) / 8, Place::end()) {
    std::mt19937_64 random(n_rows);
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = 0;
    for (size_t row = 0; row < n_rows; ++row) {
      if (random() % every == 0) bits[row / 8] = static_cast<uint8_t>(bits[row / 8] | 1u << row % 8);
    }
  }
  hashkit::RowSet set() const noexcept { return {bits.data()}; }
};

// Of these rows about every third, by a mask beside the bitmap.
struct MaskedRows : SomeRows {
  std::vector<size_t> ranks;
  Guarded<uint8_t> mask;

  MaskedRows(size_t n_rows, uint64_t every)
      : SomeRows(n_rows, every), ranks(hashkit::ranks_of(bits.data(), n_rows)), mask(ranks.back(), Place::end()) {
    std::mt19937_64 random(n_rows + 1);
    for (size_t i = 0; i < mask.size(); ++i) mask[i] = random() % 3 == 0 ? 2 : 0;
  }
  hashkit::RowSet set() const noexcept { return {bits.data(), mask.data(), ranks.data()}; }
};

// (distance, row) of every allowed code within a limit, in the order of the rows.
inline std::vector<Neighbor> within(const uint8_t* query, hashkit::CodesView codes, int limit,
                                    hashkit::RowSet allowed = {}) {
  std::vector<Neighbor> found;
  for (size_t row = 0; row < codes.n_codes; ++row) {
    if (!allowed.has(row)) continue;
    const int d = distance(query, codes.row(row), codes.n_bytes);
    if (d <= limit) found.push_back({d, static_cast<int64_t>(row)});
  }
  return found;
}

inline std::vector<Neighbor> k_nearest(const uint8_t* query, hashkit::CodesView codes, size_t k,
                                       hashkit::RowSet allowed = {}) {
  std::vector<Neighbor> all = within(query, codes, static_cast<int>(8 * codes.n_bytes), allowed);
  std::sort(all.begin(), all.end());
  all.resize(std::min(k, all.size()));
  return all;
}

inline bool equal(const Neighbor& a, const Neighbor& b) {
  return a.distance == b.distance && a.row == b.row;
}

inline bool equal(const std::vector<Neighbor>& a, const std::vector<Neighbor>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](const Neighbor& x, const Neighbor& y) { return equal(x, y); });
}

}  // namespace reference
