// Equal codes put together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/codes_view.hpp"
#include "core/huge_vector.hpp"

namespace hashkit {

struct Distinct {
  std::vector<int64_t> firsts;  // the first row of each different code, ascending
  HugeVector<int64_t> places;   // for each code the place of its first row among those
};

// By a hash table: one pass over the codes.
Distinct find_distinct(CodesView codes);

}  // namespace hashkit
