// The costs of the steps of a search, in nanoseconds.
#pragma once

#include <cstddef>

namespace hashkit {

struct Costs {
  double key = 0;     // to test whether a key has a bucket
  double bucket = 0;  // to fetch a bucket that is not empty
  double code = 0;    // to compare a code of a bucket
  double scan = 0;    // to compare all codes by a scan
  // The most that a query may spend on probing before it is known whether probing suffices. It is wasted if the query
  // falls back to a scan.
  double trial = 0;
  // The same while fewer than k codes are known, so that the remaining work cannot be estimated.
  double open_trial = 0;

  double most() const noexcept { return scan + trial; }

  // The cost of looking up one shell of a table: n_keys keys and about n_codes codes.
  double of_shell(size_t n_keys, double n_codes) const noexcept;
};

// The trial allowed for a scan of this cost. A single query must take at most 1.15 times the scan, which includes the
// call and the first read of the tables. In a batch each query costs so little that a constant is added. `tiled` means
// the speed of a scan for many queries at once.
double trial_of(double scan, bool tiled) noexcept;

}  // namespace hashkit
