// Multi-index hashing against the scan.
#include "mih/search.hpp"
#include "reference.hpp"

namespace {

using namespace hashkit;
using reference::Data;
using reference::Sets;

void check_k_nearest(const IndexedCodes& in, CodesView queries, size_t k, size_t n_threads) {
  std::vector<int32_t> distances(queries.n_codes * k), expected_distances(queries.n_codes * k);
  std::vector<int64_t> rows(queries.n_codes * k), expected_rows(queries.n_codes * k);
  std::vector<QueryStats> stats(queries.n_codes);
  scan_k_nearest(in.kernels, in.codes, in.allowed, queries, k, 1, expected_distances.data(), expected_rows.data());
  for (int64_t max_candidates : {kNoMaximum, kNoMaximum - 1}) {  // with the first the whole batch may go to a scan
    mih_k_nearest(in, queries, k, n_threads, distances.data(), rows.data(), nullptr, max_candidates, stats.data());
    CHECK(distances == expected_distances && rows == expected_rows, isa_name(in.kernels.isa), ", ", in.codes.n_codes,
          " codes of ", in.codes.n_bytes, " bytes, k = ", k, ", compact: ", in.tables.compact);
    for (const QueryStats& of : stats) CHECK(of.exact);
  }
}

// What no cost ends: every query probes the tables until it has found everything within its radius.
void check_probing_to_the_end(const IndexedCodes& in, CodesView queries, int radius) {
  class All final : public Collector {
   public:
    explicit All(int radius) : radius_(radius) {}
    int limit() const noexcept override { return radius_; }
    bool bounded() const noexcept override { return true; }
    void push(int64_t row, int distance) override { found.push_back({distance, row}); }
    std::vector<Neighbor> found;

   private:
    int radius_;
  };
  const Costs free_costs{0, 0, 0, 1, 0, 0};
  Probing probing(in.kernels, in.tables, in.codes, in.allowed, free_costs);
  std::vector<All> collectors(queries.n_codes, All(radius));
  std::vector<Probe> group;
  group.reserve(queries.n_codes);
  for (size_t q = 0; q < queries.n_codes; ++q) {
    group.emplace_back(in.tables, queries.row(q), collectors[q], kNoMaximum);
  }
  probing.run(group);
  for (size_t q = 0; q < queries.n_codes; ++q) {
    auto expected = reference::within(queries.row(q), in.codes, radius, in.allowed);
    std::sort(expected.begin(), expected.end());
    std::sort(collectors[q].found.begin(), collectors[q].found.end());
    CHECK(!group[q].stats.scanned && group[q].stats.exact);
    CHECK(reference::equal(collectors[q].found, expected), isa_name(in.kernels.isa), ", ", in.codes.n_codes,
          " codes of ", in.codes.n_bytes, " bytes, radius ", radius, ", compact: ", in.tables.compact);
  }
}

}  // namespace

TEST(mih_finds_what_a_scan_finds) {
  for (size_t n_bytes : {1, 5, 8, 16, 72}) {
    for (Data data : reference::kAllData) {
      for (size_t n_codes : {1, 63, 900}) {
        const Sets c(n_codes, 9, n_bytes, data);
        std::vector<uint8_t> bits((n_codes + 7) / 8, 0x6D);
        if (n_codes % 8 != 0) bits.back() &= static_cast<uint8_t>((1 << n_codes % 8) - 1);
        const std::vector<size_t> ranks = ranks_of(bits.data(), n_codes);
        std::vector<uint8_t> mask(n_codes);
        for (size_t i = 0; i < n_codes; ++i) mask[i] = i % 5 < 2 ? 0 : 3;
        const RowSet all{}, some{bits.data()}, masked{nullptr, mask.data()},
            fewer{bits.data(), mask.data(), ranks.data()};
        for (bool compact : {false, true}) {
          const Tables tables =
              build_tables(kernel_table(reference::tested_isas().back()), c.stored, 8 * n_bytes, compact, 2);
          for (Isa isa : reference::tested_isas()) {
            for (RowSet allowed : {all, some, masked, fewer}) {
              size_t n_allowed = 0;
              for (size_t row = 0; row < n_codes; ++row) n_allowed += allowed.has(row) ? 1 : 0;
              const IndexedCodes in{kernel_table(isa), tables, c.stored, allowed, n_allowed};
              check_k_nearest(in, c.asked, std::min<size_t>(n_allowed, 7), 2);
              check_probing_to_the_end(in, c.asked, static_cast<int>(n_bytes));
            }
          }
        }
      }
    }
  }
}

TEST(mih_tables_hold_every_row_once_under_its_key) {
  const Sets c(5000, 1, 8, Data::kRandom);
  const Tables tables = build_tables(kernel_table(reference::tested_isas().back()), c.stored, 64, false, 3);
  std::vector<uint64_t> words(tables.substrings.n_words());
  for (size_t j = 0; j < tables.tables.size(); ++j) {
    const Table& table = tables.tables[j];
    const size_t n_keys = tables.substrings[j].n_keys();
    CHECK(table.offsets[0] == 0 && table.offsets[n_keys] == c.stored.n_codes);
    std::vector<char> met(c.stored.n_codes);
    for (uint32_t key = 0; key < n_keys; ++key) {
      CHECK(table.offsets[key] <= table.offsets[key + 1]);
      const bool has_bucket = (table.occupied[key / 64] >> (key % 64) & 1) != 0;
      CHECK(has_bucket == (table.offsets[key] < table.offsets[key + 1]));
      for (uint32_t at = table.offsets[key]; at < table.offsets[key + 1]; ++at) {
        CHECK(at == table.offsets[key] || table.rows[at - 1] < table.rows[at]);
        tables.substrings.rearrange(c.stored.row(table.rows[at]), words.data());
        CHECK(tables.substrings[j].key_of(words.data()) == key);
        CHECK(std::equal(words.begin(), words.end(), &table.words[at * words.size()]));
        CHECK(met[table.rows[at]]++ == 0);
      }
    }
  }
}

TEST(mih_expects_the_limit_of_codes_alike) {
  constexpr size_t kNeighbors = 2;
  Survey survey;
  survey.n_neighbors = kNeighbors;
  for (int q = 0; q < 64; ++q) survey.neighbors.insert(survey.neighbors.end(), {q / 8, 10 + q / 4});  // 10 to 25
  for (int visited : {-1, 9, 12, 20}) {
    for (int limit : {13, 15, 25, 40}) {
      std::vector<int> alike;
      for (size_t i = 1; i < survey.neighbors.size(); i += kNeighbors) {
        if (survey.neighbors[i] > visited && survey.neighbors[i] <= limit) alike.push_back(survey.neighbors[i]);
      }
      const int expected = alike.size() < 4 ? limit : alike[4 * (alike.size() - 1) / 5];
      CHECK(expected_limit(survey, 2, visited, limit) == expected, visited, " to ", limit);
    }
  }
  CHECK(expected_limit(survey, 3, -1, 30) == 30, "no sampled code says where the third neighbor is");
  CHECK(expected_limit(Survey(), 1, -1, 30) == 30);
}
