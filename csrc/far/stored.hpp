// Cells that were stored in a file: what of them is believed, and what is checked. As with tables (mih/stored.hpp), a
// search reads nothing outside them whatever they contain.
#pragma once

#include <cstddef>

#include "core/codes_view.hpp"
#include "far/cells.hpp"

namespace hashkit {

// Whether cells begin one after the other and hold as many codes as there are, and sketches have bits of codes. Finds
// the largest cell.
bool are_plausible(Cells& cells) noexcept;

// Compares all contents of cells with the codes they are said to be of; throws a DamagedError. Which cell a code is in
// decides how much of a search it takes part in, not whether what is found is right: that is not checked.
void check_cells(const Cells& cells, CodesView codes);

}  // namespace hashkit
