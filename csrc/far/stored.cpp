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

bool are_plausible(Cells& cells) noexcept {
  const auto& starts = cells.starts;
  if (starts.size() < 2 || starts.front() != 0 || starts.back() != cells.n_codes) return false;
  if (!std::is_sorted(starts.begin(), starts.end())) return false;
  for (size_t c = 0; c + 1 < starts.size(); ++c) {
    cells.largest_cell = std::max<size_t>(cells.largest_cell, starts[c + 1] - starts[c]);
  }
  const auto& places = cells.sketch_places;
  return std::all_of(places.begin(), places.end(), [&](uint32_t place) { return place < cells.n_bits; });
}

void check_cells(const Cells& cells, CodesView codes) {
  std::vector<char> is_seen(codes.n_codes);
  std::vector<uint8_t> sketch(cells.sketch_bytes);
  for (size_t c = 0; c < cells.n_cells(); ++c) {
    for (size_t i = cells.starts[c]; i < cells.starts[c + 1]; ++i) {
      if (i % kRowsPerPoll == 0) poll_stop();
      const size_t row = cells.rows[i];
      const bool fits = row < codes.n_codes && !is_seen[row] && (i == cells.starts[c] || row > cells.rows[i - 1]) &&
                        is_sketch(cells, codes.row(row), cells.sketches.data() + i * cells.sketch_bytes, sketch);
      if (!fits) throw_damaged(cells.checks, "its cells are not those of its codes");
      is_seen[row] = 1;
    }
  }
}

}  // namespace hashkit
