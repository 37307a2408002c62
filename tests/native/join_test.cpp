// The pair join against comparing everything, and sets that grow together.
#include <string>

#include "reference.hpp"
#include "jaccard/limits.hpp"
#include "jaccard/sketches.hpp"
#include "join/bucket_join.hpp"
#include "join/jaccard_join.hpp"
#include "join/pair_join.hpp"
#include "join/union_find.hpp"

namespace {

using namespace hashkit;
using reference::Data;

void check_found(const std::optional<Pairs>& found, const JoinRows& rows, int radius, const std::string& how) {
  CHECK(found.has_value());
  size_t place = 0;
  for (size_t left = rows.first; left < rows.last; ++left) {
    for (size_t right = rows.later_only ? left + 1 : 0; right < rows.right.n_codes; ++right) {
      const int d = reference::distance(rows.left.row(left), rows.right.row(right), rows.left.n_bytes);
      if (d > radius) continue;
      CHECK(place < found->left.size() && found->left[place] == static_cast<int64_t>(left) &&
                found->right[place] == static_cast<int64_t>(right) && found->distances[place] == d,
            how, ", pair ", left, " ", right, ", ", rows.left.n_bytes, " bytes, radius ", radius);
      ++place;
    }
  }
  CHECK(place == found->left.size() && place == found->right.size() && place == found->distances.size());
}

JoinTables tables_for(const JoinRows& rows, size_t n_bits, int radius, int reach) {
  const size_t n_left = rows.later_only ? 0 : rows.left.n_codes;
  auto tables = make_join_tables(rows.right, n_bits, n_left, radius, reach, 2);
  CHECK(tables.has_value());
  return *std::move(tables);
}

void check_pairs(const KernelTable& kernels, const JoinRows& rows, int radius, size_t n_threads) {
  const std::string how = std::string(isa_name(kernels.isa)) + ", " + std::to_string(n_threads) + " threads";
  check_found(scan_pairs(kernels, rows, radius, n_threads, SIZE_MAX), rows, radius, how);
  for (int reach = 0; reach <= 2; ++reach) {
    const JoinTables tables = tables_for(rows, 8 * rows.left.n_bytes, radius, reach);
    const auto found = bucket_pairs(kernels, rows, tables, radius, n_threads, SIZE_MAX);
    check_found(found, rows, radius, how + ", by buckets, reach " + std::to_string(reach));
  }
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
        for (int radius : {0, 2, 5}) {
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

namespace {

void check_jaccard_pairs(const KernelTable& kernels, CodesView codes, double similarity, size_t n_folded) {
  std::vector<uint8_t> sorted(codes.n_codes * codes.n_bytes), sketches(codes.n_codes * n_folded);
  std::vector<int64_t> starts(8 * codes.n_bytes + 2), order_rows(codes.n_codes);
  sort_by_popcount(kernels, codes, 1, sorted.data(), starts.data(), order_rows.data());
  const PopcountOrder order{{sorted.data(), codes.n_codes, codes.n_bytes}, starts.data(), order_rows.data()};
  fold_codes(order.codes, n_folded, 2, sketches.data());
  const NearLimits limits(Measure{}, similarity, true, codes.n_bytes);
  const CodesView folded{sketches.data(), codes.n_codes, n_folded};
  const auto found = jaccard_pairs(kernels, {codes, 0, codes.n_codes, order, folded, 0, true, limits}, 3, SIZE_MAX);
  CHECK(found.has_value());
  const std::vector<uint8_t> zero(codes.n_bytes);
  size_t place = 0;
  for (size_t left = 0; left < codes.n_codes; ++left) {
    for (size_t right = left + 1; right < codes.n_codes; ++right) {
      const int h = reference::distance(codes.row(left), codes.row(right), codes.n_bytes);
      const int sum = reference::distance(codes.row(left), zero.data(), codes.n_bytes) +
                      reference::distance(codes.row(right), zero.data(), codes.n_bytes);
      if (sum > 0 && static_cast<double>(sum - h) / (sum + h) < similarity) continue;
      CHECK(place < found->left.size() && found->left[place] == static_cast<int64_t>(left) &&
                found->right[place] == static_cast<int64_t>(right) &&
                found->distances[place] == jaccard_distance(h, sum),
            isa_name(kernels.isa), ", pair ", left, " ", right, ", ", codes.n_bytes, " bytes, sketches of ", n_folded);
      ++place;
    }
  }
  CHECK(place == found->left.size() && place == found->distances.size());
}

}  // namespace

TEST(jaccard_pairs_are_all_that_are_near) {
  for (Isa isa : reference::tested_isas()) {
    for (size_t n_bytes : {1, 8, 20}) {
      for (Data data : reference::kAllData) {
        Guarded<uint8_t> bytes(203 * n_bytes, Place::end());
        reference::fill_codes(data, bytes.data(), 203, n_bytes, 1);
        const CodesView codes{bytes.data(), 203, n_bytes};
        for (double similarity : {0.0, 0.4, 0.7, 1.0}) {
          check_jaccard_pairs(kernel_table(isa), codes, similarity, std::min<size_t>(n_bytes, 8));
          check_jaccard_pairs(kernel_table(isa), codes, similarity, n_bytes);
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
    CHECK(!scan_pairs(kernel_table(isa), rows, 0, 3, 1000).has_value());
  }
}

TEST(bucket_pairs_end_early) {
  const std::vector<uint8_t> zeros(8 * 9000);
  const CodesView codes{zeros.data(), 9000, 8};
  const JoinRows rows{codes, 0, 9000, codes, true};
  const JoinTables tables = tables_for(rows, 64, 2, 0);
  const KernelTable& kernels = kernel_table(reference::tested_isas().back());
  CHECK(!bucket_pairs(kernels, rows, tables, 2, 3, 1000).has_value());
}

TEST(join_tables_are_for_joins_that_they_make_faster) {
  Guarded<uint8_t> random(20'000 * 8, Place::end());
  reference::fill_codes(Data::kRandom, random.data(), 20'000, 8, 1);
  const std::vector<uint8_t> zeros(8 * 20'000);
  const auto made = [](const uint8_t* codes, size_t n_codes, size_t n_left, int radius) {
    return make_join_tables({codes, n_codes, 8}, 64, n_left, radius, std::nullopt, 1).has_value();
  };
  CHECK(made(random.data(), 20'000, 0, 2) && made(random.data(), 20'000, 20'000, 2));
  CHECK(!made(random.data(), 500, 0, 2));      // too few codes
  CHECK(!made(random.data(), 20'000, 3, 2));   // too few on the left
  CHECK(!made(random.data(), 20'000, 0, 15));  // substrings of four bits
  CHECK(!made(random.data(), 20'000, 0, 16));  // too many tables
  CHECK(!made(zeros.data(), 20'000, 0, 2));    // one bucket holds everything
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
