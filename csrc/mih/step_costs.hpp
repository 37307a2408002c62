// The costs of the steps of a search, in nanoseconds.
#pragma once

#include <cstddef>

namespace hashkit {

struct Costs {
  double key = 0;     // to test whether a key has a bucket
  double bucket = 0;  // to fetch a bucket that is not empty
  double code = 0;    // to compare a code of a bucket
  double scan = 0;    // to compare all codes by a scan
  // The most that a query may spend on probing before it is known whether probing will suffice: it is wasted if the
  // query falls back to a scan.
  double trial = 0;
  // The same while fewer than k codes are known, so that what is still to do cannot be foreseen.
  double open_trial = 0;

  double most() const noexcept { return scan + trial; }

  // To look up the codes of a table in one shell: n_keys keys, about n_codes codes.
  double of_shell(size_t n_keys, double n_codes) const noexcept;
};

// The trial that a scan of this cost allows. One query on its own shall take at most 1.15 times the scan; the call and
// the first look at the tables take a part of that. Of many queries each costs so little that a constant is added. With
// `tiled`, scanning is as fast as it is for many queries at once.
double trial_of(double scan, bool tiled) noexcept;

}  // namespace hashkit
