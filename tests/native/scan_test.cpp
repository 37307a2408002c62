// The scans against sorting everything.
#include "reference.hpp"
#include "core/gather.hpp"

namespace {

using namespace hashkit;
using reference::Data;
using reference::MaskedRows;
using reference::Sets;
using reference::SomeRows;

// k <= the number of allowed rows.
void check_k_nearest(const KernelTable& kernels, const Sets& sets, size_t k, size_t n_threads, RowSet allowed = {}) {
  const size_t n_queries = sets.asked.n_codes;
  Guarded<int32_t> distances(n_queries * k, Place::end());
  Guarded<int64_t> rows(n_queries * k, Place::end());
  scan_k_nearest(kernels, sets.stored, allowed, sets.asked, k, n_threads, distances.data(), rows.data());
  for (size_t q = 0; q < n_queries; ++q) {
    const auto expected = reference::k_nearest(sets.asked.row(q), sets.stored, k, allowed);
    for (size_t i = 0; i < k; ++i) {
      CHECK(reference::equal({distances[q * k + i], rows[q * k + i]}, expected[i]), isa_name(kernels.isa), ", place ",
            i, " of query ", q, " of ", n_queries, ", ", sets.stored.n_codes, " codes of ", sets.stored.n_bytes,
            " bytes, k = ", k, ", ", n_threads, " threads");
    }
  }
}

void check_within_radius(const KernelTable& kernels, const Sets& sets, int radius, size_t n_threads,
                         RowSet allowed = {}) {
  const WithinRadius found = scan_within_radius(kernels, sets.stored, allowed, sets.asked, radius, n_threads);
  CHECK(found.offsets.size() == sets.asked.n_codes + 1 && found.offsets.front() == 0);
  CHECK(found.distances.size() == found.rows.size());
  CHECK(static_cast<size_t>(found.offsets.back()) == found.rows.size());
  for (size_t q = 0; q < sets.asked.n_codes; ++q) {
    auto expected = reference::within(sets.asked.row(q), sets.stored, radius, allowed);
    std::sort(expected.begin(), expected.end());
    std::vector<Neighbor> row;
    for (auto i = static_cast<size_t>(found.offsets[q]); i < static_cast<size_t>(found.offsets[q + 1]); ++i) {
      row.push_back({found.distances[i], found.rows[i]});
    }
    CHECK(reference::equal(row, expected), isa_name(kernels.isa), ", query ", q, ", radius ", radius, ", ", n_threads,
          " threads");
  }
}

}  // namespace

TEST(scan_k_nearest_is_sorting) {
  for (Isa isa : reference::tested_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    for (size_t n_bytes : {1, 3, 8, 12, 16, 33}) {
      for (Data data : reference::kAllData) {
        for (size_t n_queries : {0, 1, 3, 4, 5, 13}) {
          const Sets sets(300 + n_bytes, n_queries, n_bytes, data);
          for (size_t k : {1, 10, 256, 301}) {
            check_k_nearest(kernels, sets, std::min(k, sets.stored.n_codes), 1 + (k + n_queries) % 4);
          }
        }
      }
    }
  }
}

// More codes than one block or tile, so that limits tighten on the way.
TEST(scan_k_nearest_over_many_tiles) {
  for (Isa isa : reference::tested_isas()) {
    for (Data data : {Data::kRandom, Data::kFew}) {
      const Sets sets(9001, 5, 8, data);
      for (size_t k : {1, 100, 3000}) check_k_nearest(kernel_table(isa), sets, k, 2);
      check_k_nearest(kernel_table(isa), Sets(9001, 2, 8, data), 100, 1);
    }
  }
}

