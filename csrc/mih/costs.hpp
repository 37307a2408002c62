// The cost model of multi-index hashing: it decides whether a search goes on in the tables or falls back to a scan.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/kernel_table.hpp"
#include "mih/step_costs.hpp"
#include "mih/tables.hpp"

namespace hashkit {

// Estimates; with `tiled`, scanning is as fast as it is for many queries at once.
Costs estimate_costs(Isa isa, const Tables& tables, bool tiled);

// The costs measured when the tables were built, or estimates if they were measured with another instruction set.
Costs costs_of(Isa isa, const Tables& tables, bool tiled);

// How many keys are `shell` bits from a key of `width` bits.
size_t n_keys_of_shell(size_t width, size_t shell);

// The estimated number of codes in a shell of a table, given how many were in the shell before: a query with many codes
// near it is expected to have many further on.
double expected_next(const Table& table, size_t shell, double n_before);

// The estimated number of codes within a distance.
double expected_within(const Tables& tables, int distance);

// The distance within which n_codes codes are expected.
int expected_distance(const Tables& tables, double n_codes);

// The cost, for a mean query, of finding every code within a distance by probing.
double cost_of_radius(const Tables& tables, const Costs& costs, int radius);

// The same by radius, while it is below `most`.
std::vector<double> costs_by_radius(const Tables& tables, const Costs& costs, double most);

// The estimate for queries similar to the sampled codes, for their k nearest within `limit`.
struct Outlook {
  double share;      // of the queries for which probing costs less than a scan
  double mean_cost;  // of probing, and of a scan for the other queries after their trial
};
Outlook outlook_of(const Tables& tables, const Costs& costs, size_t k, int limit);

// The expected final limit of a search for k codes that has found all codes within `visited`, and k codes within
// `limit`: most sampled codes with the same counts have their k-th neighbor within it. It is `limit` if there are too
// few of these codes.
int expected_limit(const Survey& survey, size_t k, int visited, int limit);

}  // namespace hashkit
