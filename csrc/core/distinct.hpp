// Groups equal codes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/codes_view.hpp"
#include "core/huge_vector.hpp"

namespace hashkit {

struct Distinct {
  std::vector<int64_t> firsts;  // the first row of each different code, ascending
  HugeVector<int64_t> places;   // for each code, the position of its first row in `firsts`
};

// Takes one pass over the codes, with a hash table.
Distinct find_distinct(CodesView codes);

}  // namespace hashkit
