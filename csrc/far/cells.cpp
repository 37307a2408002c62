#include "far/cells.hpp"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

#include "parallel/parallel_for.hpp"
#include "scan/linear_scan.hpp"

namespace hashkit {
namespace {

// K-majority, the k-means of Hamming distance: each bit of a centroid is the majority of its codes' bits. After 6
// rounds over 40 codes a cell, further rounds hardly lower the share of codes that a search reads.
// Of many cells that would take the most time of all, and half as many codes serve nearly as well.
constexpr size_t kTrainingCodesPerCell = 40, kFewTrainingCodesPerCell = 20, kManyTrainingCodes = 160'000;
constexpr size_t kTrainingRounds = 6;
constexpr size_t kCodesPerBlock = size_t{1} << 14;
constexpr size_t kCodesPerPoll = 256;
constexpr uint64_t kSeed = 0;

// A sketch holds bits that differ between codes. Bits that fewer than this share of the training codes have, or lack,
// are used last.
constexpr size_t kLeastMinorityDivisor = 10;

// SplitMix64 (Steele, Lea, Flood 2014): the number at this place of a fixed random sequence.
uint64_t random_at(uint64_t seed, uint64_t place) noexcept {
  uint64_t z = seed * 0xD1342543DE82EF95 + (place + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

// Draws one row from each of n_rows equal runs of all rows: ascending and distinct.
std::vector<uint32_t> draw_rows(size_t n_codes, size_t n_rows) {
  std::vector<uint32_t> rows(n_rows);
  for (size_t i = 0; i < n_rows; ++i) {
    const size_t first = n_codes * i / n_rows, last = n_codes * (i + 1) / n_rows;
    rows[i] = static_cast<uint32_t>(first + random_at(kSeed, i) % (last - first));
  }
  return rows;
}

HugeArray<uint8_t> copy_rows(CodesView codes, const std::vector<uint32_t>& rows) {
  HugeArray<uint8_t> copies(rows.size() * codes.n_bytes);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(copies.data() + i * codes.n_bytes, codes.row(rows[i]), codes.n_bytes);
  }
  return copies;
}

// The nearest centroid of every code, the first one among equals.
std::vector<uint32_t> assign(const KernelTable& kernels, CodesView centroids, CodesView codes, size_t n_threads) {
  std::vector<uint32_t> cells(codes.n_codes);
  std::vector<int32_t> distances(std::min(codes.n_codes, kCodesPerBlock));
  std::vector<int64_t> nearest(distances.size());
  for (size_t first = 0; first < codes.n_codes; first += kCodesPerBlock) {
    poll_stop();
    const size_t n = std::min(kCodesPerBlock, codes.n_codes - first);
    const CodesView block{codes.row(first), n, codes.n_bytes};
    scan_k_nearest(kernels, centroids, RowSet{}, block, 1, n_threads, distances.data(), nearest.data());
    std::copy_n(nearest.begin(), n, cells.begin() + static_cast<std::ptrdiff_t>(first));
  }
  return cells;
}

// Rows by cell, ascending in each, and where each cell starts.
std::pair<std::vector<uint32_t>, HugeArray<uint32_t>> group_rows(const std::vector<uint32_t>& cells, size_t n_cells) {
  std::vector<uint32_t> starts(n_cells + 1);
  for (uint32_t cell : cells) ++starts[cell + 1];
  for (size_t c = 0; c < n_cells; ++c) starts[c + 1] += starts[c];
  HugeArray<uint32_t> rows(cells.size());
  std::vector<uint32_t> next(starts.begin(), starts.end() - 1);
  for (size_t row = 0; row < cells.size(); ++row) rows[next[cells[row]]++] = static_cast<uint32_t>(row);
  return {std::move(starts), std::move(rows)};
}

// Counts the codes that have each bit. `counts` has 8 * n_bytes entries.
void count_bits(CodesView codes, const uint32_t* rows, size_t n_rows, uint32_t* counts) {
  std::fill_n(counts, 8 * codes.n_bytes, 0);
  for (size_t i = 0; i < n_rows; ++i) {
    if (i % kCodesPerPoll == kCodesPerPoll - 1) poll_stop();
    const uint8_t* code = codes.row(rows[i]);
    for (size_t byte = 0; byte < codes.n_bytes; ++byte) {
      for (size_t bit = 0; bit < 8; ++bit) counts[8 * byte + bit] += code[byte] >> (7 - bit) & 1;
    }
  }
}

// Sets each bit of a centroid to the majority of its codes' bits; on a tie the bit stays.
void move_centroid(const std::vector<uint32_t>& counts, size_t n_codes, uint8_t* centroid) noexcept {
  for (size_t place = 0; place < counts.size(); ++place) {
    if (2 * counts[place] == n_codes) continue;
    const auto bit = static_cast<uint8_t>(128 >> place % 8);
    centroid[place / 8] =
        static_cast<uint8_t>(2 * counts[place] > n_codes ? centroid[place / 8] | bit : centroid[place / 8] & ~bit);
  }
}

HugeArray<uint8_t> learn_centroids(const KernelTable& kernels, CodesView training, size_t n_cells, size_t n_threads) {
  HugeArray<uint8_t> centroids = copy_rows(training, draw_rows(training.n_codes, n_cells));
  const CodesView as_codes{centroids.data(), n_cells, training.n_bytes};
  for (size_t round = 0; round < kTrainingRounds; ++round) {
    const auto cells = assign(kernels, as_codes, training, n_threads);
    const auto [starts, rows] = group_rows(cells, n_cells);
    const uint32_t* begins = starts.data();
    const uint32_t* all_rows = rows.data();
    parallel_for(n_cells, n_threads, [&, begins, all_rows](size_t c) {
      uint8_t* centroid = centroids.data() + c * training.n_bytes;
      const size_t n = begins[c + 1] - begins[c];
      if (n == 0) {  // an empty cell starts again at another code
        const size_t row = random_at(round + 1, c) % training.n_codes;
        std::memcpy(centroid, training.row(row), training.n_bytes);
        return;
      }
      std::vector<uint32_t> counts(8 * training.n_bytes);
      count_bits(training, all_rows + begins[c], n, counts.data());
      move_centroid(counts, n, centroid);
    });
  }
  return centroids;
}

// The bits of sketches in a fixed random order, those that hardly differ between codes last.
std::vector<uint32_t> choose_places(CodesView training, size_t n_bits, size_t n_places) {
  std::vector<uint32_t> rows(training.n_codes), counts(8 * training.n_bytes), places(n_bits);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<uint32_t>(i);
  count_bits(training, rows.data(), rows.size(), counts.data());
  for (size_t i = 0; i < n_bits; ++i) places[i] = static_cast<uint32_t>(i);
  for (size_t i = n_bits; i > 1; --i) std::swap(places[i - 1], places[random_at(kSeed + 1, i) % i]);
  std::stable_partition(places.begin(), places.end(), [&](uint32_t place) {
    const size_t minority = std::min<size_t>(counts[place], training.n_codes - counts[place]);
    return kLeastMinorityDivisor * minority >= training.n_codes;
  });
  places.resize(n_places);
  std::sort(places.begin(), places.end());
  return places;
}

// Orders the codes of each cell by (distance from the centroid, row), and makes the steps.
void order_by_distance(const KernelTable& kernels, CodesView codes, Cells& cells, size_t n_threads) {
  cells.steps.resize(cells.n_cells() * kSteps);
  parallel_for(cells.n_cells(), n_threads, [&](size_t c) {
    poll_stop();
    const CodeRun run{cells.starts[c], cells.starts[c + 1]};
    std::vector<Hit> hits(run.end - run.begin);
    kernels.scan_listed_runs(cells.centroid_codes().row(c), codes.data, cells.rows.data(), &run, 1, codes.n_bytes,
                             static_cast<int>(8 * codes.n_bytes), hits.data());
    std::stable_sort(hits.begin(), hits.end(), [](Hit a, Hit b) { return a.distance < b.distance; });
    for (size_t i = 0; i < hits.size(); ++i) cells.rows[run.begin + i] = hits[i].row;
    for (size_t step = 0; step < kSteps; ++step) {
      const size_t end = step_begin(hits.size(), step + 1);
      cells.steps[c * kSteps + step] = end == 0 ? uint16_t{0} : hits[end - 1].distance;
    }
  });
}

}  // namespace

void sketch_code(const std::vector<uint32_t>& places, const uint8_t* code, uint8_t* sketch) noexcept {
  for (size_t i = 0; i < places.size(); i += 8) {
    unsigned bits = 0;
    for (size_t j = i; j < i + 8; ++j) bits = bits << 1 | (code[places[j] / 8] >> (7 - places[j] % 8) & 1u);
    sketch[i / 8] = static_cast<uint8_t>(bits);
  }
}

void complete_cells(Cells& cells) {
  for (size_t c = 0; c < cells.n_cells(); ++c) {
    cells.largest_cell = std::max<size_t>(cells.largest_cell, cells.starts[c + 1] - cells.starts[c]);
  }
  for (size_t end = kSteps; end <= cells.steps.size(); end += kSteps) cells.reaches.push_back(cells.steps[end - 1]);
  if (cells.sketch_places.empty()) return;
  cells.centroid_sketches.resize(cells.n_cells() * cells.sketch_bytes);
  for (size_t c = 0; c < cells.n_cells(); ++c) {
    sketch_code(cells.sketch_places, cells.centroid_codes().row(c),
                cells.centroid_sketches.data() + c * cells.sketch_bytes);
  }
}

Cells build_cells(const KernelTable& kernels, CodesView codes, size_t n_bits, size_t n_cells, size_t sketch_bytes,
                  size_t n_threads) {
  const size_t most_training =
      std::max(std::min(kTrainingCodesPerCell * n_cells, kManyTrainingCodes), kFewTrainingCodesPerCell * n_cells);
  const size_t n_training = std::min(codes.n_codes, most_training);
  const HugeArray<uint8_t> training_bytes = copy_rows(codes, draw_rows(codes.n_codes, n_training));
  const CodesView training{training_bytes.data(), n_training, codes.n_bytes};
  Cells cells{};
  cells.n_codes = codes.n_codes;
  cells.n_bits = n_bits;
  cells.n_bytes = codes.n_bytes;
  cells.sketch_bytes = sketch_bytes;
  cells.centroids = learn_centroids(kernels, training, n_cells, n_threads);
  const CodesView centroids{cells.centroids.data(), n_cells, codes.n_bytes};
  std::tie(cells.starts, cells.rows) = group_rows(assign(kernels, centroids, codes, n_threads), n_cells);
  if (sketch_bytes != 0 && !cells.has_copies()) {
    cells.sketch_places = choose_places(training, n_bits, 8 * sketch_bytes);
  }
  if (cells.has_copies()) order_by_distance(kernels, codes, cells, n_threads);
  complete_cells(cells);
  if (sketch_bytes == 0) return cells;
  cells.sketches = HugeArray<uint8_t>(codes.n_codes * sketch_bytes);
  parallel_for((codes.n_codes + kCodesPerBlock - 1) / kCodesPerBlock, n_threads, [&](size_t block) {
    const size_t last = std::min((block + 1) * kCodesPerBlock, codes.n_codes);
    for (size_t i = block * kCodesPerBlock; i < last; ++i) {
      if (i % kCodesPerPoll == 0) poll_stop();
      const uint8_t* code = codes.row(cells.rows[i]);
      uint8_t* sketch = cells.sketches.data() + i * sketch_bytes;
      if (cells.has_copies()) {
        std::memcpy(sketch, code, sketch_bytes);
      } else {
        sketch_code(cells.sketch_places, code, sketch);
      }
    }
  });
  return cells;
}

}  // namespace hashkit
