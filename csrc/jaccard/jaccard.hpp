// Exact search by Jaccard distance, 1 - |A and B| / |A or B|, over codes in the order of their popcounts.
//
// Codes of popcounts a and b at Hamming distance h have (a + b + h) / 2 bits in their union, h of which are not common:
// their Jaccard distance is 2h / (a + b + h), and 0 between two empty codes. It grows with h / (a + b), so a bound on
// it is a bound on h for each popcount, and the kernels of Hamming distance apply. Since h >= |a - b|, codes whose
// popcounts differ too much from the query's are skipped (Swamidass and Baldi 2007).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/codes_view.hpp"
#include "core/row_set.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

// Codes in the order of (popcount, row). Those of popcount p, from 0 to 8 * n_bytes, are at [starts[p], starts[p + 1]);
// `rows` has the original row of each. Borrowed.
struct PopcountOrder {
  CodesView codes;
  const int64_t* starts;
  const int64_t* rows;

  size_t start(int popcount) const noexcept { return static_cast<size_t>(starts[popcount]); }
  int popcount_at(size_t place) const noexcept {
    const int64_t* end = starts + 8 * codes.n_bytes + 2;
    return static_cast<int>(std::upper_bound(starts, end, static_cast<int64_t>(place)) - starts) - 1;
  }
  // The same if the result is known to be `from` or a little more.
  int popcount_from(int from, size_t place) const noexcept {
    while (start(from + 1) <= place) ++from;
    return from;
  }
};

// Sorts codes in that order; `sorted` and `rows` have room for all of them, `starts` for 8 * n_bytes + 2 values.
void sort_by_popcount(const KernelTable& kernels, CodesView codes, size_t n_threads, uint8_t* sorted, int64_t* starts,
                      int64_t* rows);

// The distance as the double nearest to the fraction. Different fractions of up to 4,096 give different doubles.
inline double jaccard_distance(int hamming, int popcounts_sum) noexcept {
  return popcounts_sum == 0 ? 0.0 : 2.0 * hamming / (popcounts_sum + hamming);
}

// The k nearest allowed rows of each query, where k is at most their number, by (distance, row). Distances are compared
// as fractions; `distances` and `rows` are (n_queries, k). `sketches` are those of the codes in `order` (sketches.hpp),
// or these codes. Returns how many codes or sketches were compared with a query.
uint64_t jaccard_k_nearest(const KernelTable& kernels, const PopcountOrder& order, CodesView sketches, RowSet allowed,
                           CodesView queries, size_t k, size_t n_threads, double* distances, int64_t* rows);

// Those of query i are [offsets[i], offsets[i + 1]), by (distance, row).
struct WithinJaccard {
  std::vector<int64_t> offsets;
  std::vector<double> distances;
  std::vector<int64_t> rows;
  uint64_t n_compared = 0;
};

// Every allowed row whose distance, as jaccard_distance gives it, is <= radius, for every query.
WithinJaccard jaccard_within_radius(const KernelTable& kernels, const PopcountOrder& order, RowSet allowed,
                                    CodesView queries, double radius, size_t n_threads);

}  // namespace hashkit
