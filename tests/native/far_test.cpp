// Search of cells, and exact search by bounds, against the scan.
#include "far/bounded_search.hpp"
#include "far/search.hpp"

#include "reference.hpp"

namespace {

using namespace hashkit;
using reference::Data;
using reference::Sets;

constexpr size_t kK = 7;

struct Answer {
  std::vector<int32_t> distances;
  std::vector<int64_t> rows;

  explicit Answer(size_t n_queries) : distances(n_queries * kK), rows(n_queries * kK) {}
  bool operator==(const Answer& other) const { return distances == other.distances && rows == other.rows; }
};

Answer search(const CellSearch& in, CodesView queries, size_t n_threads, std::vector<CellStats>& stats) {
  Answer answer(queries.n_codes);
  cells_k_nearest(in, queries, kK, n_threads, answer.distances.data(), answer.rows.data(), nullptr, stats.data());
  return answer;
}

void check_order(const Cells& cells, CodesView codes) {
  std::vector<bool> seen(codes.n_codes);
  const CodesView centroids = cells.centroid_codes();
  for (size_t c = 0; c < cells.n_cells(); ++c) {
    for (uint32_t i = cells.starts[c]; i < cells.starts[c + 1]; ++i) {
      const uint32_t row = cells.rows[i];
      CHECK(!seen[row]);
      if (i > cells.starts[c]) {
        const uint32_t last = cells.rows[i - 1];
        const int distance = reference::distance(centroids.row(c), codes.row(row), codes.n_bytes);
        const int before = reference::distance(centroids.row(c), codes.row(last), codes.n_bytes);
        CHECK(cells.has_copies() && distance != before ? before < distance : last < row);
      }
      seen[row] = true;
      CHECK(reference::k_nearest(codes.row(row), centroids, 1)[0].row == static_cast<int64_t>(c));
      for (size_t b = 0; b < cells.sketch_places.size(); ++b) {
        const uint32_t place = cells.sketch_places[b];
        const uint8_t* sketch = cells.sketches.data() + i * cells.sketch_bytes;
        CHECK((sketch[b / 8] >> (7 - b % 8) & 1) == (codes.row(row)[place / 8] >> (7 - place % 8) & 1));
      }
    }
  }
  CHECK(std::find(seen.begin(), seen.end(), false) == seen.end());
}

}  // namespace

TEST(far_finds_what_a_scan_finds_when_nothing_ends_it) {
  for (size_t n_bytes : {16, 48, 72, 128}) {
    for (Data data : reference::kAllData) {
      const Sets sets(900, 20, n_bytes, data);
      const size_t n_bits = 8 * n_bytes;
      const std::vector<int32_t> all_pass(n_bits + 1, static_cast<int32_t>(n_bits));
      for (size_t sketch_bytes : {size_t{0}, size_t{8}, n_bytes}) {
        for (Isa isa : reference::tested_isas()) {
          const KernelTable& kernels = kernel_table(isa);
          const Cells cells = build_cells(kernels, sets.stored, n_bits, 30, sketch_bytes, 2);
          if (isa == Isa::kPortable) check_order(cells, sets.stored);
          const reference::MaskedRows some(900, 2);
          for (RowSet allowed : {RowSet{}, some.set()}) {
            const CellRule endless{static_cast<int>(2 * n_bits), all_pass.data(), static_cast<int>(n_bits),
                                   isa == Isa::kPortable};
            const CellSearch in{kernels, cells, sets.stored, allowed, endless};
            Answer expected(20);
            scan_k_nearest(kernels, sets.stored, allowed, sets.asked, kK, 1, expected.distances.data(),
                           expected.rows.data());
            std::vector<CellStats> stats(20);
            CHECK(search(in, sets.asked, 3, stats) == expected, isa_name(isa), ", ", n_bytes, " bytes, sketches of ",
                  sketch_bytes);
            for (const CellStats& of : stats) {
              CHECK(of.cells == 30 || (cells.has_copies() && of.cells < 30));
              CHECK(of.codes == 900 || (cells.has_copies() && of.codes < 900));
            }
          }
        }
      }
    }
  }
}

TEST(far_answers_do_not_depend_on_threads_or_instruction_set) {
  const Sets sets(2000, 30, 64, Data::kRandom);
  std::vector<int32_t> limits(513);
  for (size_t d = 0; d < limits.size(); ++d) limits[d] = static_cast<int32_t>(d < 512 ? d / 8 : 64);
  std::vector<CellStats> stats(30), first_stats(30);
  std::optional<Answer> first;
  for (Isa isa : reference::tested_isas()) {
    for (size_t n_threads : {1, 2, 5}) {
      const KernelTable& kernels = kernel_table(isa);
      const Cells cells = build_cells(kernels, sets.stored, 512, 50, 8, n_threads);
      const CellSearch in{kernels, cells, sets.stored, RowSet{}, CellRule{-100, limits.data(), 512, true}};
      const Answer found = search(in, sets.asked, n_threads, first ? stats : first_stats);
      if (!first) first = found;
      CHECK(found == *first, isa_name(isa), ", ", n_threads, " threads");
    }
  }
  size_t n_compared = 0;
  for (const CellStats& of : first_stats) n_compared += static_cast<size_t>(of.codes);
  CHECK(n_compared < 30 * 2000 / 2, "the search must have ended early: ", n_compared);
}

