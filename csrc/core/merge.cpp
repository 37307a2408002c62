#include "core/merge.hpp"

#include <algorithm>
#include <numeric>

#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kEntriesPerTask = 100'000;  // written or read; worth far more than the start of a thread

// The rest of one part's list.
template <class Distance>
struct Cursor {
  const Distance* distance;
  const int64_t* id;
  const Distance* end;
};

template <class Distance>
bool comes_before(const Cursor<Distance>& a, const Cursor<Distance>& b) noexcept {
  return *a.distance != *b.distance ? *a.distance < *b.distance : *a.id < *b.id;
}

// Moves heap[i] down until no child precedes it.
template <class Distance>
void sink(Cursor<Distance>* heap, size_t n, size_t i) noexcept {
  const Cursor<Distance> sinking = heap[i];
  for (size_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && comes_before(heap[child + 1], heap[child])) ++child;
    if (!comes_before(heap[child], sinking)) break;
    heap[i] = heap[child];
  }
  heap[i] = sinking;
}

// Writes the n_out smallest entries of sorted lists, none of them empty. A heap holds the lists' heads: O(lists + n_out
// log lists).
template <class Distance>
void merge_lists(std::vector<Cursor<Distance>>& heap, size_t n_out, Distance* distances, int64_t* ids) {
  size_t n = heap.size();
  for (size_t i = n / 2; i-- > 0;) sink(heap.data(), n, i);
  for (size_t i = 0; i < n_out; ++i) {
    if (i % kRowsPerPoll == kRowsPerPoll - 1) poll_stop();
    Cursor<Distance>& least = heap[0];
    distances[i] = *least.distance++;
    ids[i] = *least.id++;
    if (least.distance == least.end) heap[0] = heap[--n];
    if (n > 1) sink(heap.data(), n, 0);
  }
}

// Calls work(first, last) for ranges of queries of about kEntriesPerTask entries each.
template <class Work>
void for_query_ranges(size_t n_queries, size_t n_entries, size_t n_threads, const Work& work) {
  const size_t n_tasks = std::clamp(n_entries / kEntriesPerTask, size_t{1}, std::max(n_queries, size_t{1}));
  parallel_for(n_tasks, n_threads,
               [&](size_t task) { work(n_queries * task / n_tasks, n_queries * (task + 1) / n_tasks); });
}

template <class Distance>
bool is_ordered(const Distance* distances, const int64_t* ids, size_t n) {
  bool ordered = true;  // no branch, so the loop runs at the speed of memory
  in_chunks(n, 64 * kRowsPerPoll, [&](size_t first, size_t last) {
    for (size_t i = std::max<size_t>(1, first); i < last; ++i) {
      ordered &= (distances[i - 1] < distances[i]) | ((distances[i - 1] == distances[i]) & (ids[i - 1] <= ids[i]));
    }
  });
  return ordered;
}

}  // namespace

template <class Distance>
void merge_nearest(const std::vector<NearestView<Distance>>& parts, size_t n_queries, size_t k, size_t n_threads,
                   Distance* distances, int64_t* ids) {
  for_query_ranges(n_queries, n_queries * (parts.size() + k), n_threads, [&](size_t first, size_t last) {
    std::vector<Cursor<Distance>> heap;
    heap.reserve(parts.size());
    for (size_t q = first; q < last; ++q) {
      if (q % 64 == 63) poll_stop();
      heap.clear();
      for (const NearestView<Distance>& part : parts) {
        const Distance* head = part.distances + q * part.k;
        if (part.k > 0) heap.push_back({head, part.ids + q * part.k, head + part.k});
      }
      merge_lists(heap, k, distances + q * k, ids + q * k);
    }
  });
}

template <class Distance>
void merge_within_radius(const std::vector<WithinRadiusView<Distance>>& parts, size_t n_queries, size_t n_threads,
                         Distance* distances, int64_t* ids) {
  const auto place_of = [&](size_t q) {
    return std::accumulate(parts.begin(), parts.end(), int64_t{0},
                           [q](int64_t sum, const WithinRadiusView<Distance>& part) { return sum + part.offsets[q]; });
  };
  const size_t n_entries = n_queries * parts.size() + static_cast<size_t>(place_of(n_queries));
  for_query_ranges(n_queries, n_entries, n_threads, [&](size_t first, size_t last) {
    std::vector<Cursor<Distance>> heap;
    heap.reserve(parts.size());
    for (size_t q = first; q < last; ++q) {
      if (q % 64 == 63) poll_stop();
      heap.clear();
      for (const WithinRadiusView<Distance>& part : parts) {
        const int64_t begin = part.offsets[q], end = part.offsets[q + 1];
        if (begin < end) heap.push_back({part.distances + begin, part.ids + begin, part.distances + end});
      }
      const int64_t place = place_of(q), n = place_of(q + 1) - place;
      merge_lists(heap, static_cast<size_t>(n), distances + place, ids + place);
    }
  });
}

template <class Distance>
size_t first_unordered(NearestView<Distance> part, size_t n_queries) {
  size_t q = 0;
  while (q < n_queries && is_ordered(part.distances + q * part.k, part.ids + q * part.k, part.k)) {
    if (++q % 1024 == 0) poll_stop();
  }
  return q;
}

template <class Distance>
size_t first_unordered(WithinRadiusView<Distance> part, size_t n_queries) {
  size_t q = 0;
  while (q < n_queries && is_ordered(part.distances + part.offsets[q], part.ids + part.offsets[q],
                                     static_cast<size_t>(part.offsets[q + 1] - part.offsets[q]))) {
    if (++q % 1024 == 0) poll_stop();
  }
  return q;
}

template void merge_nearest(const std::vector<NearestView<int32_t>>&, size_t, size_t, size_t, int32_t*, int64_t*);
template void merge_nearest(const std::vector<NearestView<double>>&, size_t, size_t, size_t, double*, int64_t*);
template void merge_within_radius(const std::vector<WithinRadiusView<int32_t>>&, size_t, size_t, int32_t*, int64_t*);
template void merge_within_radius(const std::vector<WithinRadiusView<double>>&, size_t, size_t, double*, int64_t*);
template size_t first_unordered(NearestView<int32_t>, size_t);
template size_t first_unordered(NearestView<double>, size_t);
template size_t first_unordered(WithinRadiusView<int32_t>, size_t);
template size_t first_unordered(WithinRadiusView<double>, size_t);

}  // namespace hashkit
