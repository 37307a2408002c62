// How queries pass over codes in the order of popcounts: outward from their own popcounts, by segments of codes, as far
// as a finder says that something can be found. A finder offers
//   int limit(q, low, high)           the largest Hamming distance that matters to query q among codes of popcounts
//   from
//                                     `low` to `high`; -1 if they are too far from its own
//   void push(q, place, popcount, h)  takes the code at a place, its popcount and distance; it may be beyond the limit
//   bool go_on()                      called before every segment; false ends the sweep
// What is compared may be sketches in the order of the codes, whose distances are never larger than those of the codes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/scan_loops.hpp"
#include "jaccard/jaccard.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

constexpr size_t kHitsPerPoll = 1024;  // each may go into a heap of as many as there are codes
constexpr size_t kPrefetchedHits = 8;  // how far ahead the codes are prefetched whose sketches are hits

// A query's own row and popcount.
struct QueryPopcount {
  size_t query;
  int popcount;
};

inline std::vector<uint16_t> popcounts_of(const KernelTable& kernels, CodesView codes) {
  const std::vector<uint8_t> zero(codes.n_bytes);
  std::vector<uint16_t> popcounts(codes.n_codes);
  kernels.distances(zero.data(), codes.data, codes.n_codes, codes.n_bytes, popcounts.data());
  return popcounts;
}

// The rows of `queries` by popcount.
inline std::vector<QueryPopcount> sort_queries(const KernelTable& kernels, CodesView queries) {
  const std::vector<uint16_t> popcounts = popcounts_of(kernels, queries);
  std::vector<QueryPopcount> sorted_queries;
  sorted_queries.reserve(queries.n_codes);
  for (size_t q = 0; q < queries.n_codes; ++q) sorted_queries.push_back({q, popcounts[q]});
  std::sort(sorted_queries.begin(), sorted_queries.end(), [](const QueryPopcount& a, const QueryPopcount& b) {
    return a.popcount != b.popcount ? a.popcount < b.popcount : a.query < b.query;
  });
  return sorted_queries;
}

// Some queries, by popcount, over the segments around their median.
template <class Finder>
class JaccardSweep {
 public:
  JaccardSweep(const KernelTable& kernels, const PopcountOrder& order, CodesView queries,
               const QueryPopcount* sorted_queries, size_t n_queries, Finder& finder)
      : JaccardSweep(kernels, order, order.codes, queries, sorted_queries, n_queries, finder) {}

  // `compared` are the codes of `order` or their sketches, `queries` likewise.
  JaccardSweep(const KernelTable& kernels, const PopcountOrder& order, CodesView compared, CodesView queries,
               const QueryPopcount* sorted_queries, size_t n_queries, Finder& finder)
      : kernels_(kernels),
        order_(order),
        compared_(compared),
        queries_(queries),
        sorted_(sorted_queries),
        n_queries_(n_queries),
        finder_(finder),
        query_bytes_(kernels.query_bytes(queries.n_bytes)),
        n_segment_(kernels.tile_codes(queries.n_bytes)),
        limits_(n_queries) {
    if (n_queries < min_queries_for_tiles(kernels.isa, queries.n_bytes)) return;
    prepared_ = aligned_bytes(n_queries * query_bytes_);
    for (size_t i = 0; i < n_queries; ++i) {
      kernels.fill_query(queries.row(sorted_queries[i].query), queries.n_bytes, prepared_.get() + i * query_bytes_);
    }
    tile_ = aligned_bytes(kernels.tile_bytes(queries.n_bytes));
  }

  size_t codes_in_segment() const noexcept { return n_segment_; }
  size_t n_segments() const noexcept { return (order_.codes.n_codes + n_segment_ - 1) / n_segment_; }

  // The range of segments fewer than n_steps away: from the first value on, before the second.
  std::pair<size_t, size_t> places_within(size_t n_steps) const {
    const size_t middle = this->middle();
    return {(middle - std::min(middle, n_steps - 1)) * n_segment_,
            end_of(std::min(middle + n_steps, n_segments()) - 1)};
  }

  // Scans the segments first, first + stride, ... that are fewer than n_steps away. Returns how many codes were
  // compared with a query.
  uint64_t run(size_t first, size_t stride, size_t n_steps = SIZE_MAX) {
    const int least = sorted_[0].popcount, most = sorted_[n_queries_ - 1].popcount;
    const size_t middle = this->middle();
    bool up = true, down = true;
    for (size_t step = first; step < n_steps && (up || down) && finder_.go_on(); step += stride) {
      // A segment beyond all queries' popcounts that is out of reach ends this direction: later segments are farther.
      up = up && middle + step < n_segments() && (visit(middle + step) || first_popcount(middle + step) <= most);
      if (step == 0) continue;
      down = down && step <= middle && (visit(middle - step) || last_popcount(middle - step) >= least);
    }
    return n_compared_;
  }

