// Cells: codes grouped around centroids, and a short sketch of every code, for searches at a recall below 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/block_checks.hpp"
#include "core/codes_view.hpp"
#include "core/huge_array.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

constexpr size_t kMaxCellCodes = UINT32_MAX;  // rows are kept as 32-bit numbers
constexpr size_t kMaxCells = size_t{1} << 20;

constexpr size_t kSteps = 16;

// The first of n codes that belongs to a step; n for kSteps.
inline size_t step_begin(size_t n, size_t step) noexcept {
  return n * step / kSteps;
}

struct Cells {
  size_t n_codes;
  size_t n_bits;
  size_t n_bytes;
  HugeArray<uint8_t> centroids;  // (n_cells, n_bytes)
  std::vector<uint32_t> starts;  // cell c has places [starts[c], starts[c + 1]) of the two arrays below
  // Every row once. In each cell they ascend by (distance from the centroid, row) where there are copies, else by row.
  HugeArray<uint32_t> rows;
  // The bits of a code that its sketch holds; their number is a multiple of 64. Empty if there are no sketches, or if
  // each sketch is a copy of its code.
  std::vector<uint32_t> sketch_places;
  size_t sketch_bytes;
  HugeArray<uint8_t> sketches;  // (n_codes, sketch_bytes) in the order of `rows`
  // Where there are copies, each cell in kSteps runs of codes, as equal as can be (see step_begin): the largest
  // distance from the centroid in each run, 0 in an empty one before all others. (n_cells, kSteps), else empty.
  std::vector<uint16_t> steps;
  // What follows from these; complete_cells() sets it.
  size_t largest_cell = 0;                 // codes in it
  std::vector<uint8_t> centroid_sketches;  // (n_cells, sketch_bytes); empty where `sketch_places` is
  std::vector<uint16_t> reaches;           // the last step of each cell
  // Checks of the mapped file that contains cells and codes; null if contents are not checked on first use.
  const BlockChecks* checks = nullptr;

  template <class Value>
  void require(const Value* values, size_t n) const {
    if (checks != nullptr) checks->require(values, n * sizeof(Value));
  }

  size_t n_cells() const noexcept { return starts.size() - 1; }
  bool has_copies() const noexcept { return sketch_bytes == n_bytes; }
  CodesView centroid_codes() const noexcept { return {centroids.data(), n_cells(), n_bytes}; }

  size_t memory() const noexcept {
    return centroids.n_bytes() + rows.n_bytes() + sketches.n_bytes() +
           sizeof(uint32_t) * (starts.size() + sketch_places.size()) + centroid_sketches.size() +
           sizeof(uint16_t) * (steps.size() + reaches.size());
  }
};

inline uint16_t distance_between(const KernelTable& kernels, const uint8_t* a, const uint8_t* b,
                                 size_t n_bytes) noexcept {
  uint16_t distance;
  kernels.distances(a, b, 1, n_bytes, &distance);
  return distance;
}

// Sets what follows from the rest.
void complete_cells(Cells& cells);

// Builds cells of these codes, 1 <= n_cells <= codes.n_codes. Sketches have sketch_bytes bytes: 0, a multiple of 8
// below n_bytes, or n_bytes, which makes copies of the codes in the order of the cells. All arithmetic is on integers,
// so neither threads nor the instruction set change the result.
Cells build_cells(const KernelTable& kernels, CodesView codes, size_t n_bits, size_t n_cells, size_t sketch_bytes,
                  size_t n_threads);

// The bits of a code at these places, most significant bit first.
void sketch_code(const std::vector<uint32_t>& places, const uint8_t* code, uint8_t* sketch) noexcept;

}  // namespace hashkit
