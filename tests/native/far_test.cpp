// Search of cells against the scan.
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

void check_cells(const Cells& cells, CodesView codes) {
  std::vector<bool> seen(codes.n_codes);
  const CodesView centroids = cells.centroid_codes();
  for (size_t c = 0; c < cells.n_cells(); ++c) {
    for (uint32_t i = cells.starts[c]; i < cells.starts[c + 1]; ++i) {
      const uint32_t row = cells.rows[i];
      CHECK(!seen[row] && (i == cells.starts[c] || cells.rows[i - 1] < row));
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
          if (isa == Isa::kPortable) check_cells(cells, sets.stored);
          const reference::MaskedRows some(900, 2);
          for (RowSet allowed : {RowSet{}, some.set()}) {
            const CellRule endless{static_cast<int>(2 * n_bits), all_pass.data(), static_cast<int>(n_bits)};
            const CellSearch in{kernels, cells, sets.stored, allowed, endless};
            Answer expected(20);
            scan_k_nearest(kernels, sets.stored, allowed, sets.asked, kK, 1, expected.distances.data(),
                           expected.rows.data());
            std::vector<CellStats> stats(20);
            CHECK(search(in, sets.asked, 3, stats) == expected, isa_name(isa), ", ", n_bytes, " bytes, sketches of ",
                  sketch_bytes);
            for (const CellStats& of : stats) CHECK(of.cells == 30 && of.codes == 900);
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
      const CellSearch in{kernels, cells, sets.stored, RowSet{}, CellRule{-100, limits.data(), 512}};
      const Answer found = search(in, sets.asked, n_threads, first ? stats : first_stats);
      if (!first) first = found;
      CHECK(found == *first, isa_name(isa), ", ", n_threads, " threads");
    }
  }
  size_t n_compared = 0;
  for (const CellStats& of : first_stats) n_compared += static_cast<size_t>(of.codes);
  CHECK(n_compared < 30 * 2000 / 2, "the search must have ended early: ", n_compared);
}
