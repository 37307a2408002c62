// Tables and cells of a file, whatever it contains: no read outside their arrays, which the sanitizers would see.
// HASHKIT_FUZZ_SECONDS says how long each of the two goes on, by default a second.
#include <array>
#include <chrono>

#include "far/bounded_search.hpp"
#include "far/search.hpp"
#include "far/stored.hpp"
#include "mih/search.hpp"
#include "mih/stored.hpp"
#include "reference.hpp"

namespace {

using namespace hashkit;
using reference::Data;
using reference::Sets;

class Random {
 public:
  uint64_t below(uint64_t n) { return next() % n; }
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    return state_ ^= state_ << 17;
  }

 private:
  uint64_t state_ = 88172645463325252;
};

bool time_is_left(std::chrono::steady_clock::time_point start) {
  const char* text = std::getenv("HASHKIT_FUZZ_SECONDS");
  const double seconds = text == nullptr ? 1 : std::atof(text);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds;
}

// A copy of values, exactly as large, some of which become others: small numbers, their neighbors, or anything.
template <class Value>
std::vector<Value> spoiled(const HugeArray<Value>& values, size_t typical, Random& random) {
  std::vector<Value> copy(values.data(), values.data() + values.size());
  if (copy.empty() || random.below(2) == 0) return copy;
  for (size_t n = 1 + random.below(random.below(2) == 0 ? 4 : copy.size()); n > 0; --n) {
    Value& value = copy[random.below(copy.size())];
    const uint64_t anything = random.next(), kind = random.below(4);
    const uint64_t chosen = kind == 0   ? random.below(2 * typical)
                            : kind == 1 ? value + random.below(3) - 1
                            : kind == 2 ? value ^ (uint64_t{1} << random.below(8 * sizeof(Value)))
                                        : anything;
    value = static_cast<Value>(chosen);
  }
  return copy;
}

template <class Value>
HugeArray<Value> view(const std::vector<Value>& values) {
  return HugeArray<Value>::borrow(values.data(), values.size());
}

struct Spoiled {
  std::vector<uint32_t> offsets, rows;
  std::vector<uint64_t> occupied, words;
};

// Whether a search ended by an answer, or by saying that something is damaged; all else fails the test.
template <class Search>
bool is_answered(const Search& search) {
  try {
    search();
    return true;
  } catch (const DamagedError&) {
    return false;
  }
}

}  // namespace

TEST(stored_tables_of_any_content_are_searched_within_their_arrays) {
  const auto start = std::chrono::steady_clock::now();
  Random random;
  size_t n_answered = 0, n_refused = 0, n_trials = 0;
  while (n_trials++ < 8 || time_is_left(start)) {
    const size_t n_codes = 1 + random.below(700), n_bytes = 1 + random.below(random.below(3) == 0 ? 70 : 9);
    const bool compact = random.below(2) == 0;
    const Sets sets(n_codes, 5, n_bytes, reference::kAllData[random.below(std::size(reference::kAllData))]);
    const KernelTable& kernels = kernel_table(reference::tested_isas()[random.below(reference::tested_isas().size())]);
    const Tables built = build_tables(kernels, sets.stored, 8 * n_bytes, compact, 1);
    std::vector<Spoiled> contents;
    for (const Table& table : built.tables) {
      contents.push_back({spoiled(table.offsets, n_codes, random), spoiled(table.rows, n_codes, random),
                          spoiled(table.occupied, n_codes, random), spoiled(table.words, n_codes, random)});
    }
    Tables tables{n_codes, n_bytes, built.substrings, {}, compact, built.expected, built.survey, nullptr, true};
    for (size_t j = 0; j < contents.size(); ++j) {
      const Spoiled& of = contents[j];
      tables.tables.push_back(
          {view(of.offsets), view(of.occupied), view(of.rows), view(of.words), built.tables[j].expected});
    }
    if (!are_plausible(tables)) continue;
    const std::vector<uint8_t> bits((n_codes + 7) / 8, 0);
    const IndexedCodes in{kernels, tables, sets.stored, random.below(2) == 0 ? RowSet{} : RowSet{bits.data()}, n_codes};
    const size_t k = 1 + random.below(n_codes);
    std::vector<int32_t> distances(5 * k);
    std::vector<int64_t> rows(5 * k);
    for (int64_t most : {kNoMaximum, int64_t{50}}) {
      const bool answered = is_answered(
          [&] { mih_k_nearest(in, sets.asked, k, 1, distances.data(), rows.data(), nullptr, most, nullptr); });
      ++(answered ? n_answered : n_refused);
    }
    is_answered([&] { mih_within_radius(in, sets.asked, static_cast<int>(random.below(8 * n_bytes)), 1); });
    is_answered([&] { check_tables(tables, sets.stored, 1); });
  }
  CHECK(n_answered > 0 && n_refused > 0, n_answered, " answered, ", n_refused, " refused");
}

