// Cells stored in a file, and how they are checked. As with tables (mih/stored.hpp), a search never reads outside them,
// whatever they contain.
#pragma once

#include <cstddef>

#include "core/codes_view.hpp"
#include "far/cells.hpp"

namespace hashkit {

// Whether cells follow each other and hold all codes, and sketches consist of bits of codes.
bool are_plausible(const Cells& cells) noexcept;

// Compares the contents of cells with the codes; throws a DamagedError. It is not checked which cell a code is in: that
// affects the cost and recall of a search, but not the distances it returns.
void check_cells(const Cells& cells, CodesView codes);

}  // namespace hashkit
