// Bounds of distances: what is kept of every code so that most codes need not be read for an exact answer.
//
// With a code c, a query q, the centroid m of the code's cell, and some bits S of that cell, the sketched ones:
//   d(q, c) >= d_S(q, c) + |d_R(q, m) - d_R(c, m)|,  R being all other bits,
// by the triangle inequality over R. It is tight where R has bits that hardly differ within the cell, so each cell
// sketches the bits in which its codes differ from the centroid most often. The same over all bits,
// d(q, c) >= |d(q, m) - d(c, m)|, leaves a range of the codes of a cell that are in order of d(c, m).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "far/cells.hpp"

namespace hashkit {

struct Bounds {
  size_t sketch_bytes;                   // a multiple of 8
  HugeArray<uint16_t> places;            // (n_cells, 8 * sketch_bytes): bits that a cell sketches, ascending
  HugeArray<uint8_t> centroid_sketches;  // (n_cells, sketch_bytes): those bits of the centroid
  HugeArray<uint16_t> reaches;           // (n_cells): the largest of the distances below
  // For each code, cell by cell as `starts` of the cells say, in each by (distance, row):
  HugeArray<uint32_t> rows;
  HugeArray<uint16_t> distances;  // from the centroid
  HugeArray<uint16_t> rests;      // the same over the bits that are not sketched
  HugeArray<uint8_t> sketches;    // (n_codes, sketch_bytes)

  size_t memory() const noexcept {
    return places.n_bytes() + centroid_sketches.n_bytes() + reaches.n_bytes() + rows.n_bytes() + distances.n_bytes() +
           rests.n_bytes() + sketches.n_bytes();
  }
};

// Bounds for the codes of these cells. 8 * sketch_bytes <= n_bits. Integers alone decide.
Bounds build_bounds(const KernelTable& kernels, const Cells& cells, CodesView codes, size_t sketch_bytes,
                    size_t n_threads);

// Whether bits that are said to be sketched are bits of codes. Other contents may be anything: a search reads nothing
// outside the arrays.
bool are_plausible(const Bounds& bounds, const Cells& cells) noexcept;

// Compares all contents of bounds with the codes; throws a DamagedError.
void check_bounds(const Bounds& bounds, const Cells& cells, CodesView codes);

// Of the bits of a code, each a byte (see spread_bytes), those at `places`, 8 * sketch_bytes of them, as a sketch: most
// significant bit first.
void sketch_bits(const uint8_t* bits, const uint16_t* places, size_t sketch_bytes, uint8_t* sketch) noexcept;

}  // namespace hashkit