 private:
  // The segment where codes of the queries' median popcount begin.
  size_t middle() const {
    return std::min(order_.start(sorted_[n_queries_ / 2].popcount), order_.codes.n_codes - 1) / n_segment_;
  }
  size_t end_of(size_t segment) const noexcept { return std::min((segment + 1) * n_segment_, order_.codes.n_codes); }
  int first_popcount(size_t segment) const noexcept { return order_.popcount_at(segment * n_segment_); }
  int last_popcount(size_t segment) const noexcept { return order_.popcount_at(end_of(segment) - 1); }

  // Returns whether any query was compared with the segment's codes.
  bool visit(size_t segment) {
    poll_stop();
    const int low = first_popcount(segment), high = last_popcount(segment);
    size_t begin = n_queries_, end = 0, n_active = 0;
    for (size_t i = 0; i < n_queries_; ++i) {
      limits_[i] = finder_.limit(i, low, high);
      if (limits_[i] < 0) continue;
      begin = std::min(begin, i);
      end = i + 1;
      ++n_active;
    }
    if (n_active == 0) return false;
    const size_t place = segment * n_segment_, n_codes = end_of(segment) - place;
    n_compared_ += n_active * n_codes;
    hits_.resize(std::max(
        hits_.size(), (n_active < min_queries_for_tiles(kernels_.isa, queries_.n_bytes) ? 1 : kGroup) * n_segment_));
    if (n_active < min_queries_for_tiles(kernels_.isa, queries_.n_bytes)) {
      scan_rows(begin, end, place, n_codes);
    } else {
      scan_tile(begin, end, place, n_codes);
    }
    return true;
  }

  void scan_rows(size_t begin, size_t end, size_t place, size_t n_codes) {
    for (size_t i = begin; i < end; ++i) {
      if (limits_[i] < 0) continue;
      const size_t n_hits = kernels_.scan(queries_.row(sorted_[i].query), compared_.row(place), n_codes,
                                          queries_.n_bytes, limits_[i], hits_.data());
      push_hits(n_hits, i, place);
    }
  }

  void scan_tile(size_t begin, size_t end, size_t place, size_t n_codes) {
    kernels_.fill_tile(compared_.row(place), n_codes, queries_.n_bytes, tile_.get());
    for (size_t i = begin; i < end; i += kGroup) {
      poll_stop();
      const size_t n_queries = std::min(kGroup, end - i);
      const size_t n_hits = kernels_.scan_tile(prepared_.get() + i * query_bytes_, n_queries, tile_.get(), n_codes,
                                               queries_.n_bytes, limits_.data() + i, hits_.data());
      push_hits(n_hits, i, place);
    }
  }

  // Hits whose queries are counted from `first`, and rows from `place`.
  void push_hits(size_t n_hits, size_t first, size_t place) {
    const int low = order_.popcount_at(place);
    const bool are_sketches = compared_.n_bytes < order_.codes.n_bytes;
    for (size_t i = 0; i < n_hits; ++i) {
      if (i % kHitsPerPoll == kHitsPerPoll - 1) poll_stop();
      if (are_sketches && i + kPrefetchedHits < n_hits) prefetch(place + hits_[i + kPrefetchedHits].row);
      const size_t at = place + hits_[i].row;
      finder_.push(first + hits_[i].query, at, order_.popcount_from(low, at), hits_[i].distance);
    }
  }

  void prefetch(size_t place) const noexcept {
    const uint8_t* code = order_.codes.row(place);
    for (size_t at = 0; at < order_.codes.n_bytes; at += 64) __builtin_prefetch(code + at);
  }

  const KernelTable& kernels_;
  const PopcountOrder& order_;
  CodesView compared_;
  CodesView queries_;
  const QueryPopcount* sorted_;
  size_t n_queries_;
  Finder& finder_;
  size_t query_bytes_;
  size_t n_segment_;  // codes in a segment: a tile's
  std::vector<int> limits_;
  AlignedBytes prepared_;
  AlignedBytes tile_;
  std::vector<Hit> hits_;
  uint64_t n_compared_ = 0;
};

}  // namespace hashkit
