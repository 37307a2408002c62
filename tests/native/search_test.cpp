// TopK and the scans against sorting everything.
#include "parallel/parallel_for.hpp"
#include "reference.hpp"
#include "search/gather.hpp"
#include "search/merge.hpp"
#include "search/packing.hpp"

namespace {

using namespace hashkit;
using reference::Data;
using reference::Sets;

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
  RowSet set() const noexcept { return {bits.data()}; }
};

// Pushes in the given order what limit_of lets through; the answer must be that of sorting everything.
template <class Limit>
void check_top_k(const std::vector<Neighbor>& pushed, size_t k, int n_bits, const Limit& limit_of) {
  TopK top_k(k, n_bits);
  for (const Neighbor& neighbor : pushed) {
    if (neighbor.distance <= limit_of(top_k)) top_k.push(neighbor.row, neighbor.distance);
  }
  std::vector<Neighbor> expected = pushed;
  std::sort(expected.begin(), expected.end());
  expected.resize(std::min(k, expected.size()));
  CHECK(reference::equal(top_k.take(), expected), "k = ", k, ", ", pushed.size(), " pushed, ", n_bits, " bits");
}

}  // namespace

TEST(top_k_is_sorting) {
  std::mt19937_64 random(0);
  for (int n_bits : {1, 2, 8, 64, 4096}) {
    for (size_t n : {0, 1, 2, 10, 63, 64, 65, 300, 2000}) {
      std::vector<Neighbor> ascending;
      for (size_t i = 0; i < n; ++i) {
        ascending.push_back(
            {static_cast<int32_t>(random() % static_cast<uint64_t>(n_bits + 1)), static_cast<int64_t>(i)});
      }
      std::vector<Neighbor> shuffled = ascending, nearer = ascending, farther = ascending;
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      std::sort(nearer.rbegin(), nearer.rend());
      std::sort(farther.begin(), farther.end());
      for (size_t k : {1, 2, 3, 10, 64, 100, 5000}) {
        for (const auto& order : {ascending, shuffled, nearer, farther}) {
          check_top_k(order, k, n_bits, [&](const TopK&) { return n_bits; });
          check_top_k(order, k, n_bits, [](const TopK& top_k) { return top_k.limit(); });
        }
        check_top_k(ascending, k, n_bits, [](const TopK& top_k) { return top_k.ascending_limit(); });
      }
    }
  }
}

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

TEST(scan_k_nearest_of_many_queries) {
  for (Isa isa : reference::tested_isas()) {
    const Sets sets(40, 2051, 4, Data::kRandom);
    for (size_t n_threads : {1, 3}) check_k_nearest(kernel_table(isa), sets, 7, n_threads);
  }
}

// Enough codes and queries that limits are guessed from a sample, of every 64th code: each query of the batch must be
// answered as if it came alone. With `misled` these codes are near to all queries, and no others are: every guess is
// then too low.
void check_guessed_limits(const KernelTable& kernels, bool misled, RowSet allowed) {
  constexpr size_t kCodes = 280'000, kQueries = 64, k = 100;
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
  const SomeRows rows(280'000, 2);
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
          for (int radius : {0, 2, 36}) check_within_radius(kernels, sets, radius, 2, allowed);
        }
      }
    }
  }
}

TEST(gather_copies_the_allowed_rows) {
  for (size_t n_codes : {0, 1, 7, 8, 9, 1003}) {
    for (uint64_t every : {1, 2, 50}) {
      const Sets sets(n_codes, 1, 9, Data::kRandom);
      const SomeRows some(n_codes, every);
      const RowSet allowed = some.set();
      const auto expected = reference::within(sets.asked.row(0), sets.stored, 72, allowed);
      CHECK(count_rows(allowed, n_codes) == expected.size(), n_codes, " codes");
      Guarded<uint8_t> gathered(9 * expected.size(), Place::end());
      Guarded<int64_t> rows(expected.size(), Place::end());
      gather_rows(sets.stored, allowed, 2, gathered.data(), rows.data());
      for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(rows[i] == expected[i].row, n_codes, " codes, place ", i);
        CHECK(std::memcmp(&gathered[9 * i], sets.stored.row(static_cast<size_t>(rows[i])), 9) == 0, "place ", i);
      }
    }
  }
}

