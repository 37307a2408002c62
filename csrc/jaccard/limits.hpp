// Bounds on Jaccard distance as bounds on Hamming distance: between codes whose popcounts add to `sum` the one grows
// with the other.
#pragma once

#include <vector>

namespace hashkit {

// For every sum of popcounts, 0 to `most`, the largest Hamming distance at which the Jaccard distance, as
// jaccard_distance gives it, is <= radius, which is >= 0.
std::vector<int> limits_within(double radius, int most);

// The same for a similarity, the double nearest to |A and B| / |A or B|, that is >= similarity; 1 between two empty
// codes.
std::vector<int> limits_of_similarity(double similarity, int most);

}  // namespace hashkit
