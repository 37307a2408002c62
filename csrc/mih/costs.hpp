// What steps of a search cost, in nanoseconds: so that no query is worse off than with a scan.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/kernel_table.hpp"
#include "mih/tables.hpp"

namespace hashkit {

struct Costs {
  double key;     // to ask whether a key has a bucket
  double bucket;  // to fetch a bucket that is not empty
  double code;    // to compare a code of a bucket
  double scan;    // to compare all codes by scanning

  // What a query may spend on probing before it is known whether that will do: with the scan that it may take then it
  // costs at most 1.15 times the scan, and 20 us, even if these estimates are a third too low.
  double trial() const noexcept { return 0.11 * scan + 15'000; }
  double most() const noexcept { return scan + trial(); }

  // Looking up the codes of a table whose substring is `shell` bits from a query's, if about so many are there.
  double of_shell(size_t n_keys, double n_codes) const noexcept;
};

// With `tiled`, scanning is as fast as it is for many queries at once.
Costs costs_of(Isa isa, const Tables& tables, bool tiled);

// How many keys are `shell` bits from a key of `width` bits.
size_t n_keys_of_shell(size_t width, size_t shell);

// The estimated number of codes at distance `shell` of a table's substring, given how many were at shell - 1. What a
// query finds near it says how crowded it is further on.
double expected_next(const Table& table, size_t shell, double n_before);

// About how many codes are within a distance.
double expected_within(const Tables& tables, int distance);

// The distance within which about so many codes are expected.
int expected_distance(const Tables& tables, double n_codes);

// The cost, for a mean query, of having met every code within a distance.
double cost_of_radius(const Tables& tables, const Costs& costs, int radius);

}  // namespace hashkit