// Codes in three parts, one of them without any: what is found in each, merged, is what is found in all.
TEST(merge_of_parts_is_the_whole) {
  const KernelTable& kernels = kernel_table(Isa::kPortable);
  for (Data data : reference::kAllData) {
    const size_t n_queries = 5;
    const Sets sets(700, n_queries, 4, data);
    const size_t edges[] = {0, 300, 300, 700};
    std::vector<std::vector<int32_t>> distances;
    std::vector<std::vector<int64_t>> ids;
    std::vector<WithinRadius> within;
    std::vector<NearestView> nearest_parts;
    std::vector<WithinRadiusView> within_parts;
    for (size_t part = 0; part < 3; ++part) {
      const CodesView codes{sets.stored.row(edges[part]), edges[part + 1] - edges[part], 4};
      const size_t k = std::min<size_t>(50, codes.n_codes);
      distances.emplace_back(n_queries * k);
      ids.emplace_back(n_queries * k);
      scan_k_nearest(kernels, codes, {}, sets.asked, k, 1, distances.back().data(), ids.back().data());
      within.push_back(scan_within_radius(kernels, codes, {}, sets.asked, 12, 1));
      for (int64_t& id : ids.back()) id += static_cast<int64_t>(edges[part]);
      for (int64_t& id : within.back().rows) id += static_cast<int64_t>(edges[part]);
      nearest_parts.push_back({distances.back().data(), ids.back().data(), k});
      CHECK(first_unordered(nearest_parts.back(), n_queries) == n_queries);
    }
    for (const WithinRadius& part : within) {
      within_parts.push_back({part.offsets.data(), part.distances.data(), part.rows.data()});
    }
    Guarded<int32_t> merged_distances(n_queries * 50, Place::end());
    Guarded<int64_t> merged_ids(n_queries * 50, Place::end());
    merge_nearest(nearest_parts, n_queries, 50, 2, merged_distances.data(), merged_ids.data());
    const WithinRadius whole = scan_within_radius(kernels, sets.stored, {}, sets.asked, 12, 1);
    Guarded<int32_t> all_distances_within(whole.rows.size(), Place::end());
    Guarded<int64_t> all_ids_within(whole.rows.size(), Place::end());
    merge_within_radius(within_parts, n_queries, 2, all_distances_within.data(), all_ids_within.data());
    for (size_t q = 0; q < n_queries; ++q) {
      const auto expected = reference::k_nearest(sets.asked.row(q), sets.stored, 50);
      for (size_t i = 0; i < 50; ++i) {
        CHECK(reference::equal({merged_distances[q * 50 + i], merged_ids[q * 50 + i]}, expected[i]), "query ", q);
      }
    }
    for (size_t i = 0; i < whole.rows.size(); ++i) {
      CHECK(reference::equal({all_distances_within[i], all_ids_within[i]}, {whole.distances[i], whole.rows[i]}), i);
    }
  }
}

TEST(merge_finds_the_first_query_out_of_order) {
  const int32_t distances[] = {1, 2, 3, 3, 2, 1};
  const int64_t ids[] = {9, 5, 4, 7, 1, 0};
  CHECK(first_unordered(NearestView{distances, ids, 2}, 3) == 2);
  const int64_t same_distance[] = {9, 5, 7, 4, 1, 0};
  CHECK(first_unordered(NearestView{distances, same_distance, 2}, 3) == 1);
  const int64_t offsets[] = {0, 4, 4, 6};
  CHECK(first_unordered(WithinRadiusView{offsets, distances, ids}, 3) == 2);
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

TEST(packing_is_undone_by_unpacking) {
  for (Isa isa : reference::tested_isas()) {
    for (size_t n_bits : {1, 7, 8, 9, 31, 32, 64, 100, 257, 4096}) {
      for (size_t n_rows : {0, 1, 5, 3000}) {
        if (n_bits * n_rows > 400'000) continue;
        Guarded<uint8_t> bits(n_rows * n_bits, Place::end()), again(n_rows * n_bits, Place::end());
        Guarded<uint8_t> codes(n_rows * ((n_bits + 7) / 8), Place::end());
        std::mt19937_64 random(n_bits);
        for (size_t i = 0; i < bits.size(); ++i) bits[i] = random() % 2;
        pack_rows(kernel_table(isa), bits.data(), n_rows, n_bits, 2, codes.data());
        unpack_rows(codes.data(), n_rows, n_bits, 2, again.data());
        CHECK(n_rows == 0 || std::memcmp(bits.data(), again.data(), bits.size()) == 0, isa_name(isa), ", ", n_rows,
              " rows of ", n_bits, " bits");
      }
    }
  }
}

// More values than one task takes, so that rows are shared among threads.
TEST(packing_by_many_threads) {
  constexpr size_t kRows = 40'000, kBits = 64;
  std::vector<float> values(kRows * kBits);
  std::mt19937_64 random(1);
  for (float& value : values) value = random() % 2 ? 1.0f : -1.0f;
  for (Isa isa : reference::tested_isas()) {
    std::vector<uint8_t> one(kRows * kBits / 8), many(one.size());
    pack_rows(kernel_table(isa), values.data(), kRows, kBits, 1, one.data());
    pack_rows(kernel_table(isa), values.data(), kRows, kBits, 4, many.data());
    CHECK(one == many, isa_name(isa));
  }
}