TEST(scan_k_nearest_of_one_query_by_many_threads) {
  for (Isa isa : reference::tested_isas()) {
    for (Data data : {Data::kRandom, Data::kFew}) {
      const Sets sets(700'001, 1, 40, data);  // 28 MB
      for (size_t k : {1, 50}) check_k_nearest(kernel_table(isa), sets, k, 3);
    }
  }
}

// More than enough for two threads, which share the rows; a single one takes them piece by piece, too.
TEST(scan_of_some_queries_in_pieces) {
  for (Isa isa : reference::tested_isas()) {
    for (Data data : {Data::kRandom, Data::kFew}) {
      const Sets sets(270'001, 9, 8, data);
      check_k_nearest(kernel_table(isa), sets, 1, 2);
      check_k_nearest(kernel_table(isa), sets, 50, 2);
      check_within_radius(kernel_table(isa), sets, data == Data::kRandom ? 20 : 0, 2);
      check_k_nearest(kernel_table(isa), Sets(270'001, 3, 8, data), 50, 1);
    }
  }
}

TEST(scan_k_nearest_of_many_queries) {
  for (Isa isa : reference::tested_isas()) {
    const Sets sets(40, 2051, 4, Data::kRandom);
    for (size_t n_threads : {1, 3}) check_k_nearest(kernel_table(isa), sets, 7, n_threads);
  }
}

// Enough codes and queries that limits are guessed from a sample, of every 64th code, and that two threads share the
// rows: each query of the batch must be
// answered as if it came alone. With `misled` these codes are near to all queries, and no others are: every guess is
// then too low.
void check_guessed_limits(const KernelTable& kernels, bool misled, RowSet allowed) {
  constexpr size_t kCodes = 530'000, kQueries = 64, k = 100;
  Sets sets(kCodes, kQueries, 4, misled ? Data::kNear : Data::kRandom);
  for (size_t row = 0; misled && row < kCodes; ++row) {
    if (row % 64 != 63 || row >= 64 * 64) sets.codes[4 * row + row % 3] = sets.codes[4 * row + 3] = 0xFF;
  }
  std::vector<int32_t> distances(kQueries * k), limits(kQueries, 32);
  std::vector<int64_t> rows(kQueries * k);
  limits[5] = 3;
  scan_k_nearest(kernels, sets.stored, allowed, sets.asked, k, 2, distances.data(), rows.data(), limits.data());
  for (size_t q = 0; q < kQueries; ++q) {
    std::vector<int32_t> own_distances(k);
    std::vector<int64_t> own_rows(k);
    scan_k_nearest(kernels, sets.stored, allowed, {sets.asked.row(q), 1, 4}, k, 1, own_distances.data(),
                   own_rows.data(), &limits[q]);
    CHECK(std::equal(own_distances.begin(), own_distances.end(), &distances[q * k]) &&
              std::equal(own_rows.begin(), own_rows.end(), &rows[q * k]),
          isa_name(kernels.isa), ", query ", q, misled ? ", misled" : "");
  }
}

TEST(scan_k_nearest_by_guessed_limits) {
  const SomeRows rows(530'000, 2);
  for (Isa isa : reference::tested_isas()) {
    check_guessed_limits(kernel_table(isa), false, {});
    check_guessed_limits(kernel_table(isa), true, {});
    check_guessed_limits(kernel_table(isa), false, rows.set());
  }
}

TEST(scan_of_nothing) {
  for (Isa isa : reference::tested_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    for (size_t n_queries : {0, 1, 9}) {
      const Sets sets(0, n_queries, 8, Data::kRandom);
      check_k_nearest(kernels, sets, 0, 2);
      check_within_radius(kernels, sets, 64, 2);
    }
  }
}

TEST(scan_within_radius_is_a_filter) {
  for (Isa isa : reference::tested_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    for (size_t n_bytes : {1, 5, 8, 16, 40}) {
      for (Data data : reference::kAllData) {
        for (size_t n_queries : {0, 1, 3, 4, 11}) {
          const Sets sets(517, n_queries, n_bytes, data);
          const int n_bits = static_cast<int>(8 * n_bytes);
          for (int radius : {0, 1, 2, n_bits / 2, n_bits})
            check_within_radius(kernels, sets, radius, 1 + n_queries % 3);
        }
      }
    }
  }
}

TEST(scan_of_allowed_rows) {
  for (Isa isa : reference::tested_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    for (uint64_t every : {1, 2, 50}) {
      for (Data data : reference::kAllData) {
        for (size_t n_queries : {1, 6}) {
          const Sets sets(1003, n_queries, 9, data);
          const SomeRows rows(1003, every);
          const RowSet allowed = rows.set();
          const size_t n_allowed = count_rows(allowed, 1003);
          for (size_t k : {size_t{1}, n_allowed / 2, n_allowed}) check_k_nearest(kernels, sets, k, 2, allowed);
          const MaskedRows masked(1003, every);
          check_k_nearest(kernels, sets, 3, 2, masked.set());
          for (int radius : {0, 2, 36}) check_within_radius(kernels, sets, radius, 2, allowed);
        }
      }
    }
  }
}

TEST(all_distances_are_counted) {
  for (Isa isa : reference::tested_isas()) {
    for (size_t n_bytes : {1, 8, 20, 512}) {
      for (size_t n_threads : {1, 3}) {
        const Sets sets(600, 17, n_bytes, Data::kRandom);
        Guarded<uint16_t> distances(17 * 600, Place::end());
        all_distances(kernel_table(isa), sets.asked, sets.stored, n_threads, distances.data());
        for (size_t i = 0; i < distances.size(); ++i) {
          const int expected = reference::distance(sets.asked.row(i / 600), sets.stored.row(i % 600), n_bytes);
          CHECK(distances[i] == expected, isa_name(isa), ", ", n_bytes, " bytes, place ", i);
        }
      }
    }
  }
}
