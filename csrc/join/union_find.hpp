// Union-find: a forest in which every row points to an earlier row of its set, and the first row to itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "parallel/stop.hpp"

namespace hashkit {

// The first row of a row's set. Halves the path (Tarjan and van Leeuwen 1984).
inline int64_t find_first(int64_t* parents, int64_t row) noexcept {
  while (parents[row] != row) {
    parents[row] = parents[parents[row]];
    row = parents[row];
  }
  return row;
}

// Unites the sets of left[i] and right[i], for every i.
inline void unite(int64_t* parents, const int64_t* left, const int64_t* right, size_t n_pairs) {
  for (size_t i = 0; i < n_pairs; ++i) {
    if (i % kRowsPerPoll == kRowsPerPoll - 1) poll_stop();
    const int64_t a = find_first(parents, left[i]), b = find_first(parents, right[i]);
    if (a < b) {
      parents[b] = a;
    } else {
      parents[a] = b;
    }
  }
}

// Makes every row point to the first of its set. A row's parent precedes it, so it already does.
inline void flatten(int64_t* parents, size_t n_rows) {
  in_chunks(n_rows, kRowsPerPoll, [=](size_t first, size_t last) {
    for (size_t row = first; row < last; ++row) parents[row] = parents[parents[row]];
  });
}

class Forest {
 public:
  // Each row is a set of its own.
  explicit Forest(size_t n_rows) : parents_(n_rows) { std::iota(parents_.begin(), parents_.end(), int64_t{0}); }

  size_t n_rows() const noexcept { return parents_.size(); }
  // Rows must be in the forest.
  void add(const int64_t* left, const int64_t* right, size_t n_pairs) { unite(parents_.data(), left, right, n_pairs); }
  // The first row of each row's set.
  std::vector<int64_t> firsts() {
    flatten(parents_.data(), parents_.size());
    return parents_;
  }

 private:
  std::vector<int64_t> parents_;
};

}  // namespace hashkit
