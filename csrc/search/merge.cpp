#include "search/merge.hpp"

namespace hashkit {
namespace {

struct Cursor {
  const int32_t* distance;
  const int64_t* id;
  const int32_t* end;
};

// Writes the n least of two ordered lists, by (distance, id).
void merge_lists(Cursor a, Cursor b, size_t n, int32_t* distances, int64_t* ids) noexcept {
  for (size_t i = 0; i < n; ++i) {
    const bool from_a =
        b.distance == b.end ||
        (a.distance != a.end && (*a.distance != *b.distance ? *a.distance < *b.distance : *a.id < *b.id));
    Cursor& next = from_a ? a : b;
    distances[i] = *next.distance++;
    ids[i] = *next.id++;
  }
}

}  // namespace

void merge_nearest(NearestView a, NearestView b, size_t n_queries, size_t k, int32_t* distances,
                   int64_t* ids) noexcept {
  for (size_t q = 0; q < n_queries; ++q) {
    const int32_t* from_a = a.distances + q * a.k;
    const int32_t* from_b = b.distances + q * b.k;
    merge_lists({from_a, a.ids + q * a.k, from_a + a.k}, {from_b, b.ids + q * b.k, from_b + b.k}, k, distances + q * k,
                ids + q * k);
  }
}

void merge_within_radius(WithinRadiusView a, WithinRadiusView b, size_t n_queries, int32_t* distances,
                         int64_t* ids) noexcept {
  for (size_t q = 0; q < n_queries; ++q) {
    const auto n = static_cast<size_t>(a.offsets[q + 1] - a.offsets[q] + b.offsets[q + 1] - b.offsets[q]);
    merge_lists({a.distances + a.offsets[q], a.ids + a.offsets[q], a.distances + a.offsets[q + 1]},
                {b.distances + b.offsets[q], b.ids + b.offsets[q], b.distances + b.offsets[q + 1]}, n, distances, ids);
    distances += n;
    ids += n;
  }
}

}  // namespace hashkit
