// Copies the codes of some rows next to each other: a small set is scanned faster this way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/codes_view.hpp"
#include "core/row_set.hpp"

namespace hashkit {

// The number of rows among the first n_rows that are in the set. The set has bits and no mask.
size_t count_rows(RowSet set, size_t n_rows);

// Copies the codes of the rows in such a set, one after the other, and writes their row numbers, ascending. Both
// outputs have room for count_rows(set, codes.n_codes).
void gather_rows(CodesView codes, RowSet set, size_t n_threads, uint8_t* gathered, int64_t* rows);

// Codes of the rows with the given numbers, one after the other.
class GatheredCodes {
 public:
  GatheredCodes(CodesView codes, const std::vector<size_t>& rows) : bytes_(rows.size() * codes.n_bytes) {
    for (size_t i = 0; i < rows.size(); ++i) {
      std::memcpy(bytes_.data() + i * codes.n_bytes, codes.row(rows[i]), codes.n_bytes);
    }
    view_ = {bytes_.data(), rows.size(), codes.n_bytes};
  }
  CodesView view() const noexcept { return view_; }

 private:
  std::vector<uint8_t> bytes_;
  CodesView view_;
};

}  // namespace hashkit