TEST(far_bounds_leave_what_a_scan_finds) {
  const auto check = [](size_t n_bytes, Data data, size_t n_cells) {
    const Sets sets(900, 20, n_bytes, data);
    const reference::MaskedRows some(900, 2);
    const std::vector<int32_t> limits(20, static_cast<int32_t>(3 * n_bytes));
    for (Isa isa : reference::tested_isas()) {
      const KernelTable& kernels = kernel_table(isa);
      const Cells cells = build_cells(kernels, sets.stored, 8 * n_bytes, n_cells, 0, 2);
      const Bounds bounds = build_bounds(kernels, cells, sets.stored, n_bytes / 16 * 8, 2);
      if (isa == Isa::kPortable) check_bounds(bounds, cells, sets.stored);
      for (RowSet allowed : {RowSet{}, some.set()}) {
        for (const int32_t* limit : {static_cast<const int32_t*>(nullptr), limits.data()}) {
          for (size_t n_threads : {1, 3, 40}) {
            Answer expected(20), found(20);
            scan_k_nearest(kernels, sets.stored, allowed, sets.asked, kK, 1, expected.distances.data(),
                           expected.rows.data(), limit);
            const BoundedSearch in{kernels, cells, bounds, sets.stored, allowed};
            std::vector<BoundedStats> stats(20);
            bounded_k_nearest(in, sets.asked, kK, n_threads, found.distances.data(), found.rows.data(), limit,
                              stats.data());
            CHECK(found == expected, isa_name(isa), ", ", n_bytes, " bytes, ", reference::name_of(data), ", ",
                  n_threads, " threads");
          }
        }
      }
    }
  };
  for (size_t n_bytes : {16, 48, 72, 130}) {
    for (Data data : reference::kAllData) {
      for (size_t n_cells : {1, 30}) check(n_bytes, data, n_cells);
    }
  }
}

TEST(far_bounds_are_shared_by_threads) {
  // So many bytes that two threads share the cells of one query: 64 topics, each code with a tenth of its bits flipped.
  constexpr size_t kBytes = 512, kCodes = 140'000;
  std::vector<uint8_t> topics(64 * kBytes), codes(kCodes * kBytes);
  reference::fill_codes(Data::kRandom, topics.data(), 64, kBytes, 1);
  std::mt19937_64 random(2);
  for (size_t row = 0; row < kCodes; ++row) {
    uint8_t* code = codes.data() + row * kBytes;
    std::copy_n(topics.data() + random() % 64 * kBytes, kBytes, code);
    for (size_t flip = 0; flip < 8 * kBytes / 10; ++flip) {
      const uint64_t place = random() % (8 * kBytes);
      code[place / 8] = static_cast<uint8_t>(code[place / 8] ^ 1u << place % 8);
    }
  }
  const CodesView stored{codes.data(), kCodes, kBytes}, asked{topics.data(), 2, kBytes};
  const KernelTable& kernels = kernel_table(reference::tested_isas().back());
  const Cells cells = build_cells(kernels, stored, 8 * kBytes, 128, 0, 2);
  const Bounds bounds = build_bounds(kernels, cells, stored, 96, 2);
  const BoundedSearch in{kernels, cells, bounds, stored, RowSet{}};
  Answer expected(2);
  scan_k_nearest(kernels, stored, RowSet{}, asked, kK, 1, expected.distances.data(), expected.rows.data());
  for (size_t n_threads : {1, 2, 5}) {
    Answer found(2);
    std::vector<BoundedStats> stats(2), again(2);
    for (auto* of : {&stats, &again}) {
      for (size_t q = 0; q < 2; ++q) {
        const CodesView one{asked.row(q), 1, kBytes};
        bounded_k_nearest(in, one, kK, n_threads, found.distances.data() + q * kK, found.rows.data() + q * kK, nullptr,
                          of->data() + q);
      }
      CHECK(found == expected, n_threads, " threads");
    }
    for (size_t q = 0; q < 2; ++q) {
      CHECK(!stats[q].scanned && stats[q].codes < static_cast<int64_t>(kCodes / 4), stats[q].codes);
      CHECK(stats[q].codes == again[q].codes && stats[q].sketches == again[q].sketches, "counts repeat");
    }
  }
}
