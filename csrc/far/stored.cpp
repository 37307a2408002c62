#include "far/stored.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "parallel/stop.hpp"

namespace hashkit {
namespace {

bool is_sketch(const Cells& cells, const uint8_t* code, const uint8_t* stored, std::vector<uint8_t>& sketch) {
  if (cells.has_copies()) return std::memcmp(code, stored, cells.n_bytes) == 0;
  sketch_code(cells.sketch_places, code, sketch.data());
  return std::equal(sketch.begin(), sketch.end(), stored);
}

}  // namespace

bool are_plausible(const Cells& cells) noexcept {
  const auto& starts = cells.starts;
  if (starts.size() < 2 || starts.front() != 0 || starts.back() != cells.n_codes) return false;
  if (!std::is_sorted(starts.begin(), starts.end())) return false;
  const auto& places = cells.sketch_places;
  return std::all_of(places.begin(), places.end(), [&](uint32_t place) { return place < cells.n_bits; });
}

void check_cells(const Cells& cells, CodesView codes) {
  const KernelTable& kernels = kernel_table(Isa::kPortable);
  std::vector<char> is_seen(codes.n_codes);
  std::vector<uint8_t> sketch(cells.sketch_bytes);
  const auto require = [&](bool fits) {
    if (!fits) throw_damaged(cells.checks, "its cells are not those of its codes");
  };
  for (size_t c = 0; c < cells.n_cells(); ++c) {
    const size_t begin = cells.starts[c], n = cells.starts[c + 1] - begin;
    // Codes are in order of these numbers: the distance, where there are steps, above the row.
    std::vector<uint64_t> keys(n);
    for (size_t i = 0; i < n; ++i) {
      if (i % kRowsPerPoll == 0) poll_stop();
      const size_t row = cells.rows[begin + i];
      require(row < codes.n_codes && !is_seen[row] &&
              is_sketch(cells, codes.row(row), cells.sketches.data() + (begin + i) * cells.sketch_bytes, sketch));
      is_seen[row] = 1;
      keys[i] = row;
      if (!cells.steps.empty()) {
        keys[i] |= uint64_t{distance_between(kernels, cells.centroid_codes().row(c), codes.row(row), codes.n_bytes)}
                   << 32;
      }
    }
    require(std::is_sorted(keys.begin(), keys.end()));
    for (size_t step = 0; step < (cells.steps.empty() ? 0 : kSteps); ++step) {
      const size_t end = step_begin(n, step + 1);
      require(cells.steps[c * kSteps + step] == (end == 0 ? 0 : keys[end - 1] >> 32));
    }
  }
}

}  // namespace hashkit
