// What is copied together, and what is merged, against the whole.
#include "reference.hpp"
#include "core/gather.hpp"
#include "core/merge.hpp"

namespace {

using namespace hashkit;
using reference::Data;
using reference::Sets;
using reference::SomeRows;

}  // namespace

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

TEST(masks_are_asked_listed_and_narrow_bits_alike) {
  for (size_t n_rows : {0, 1, 63, 64, 65, 511, 512, 513, 3000}) {
    for (uint64_t every : {1, 2, 50}) {
      const reference::MaskedRows some(n_rows, every);
      std::vector<int64_t> in_mask, expected;
      for (size_t i = 0; i < some.mask.size(); ++i) {
        if (some.mask[i] != 0) in_mask.push_back(static_cast<int64_t>(i));
      }
      size_t rank = 0;
      for (size_t row = 0; row < n_rows; ++row) {
        const bool has_bit = (some.bits[row / 8] >> row % 8 & 1) != 0;
        CHECK(some.set().rank(row) == rank, "row ", row, " of ", n_rows);
        CHECK(some.set().has(row) == (has_bit && some.mask[rank] != 0), "row ", row, " of ", n_rows);
        if (some.set().has(row)) expected.push_back(static_cast<int64_t>(row));
        rank += has_bit ? 1 : 0;
      }
      CHECK(list_rows(some.mask.data(), some.mask.size(), in_mask.size()) == in_mask, n_rows, " rows");
      if (!in_mask.empty()) {
        CHECK(!list_rows(some.mask.data(), some.mask.size(), in_mask.size() - 1), n_rows, " rows");
      }
      Guarded<uint8_t> narrowed((n_rows + 7) / 8, Place::end());
      narrow_bits(some.bits.data(), some.mask.data(), n_rows, narrowed.data());
      CHECK(count_rows({narrowed.data()}, n_rows) == expected.size(), n_rows, " rows");
      for (int64_t row : expected) CHECK((narrowed[static_cast<size_t>(row) / 8] >> row % 8 & 1) != 0, "row ", row);
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
    std::vector<NearestView<int32_t>> nearest_parts;
    std::vector<WithinRadiusView<int32_t>> within_parts;
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
  CHECK(first_unordered(NearestView<int32_t>{distances, ids, 2}, 3) == 2);
  const int64_t same_distance[] = {9, 5, 7, 4, 1, 0};
  CHECK(first_unordered(NearestView<int32_t>{distances, same_distance, 2}, 3) == 1);
  const int64_t offsets[] = {0, 4, 4, 6};
  CHECK(first_unordered(WithinRadiusView<int32_t>{offsets, distances, ids}, 3) == 2);
}
