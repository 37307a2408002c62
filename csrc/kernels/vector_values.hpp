// The types of stored values that are no types of C++17.
#pragma once

#include <cstdint>

namespace hashkit {

struct Half {  // IEEE binary16
  uint16_t bits;
};

struct Bfloat {  // the upper half of a float
  uint16_t bits;
};

}  // namespace hashkit