TEST(stored_tables_are_compared_with_their_codes) {
  for (bool compact : {false, true}) {
    const Sets sets(900, 1, 8, Data::kRandom);
    const KernelTable& kernels = kernel_table(Isa::kPortable);
    Tables tables = build_tables(kernels, sets.stored, 64, compact, 1);
    check_tables(tables, sets.stored, 2);
    for (size_t j = 0; j < tables.tables.size(); ++j) {
      Table& table = tables.tables[j];
      for (size_t i = 0; i < 900; i += 97) {
        const uint32_t row = std::exchange(table.rows[i], table.rows[(i + 1) % 900]);
        CHECK(!is_answered([&] { check_tables(tables, sets.stored, 1); }));
        table.rows[i] = row;
      }
      for (size_t key = 0; key <= tables.substrings[j].n_keys(); key += 64) {
        ++table.offsets[key];
        CHECK(!is_answered([&] { check_tables(tables, sets.stored, 1); }));
        --table.offsets[key];
      }
      for (size_t i = 0; i < table.words.size(); i += 89) {
        table.words[i] ^= 1;
        CHECK(!is_answered([&] { check_tables(tables, sets.stored, 1); }));
        table.words[i] ^= 1;
      }
      table.occupied[0] ^= 4;
      CHECK(!is_answered([&] { check_tables(tables, sets.stored, 1); }));
      table.occupied[0] ^= 4;
    }
    check_tables(tables, sets.stored, 1);
  }
}

TEST(stored_cells_of_any_content_are_searched_within_their_arrays) {
  const auto start = std::chrono::steady_clock::now();
  Random random;
  size_t n_answered = 0, n_refused = 0, n_trials = 0;
  while (n_trials++ < 8 || time_is_left(start)) {
    const size_t n_codes = 50 + random.below(500), n_bytes = 16 + random.below(60), n_bits = 8 * n_bytes - 3;
    const size_t sketch_bytes = std::array<size_t, 3>{0, 8, n_bytes}[random.below(3)];
    const Sets sets(n_codes, 5, n_bytes, Data::kRandom);
    const KernelTable& kernels = kernel_table(reference::tested_isas()[random.below(reference::tested_isas().size())]);
    const Cells built = build_cells(kernels, sets.stored, n_bits, 12, sketch_bytes, 1);
    const auto centroids = spoiled(built.centroids, 256, random), sketches = spoiled(built.sketches, 256, random);
    const auto rows = spoiled(built.rows, n_codes, random);
    Cells cells{};
    cells.n_codes = n_codes;
    cells.n_bits = n_bits;
    cells.n_bytes = n_bytes;
    cells.centroids = view(centroids);
    cells.starts = built.starts;
    cells.rows = view(rows);
    cells.sketch_places = built.sketch_places;
    cells.sketch_bytes = sketch_bytes;
    cells.sketches = view(sketches);
    cells.steps = built.steps;
    for (uint16_t& step : cells.steps)
      step = static_cast<uint16_t>(random.below(4) == 0 ? random.below(1 << 16) : step);
    CHECK(are_plausible(cells));
    complete_cells(cells);
    const std::vector<int32_t> limits(n_bits + 1, static_cast<int32_t>(random.below(70)));
    const bool has_limits = !cells.sketch_places.empty();
    const CellRule rule{static_cast<int>(random.below(50)), has_limits ? limits.data() : nullptr,
                        static_cast<int>(random.below(n_bits)), random.below(2) == 0};
    const std::vector<uint8_t> bits((n_codes + 7) / 8, 0x55);
    const CellSearch in{kernels, cells, sets.stored, random.below(2) == 0 ? RowSet{} : RowSet{bits.data()}, rule};
    const size_t k = 1 + random.below(20);
    std::vector<int32_t> distances(5 * k);
    std::vector<int64_t> found(5 * k);
    const bool answered =
        is_answered([&] { cells_k_nearest(in, sets.asked, k, 1, distances.data(), found.data(), nullptr, nullptr); });
    ++(answered ? n_answered : n_refused);
    is_answered([&] { check_cells(cells, sets.stored); });
  }
  CHECK(n_answered > 0 && n_refused > 0, n_answered, " answered, ", n_refused, " refused");
}

