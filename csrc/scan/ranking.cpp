#include "scan/ranking.hpp"

#include <algorithm>

#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kRankedBlock = 8192;       // rows whose distances stay in the L1 cache until they are counted
constexpr size_t kRowsPerThread = 1 << 17;  // fewer take less time than the start of a thread
constexpr uint16_t kLeftOut = UINT16_MAX;   // beyond every distance
constexpr size_t kTallies = 4;              // separate tallies, so that no counter is incremented twice in a row

}  // namespace

Ranking::Ranking(const KernelTable& kernels, CodesView codes, RowSet allowed, size_t n_threads)
    : kernels_(kernels),
      codes_(codes),
      allowed_(allowed),
      n_pieces_(std::clamp<size_t>(codes.n_codes / kRowsPerThread, 1, n_threads)),
      n_distances_(8 * codes.n_bytes + 1),
      distances_(codes.n_codes) {}

size_t Ranking::measure(const uint8_t* query, int limit) {
  n_limited_ = static_cast<size_t>(limit) + 1;
  counts_.assign(n_pieces_ * n_distances_, 0);
  parallel_for(n_pieces_, n_pieces_, [&](size_t piece) { count(piece, query); });
  size_t n_within = 0;
  for (size_t piece = 0; piece < n_pieces_; ++piece) {
    for (size_t d = 0; d < n_limited_; ++d) n_within += counts_[piece * n_distances_ + d];
  }
  return n_within;
}

void Ranking::count(size_t piece, const uint8_t* query) {
  const size_t begin = begin_of(piece);
  const bool all = allowed_.bits == nullptr && allowed_.mask == nullptr;
  std::vector<size_t> tallies(kTallies * n_distances_);
  in_chunks(begin_of(piece + 1) - begin, kRankedBlock, [&](size_t first, size_t last) {
    uint16_t* distances = distances_.data() + begin + first;
    const size_t n = last - first;
    kernels_.distances(query, codes_.row(begin + first), n, codes_.n_bytes, distances);
    for (size_t i = 0; i < n && !all; ++i) {
      if (!allowed_.has(begin + first + i)) distances[i] = kLeftOut;
    }
    for (size_t i = 0; i < n; ++i) {
      if (all || distances[i] != kLeftOut) ++tallies[i % kTallies * n_distances_ + distances[i]];
    }
  });
  for (size_t i = 0; i < tallies.size(); ++i) counts_[piece * n_distances_ + i % n_distances_] += tallies[i];
}

void Ranking::write(size_t k, int32_t* distances, int64_t* rows) const {
  std::vector<size_t> places(counts_.size());  // by piece and distance: the position of the next row
  size_t n = 0, n_wanted = 0;                  // distances below n_wanted are among the first k
  for (; n_wanted < n_limited_ && n < k; ++n_wanted) {
    const size_t begin = n;
    for (size_t piece = 0; piece < n_pieces_; ++piece) {
      places[piece * n_distances_ + n_wanted] = n;
      n += counts_[piece * n_distances_ + n_wanted];
    }
    in_chunks(std::min(n, k) - begin, 64 * kRowsPerPoll, [&](size_t first, size_t last) {
      std::fill(distances + begin + first, distances + begin + last, static_cast<int32_t>(n_wanted));
    });
  }
  parallel_for(n_pieces_, n_pieces_, [&](size_t piece) {
    size_t* next = places.data() + piece * n_distances_;
    const size_t begin = begin_of(piece);
    in_chunks(begin_of(piece + 1) - begin, kRowsPerPoll, [&](size_t first, size_t last) {
      for (size_t row = begin + first; row < begin + last; ++row) {
        if (distances_[row] >= n_wanted) continue;
        const size_t place = next[distances_[row]]++;
        if (place < k) rows[place] = static_cast<int64_t>(row);
      }
    });
  });
}

}  // namespace hashkit
