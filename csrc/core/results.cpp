#include "core/results.hpp"

#include <algorithm>

namespace hashkit {
namespace {

// Sorts codes, given in the order of their rows, by (distance, row): a counting sort.
void order_by_distance(const std::vector<Neighbor>& found, int n_bits, int32_t* distances, int64_t* rows) {
  std::vector<size_t> places(static_cast<size_t>(n_bits) + 2);
  in_chunks(found.size(), kRowsPerPoll, [&](size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) ++places[static_cast<size_t>(found[i].distance) + 1];
  });
  for (size_t d = 1; d < places.size(); ++d) places[d] += places[d - 1];
  in_chunks(found.size(), kRowsPerPoll, [&](size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) {
      const size_t place = places[static_cast<size_t>(found[i].distance)]++;
      distances[place] = found[i].distance;
      rows[place] = found[i].row;
    }
  });
}

}  // namespace

void write_nearest(const std::vector<Neighbor>& nearest, size_t k, int32_t* distances, int64_t* rows) {
  for (size_t i = 0; i < nearest.size(); ++i) {
    distances[i] = nearest[i].distance;
    rows[i] = nearest[i].row;
  }
  std::fill(distances + nearest.size(), distances + k, kNoDistance);
  std::fill(rows + nearest.size(), rows + k, -1);
}

WithinRadius join_lists(std::vector<std::vector<Neighbor>>& lists, int n_bits) {
  WithinRadius result;
  result.offsets.reserve(lists.size() + 1);
  result.offsets.push_back(0);
  for (const auto& list : lists) result.offsets.push_back(result.offsets.back() + static_cast<int64_t>(list.size()));
  result.distances.resize(static_cast<size_t>(result.offsets.back()));
  result.rows.resize(result.distances.size());
  for (size_t i = 0; i < lists.size(); ++i) {
    if (i % 1024 == 0) poll_stop();
    const auto start = static_cast<size_t>(result.offsets[i]);
    order_by_distance(lists[i], n_bits, result.distances.data() + start, result.rows.data() + start);
    std::vector<Neighbor>().swap(lists[i]);
  }
  return result;
}

}  // namespace hashkit
