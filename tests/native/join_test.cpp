// The pair join against comparing everything, and sets that grow together.
#include "reference.hpp"
#include "search/pair_join.hpp"
#include "search/union_find.hpp"

namespace {

using namespace hashkit;
using reference::Data;

void check_pairs(const KernelTable& kernels, const JoinRows& rows, int radius, size_t n_threads) {
  const auto found = scan_pairs(kernels, rows, radius, n_threads, SIZE_MAX, [] {});
  CHECK(found.has_value());
  size_t place = 0;
  for (size_t left = rows.first; left < rows.last; ++left) {
    for (size_t right = rows.later_only ? left + 1 : 0; right < rows.right.n_codes; ++right) {
      const int d = reference::distance(rows.left.row(left), rows.right.row(right), rows.left.n_bytes);
      if (d > radius) continue;
      CHECK(place < found->left.size() && found->left[place] == static_cast<int64_t>(left) &&
                found->right[place] == static_cast<int64_t>(right) && found->distances[place] == d,
            isa_name(kernels.isa), ", pair ", left, " ", right, ", ", rows.left.n_bytes, " bytes, ", n_threads,
            " threads");
      ++place;
    }
  }
  CHECK(place == found->left.size() && place == found->right.size() && place == found->distances.size());
}

}  // namespace

TEST(scan_pairs_are_all_that_are_near) {
  for (Isa isa : reference::tested_isas()) {
    for (size_t n_bytes : {1, 8, 16, 20}) {
      for (Data data : reference::kAllData) {
        Guarded<uint8_t> left(307 * n_bytes, Place::end()), right(91 * n_bytes, Place::end());
        reference::fill_codes(data, left.data(), 307, n_bytes, 1);
        reference::fill_codes(data, right.data(), 91, n_bytes, 2);
        const CodesView a{left.data(), 307, n_bytes}, b{right.data(), 91, n_bytes};
        for (int radius : {0, 2}) {
          check_pairs(kernel_table(isa), {a, 0, 307, a, true}, radius, 3);
          check_pairs(kernel_table(isa), {a, 100, 302, a, true}, radius, 1);
          check_pairs(kernel_table(isa), {a, 0, 307, b, false}, radius, 2);
          check_pairs(kernel_table(isa), {b, 89, 91, a, false}, radius, 1);
          check_pairs(kernel_table(isa), {a, 5, 5, b, false}, radius, 1);
        }
      }
    }
  }
}

// Enough to compare for several threads, all of which must stop.
TEST(scan_pairs_by_many_threads_end_early) {
  const std::vector<uint8_t> zeros(8 * 4000);
  const CodesView codes{zeros.data(), 4000, 8};
  for (Isa isa : reference::tested_isas()) {
    const JoinRows rows{codes, 0, 4000, codes, true};
    CHECK(!scan_pairs(kernel_table(isa), rows, 0, 3, 1000, [] {}).has_value());
    size_t n_calls = 0;
    const auto stop = [&] {
      if (++n_calls == 2) throw std::runtime_error("stopped");
    };
    CHECK_THROWS(scan_pairs(kernel_table(isa), rows, 0, 3, SIZE_MAX, stop), std::runtime_error, "stopped");
  }
}

TEST(union_find_labels_by_the_first) {
  std::mt19937_64 random(0);
  for (size_t n : {1, 2, 10, 200}) {
    std::vector<int64_t> parents(n), labels(n);
    for (size_t i = 0; i < n; ++i) parents[i] = labels[i] = static_cast<int64_t>(i);
    for (size_t i = 0; i < n; ++i) {
      const int64_t left = static_cast<int64_t>(random() % n), right = static_cast<int64_t>(random() % n);
      unite(parents.data(), &left, &right, 1);
      const int64_t a = labels[static_cast<size_t>(left)], b = labels[static_cast<size_t>(right)];
      for (int64_t& label : labels) {
        if (label == a || label == b) label = std::min(a, b);
      }
    }
    flatten(parents.data(), n);
    CHECK(parents == labels, n, " rows");
  }
}