TEST(stored_bounds_of_any_content_are_searched_within_their_arrays) {
  const auto start = std::chrono::steady_clock::now();
  Random random;
  size_t n_answered = 0, n_refused = 0, n_trials = 0;
  while (n_trials++ < 8 || time_is_left(start)) {
    const size_t n_codes = 50 + random.below(500), n_bytes = 16 + random.below(60);
    const Sets sets(n_codes, 5, n_bytes, reference::kAllData[random.below(std::size(reference::kAllData))]);
    const KernelTable& kernels = kernel_table(reference::tested_isas()[random.below(reference::tested_isas().size())]);
    const Cells built = build_cells(kernels, sets.stored, 8 * n_bytes, 12, 0, 1);
    const Bounds whole = build_bounds(kernels, built, sets.stored, 8 + 8 * random.below(2), 1);
    const auto centroids = spoiled(built.centroids, 256, random);
    const auto centroid_sketches = spoiled(whole.centroid_sketches, 256, random);
    const auto places = spoiled(whole.places, 8 * n_bytes / 4, random), reaches = spoiled(whole.reaches, 200, random);
    const auto rows = spoiled(whole.rows, n_codes, random);
    const auto distances = spoiled(whole.distances, 200, random), rests = spoiled(whole.rests, 200, random);
    const auto sketches = spoiled(whole.sketches, 256, random);
    Cells cells{};
    cells.n_codes = n_codes;
    cells.n_bits = 8 * n_bytes;
    cells.n_bytes = n_bytes;
    cells.centroids = view(centroids);
    cells.starts = built.starts;
    complete_cells(cells);
    const Bounds bounds{whole.sketch_bytes, view(places), view(centroid_sketches), view(reaches), view(rows),
                        view(distances),    view(rests),  view(sketches)};
    if (!are_plausible(bounds, cells)) continue;
    const std::vector<uint8_t> bits((n_codes + 7) / 8, 0x55);
    const BoundedSearch in{kernels, cells, bounds, sets.stored, random.below(2) == 0 ? RowSet{} : RowSet{bits.data()}};
    const size_t k = 1 + random.below(20);
    std::vector<int32_t> found(5 * k);
    std::vector<int64_t> found_rows(5 * k);
    const bool answered = is_answered([&] {
      bounded_k_nearest(in, sets.asked, k, 1 + random.below(2), found.data(), found_rows.data(), nullptr, nullptr);
    });
    ++(answered ? n_answered : n_refused);
    is_answered([&] { check_bounds(bounds, cells, sets.stored); });
  }
  CHECK(n_answered > 0 && n_refused > 0, n_answered, " answered, ", n_refused, " refused");
}

TEST(stored_bounds_are_compared_with_their_codes) {
  const Sets sets(500, 1, 32, Data::kRandom);
  const KernelTable& kernels = kernel_table(Isa::kPortable);
  const Cells cells = build_cells(kernels, sets.stored, 256, 12, 0, 1);
  Bounds bounds = build_bounds(kernels, cells, sets.stored, 8, 1);
  check_bounds(bounds, cells, sets.stored);
  const auto is_refused = [&](auto& array, size_t i, auto value) {
    const auto whole = std::exchange(array[i], static_cast<std::decay_t<decltype(array[0])>>(value));
    CHECK(!is_answered([&] { check_bounds(bounds, cells, sets.stored); }), "entry ", i);
    array[i] = whole;
  };
  for (size_t i = 0; i < 500; i += 37) {
    is_refused(bounds.rows, i, bounds.rows[(i + 1) % 500]);
    is_refused(bounds.rows, i, 500);
    is_refused(bounds.distances, i, bounds.distances[i] + 1);
    is_refused(bounds.rests, i, bounds.rests[i] ^ 1);
    is_refused(bounds.sketches, 8 * i, bounds.sketches[8 * i] ^ 4);
  }
  for (size_t cell = 0; cell < 12; ++cell) {
    if (cells.starts[cell] == cells.starts[cell + 1]) continue;
    is_refused(bounds.reaches, cell, bounds.reaches[cell] - 1);
    is_refused(bounds.centroid_sketches, 8 * cell, bounds.centroid_sketches[8 * cell] ^ 1);
  }
  check_bounds(bounds, cells, sets.stored);
}

TEST(stored_blocks_are_compared_when_they_are_read) {
  constexpr size_t kBlocks = 200;
  std::vector<uint8_t> data(kBlocks * kCheckedBlock);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * i >> 3);
  std::vector<uint64_t> sums;
  for (size_t b = 0; b < kBlocks; ++b) sums.push_back(block_sum(data.data() + b * kCheckedBlock, kCheckedBlock));
  const auto is_whole = [](const BlockChecks& checks, const uint8_t* at, size_t n) {
    return is_answered([&] { checks.require(at, n); });
  };
  data[150 * kCheckedBlock + 7] ^= 1;
  const BlockChecks checks(data.data(), data.size(), sums.data(), "it");
  CHECK(is_whole(checks, data.data(), 150 * kCheckedBlock));
  CHECK(is_whole(checks, data.data() + 3, 1) && is_whole(checks, data.data() + 151 * kCheckedBlock, 1));
  CHECK(!is_whole(checks, data.data() + 150 * kCheckedBlock + 4000, 1));
  CHECK(!is_whole(checks, data.data() + 150 * kCheckedBlock - 1, 2) && !is_whole(checks, data.data(), data.size()));
  CHECK(is_whole(checks, data.data() - 5, 2) && is_whole(checks, data.data() + data.size(), 9));
  data[150 * kCheckedBlock + 7] ^= 1;
  CHECK(is_whole(checks, data.data(), data.size()));
  data[0] ^= 1;  // what has been compared is not compared again
  CHECK(is_whole(checks, data.data(), data.size()));
}
