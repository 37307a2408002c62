#include "join/join_tables.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

// Nanoseconds, measured with AVX-512 on Zen 4; only their ratios matter.
constexpr double kScanWord = 0.1;       // a 64-bit word of a code, compared in a tile
constexpr double kCandidateWord = 0.5;  // the same among the few codes of a bucket
constexpr double kInsert = 40;          // insert a code into a table
constexpr double kProbe = 40;           // look a code up in a table
constexpr double kSort = 80;            // sort a code by its key, if keys within reach are looked up too
constexpr double kNearProbe = 40;       // look up one key within reach, for all codes of a block with one own key
constexpr double kSorted = 1 << 20;     // codes in a block
// Beyond a reach of 0 and 16 tables, costs were measured on one machine only: tables must be estimated to be cheaper by
// this factor.
constexpr double kMargin = 3;
constexpr size_t kTablesWithoutMargin = 16;

constexpr size_t kRowsPerTableTask = 1 << 16;
// Rows copied to their places between two polls. Each may be the first in a page of 2 MiB, which the system then
// zeroes: up to 1.5 ms on a virtual machine.
constexpr size_t kRowsPerCopy = 16;
constexpr size_t kPrefetchedRows = 16;  // how far ahead of its use a row's memory is prefetched
constexpr size_t kMaxKeyBits = 56;      // a load of 8 bytes contains so many at any bit offset

// Bits [start, start + width) of a code, width <= kMaxKeyBits.
uint64_t bits_at(const uint8_t* code, size_t n_bytes, size_t start, size_t width) noexcept {
  uint64_t word = 0;
  if (n_bytes < 8) {
    for (size_t i = 0; i < 8; ++i) word = word << 8 | (i < n_bytes ? code[i] : 0);
    return word << start >> (64 - width);
  }
  const size_t first = std::min(start / 8, n_bytes - 8);
  std::memcpy(&word, code + first, sizeof word);
  return __builtin_bswap64(word) << (start - 8 * first) >> (64 - width);
}

// All words of `width` bits with at most `reach` set bits, fewest first.
std::vector<uint64_t> words_within(size_t width, int reach) {
  std::vector<uint64_t> words{0};
  size_t begin = 0;
  for (int n_set = 1; n_set <= reach; ++n_set) {
    const size_t end = words.size();
    for (size_t i = begin; i < end; ++i) {
      // Bits are set in ascending order, so each word is produced once.
      const size_t first = words[i] == 0 ? 0 : 64 - static_cast<size_t>(__builtin_clzll(words[i]));
      for (size_t bit = first; bit < width; ++bit) words.push_back(words[i] | uint64_t{1} << bit);
    }
    begin = end;
  }
  return words;
}

// The cost of a join by a scan, and the known part of its cost by tables.
class JoinCosts {
 public:
  // n_left is 0 for a join of the codes with themselves.
  JoinCosts(CodesView codes, size_t n_left, const HashedSubstrings& substrings)
      : n_codes_(static_cast<double>(codes.n_codes)),
        n_left_(static_cast<double>(n_left)),
        n_words_(static_cast<double>((codes.n_bytes + 7) / 8)),
        n_pairs_(n_left == 0 ? n_codes_ * (n_codes_ - 1) / 2 : n_codes_ * n_left_),
        by_scan_(n_pairs_ * n_words_ * kScanWord) {
    if (substrings.reach() > 0 || substrings.n_tables() > kTablesWithoutMargin) by_scan_ /= kMargin;
    const double n_rows = n_left == 0 ? n_codes_ : n_left_;
    const double n_sorted = substrings.reach() > 0 ? n_rows : 0, n_blocks = std::ceil(n_rows / kSorted);
    for (size_t t = 0; t < substrings.n_tables(); ++t) {
      const auto n_keys = static_cast<double>(substrings.masks(t).size());
      const double n_different = std::min(n_rows, n_blocks * std::exp2(substrings.width_of(t)));
      by_tables_ += n_codes_ * kInsert + n_rows * kProbe + n_sorted * kSort + n_different * (n_keys - 1) * kNearProbe;
      n_least_candidates_ += n_pairs_ * n_keys / static_cast<double>(substrings.n_buckets());
    }
  }

  // Adds the cost of comparing the codes in each bucket with each other, or with their share of n_left codes
  // distributed over the buckets in the same way. Counted n_keys times, as if all buckets within reach were as full.
  // `sizes` are the buckets' sizes.
  void add_table(const uint32_t* sizes, size_t n_buckets, size_t n_keys) noexcept {
    double n_own = 0, n_squares = 0;
    for (size_t bucket = 0; bucket < n_buckets; ++bucket) {
      const double size = sizes[bucket];
      n_own += size * (size - 1) / 2;
      n_squares += size * size;
    }
    const auto n_near = static_cast<double>(n_keys - 1);
    by_tables_ += (n_left_ == 0 ? n_own + n_near * n_squares / 2 : (1 + n_near) * n_squares * n_left_ / n_codes_) *
                  n_words_ * kCandidateWord;
  }
  bool prefer_scan() const noexcept { return by_tables_ > by_scan_; }
  bool prefer_scan_at_best() const noexcept { return at_best() > by_scan_; }
  // For codes distributed evenly over all buckets, which gives the fewest candidates.
  double at_best() const noexcept { return by_tables_ + n_least_candidates_ * n_words_ * kCandidateWord; }

 private:
  double n_codes_, n_left_, n_words_, n_pairs_, by_scan_, by_tables_ = 0, n_least_candidates_ = 0;
};

// Substrings for this radius; none if there would be too many tables.
std::optional<HashedSubstrings> cut_for(size_t n_codes, size_t n_bits, int radius, int reach) {
  const auto n_tables = static_cast<size_t>(radius / (reach + 1)) + 1;
  if (n_tables > std::min(kMaxJoinTables, n_bits)) return std::nullopt;
  unsigned bucket_bits = 1;
  while ((size_t{1} << bucket_bits) < n_codes && bucket_bits < n_bits / n_tables) ++bucket_bits;
  return HashedSubstrings(n_bits, n_tables, reach, bucket_bits);
}

// The substrings with the lowest cost of the join, and this cost; none if a scan costs less.
std::optional<HashedSubstrings> choose_substrings(CodesView codes, size_t n_bits, size_t n_left, int radius) {
  std::optional<HashedSubstrings> best;
  double least = 0;
  for (int reach = 0; reach <= std::min(kMaxReach, radius); ++reach) {
    auto substrings = cut_for(codes.n_codes, n_bits, radius, reach);
    if (!substrings) continue;
    const JoinCosts costs(codes, n_left, *substrings);
    if (costs.prefer_scan_at_best() || (best && costs.at_best() > least)) continue;
    least = costs.at_best();
    best = std::move(substrings);
  }
  return best;
}

// The number of the bucket of each code in a table.
void find_buckets(const HashedSubstrings& substrings, CodesView codes, size_t table, size_t n_threads,
                  std::vector<uint32_t>& buckets) {
  parallel_for((codes.n_codes + kRowsPerTableTask - 1) / kRowsPerTableTask, n_threads, [&](size_t task) {
    const size_t last = std::min((task + 1) * kRowsPerTableTask, codes.n_codes);
    for (size_t row = task * kRowsPerTableTask; row < last; ++row) {
      if (row % kRowsPerPoll == 0) poll_stop();
      buckets[row] = substrings.bucket_of(substrings.key_of(codes.row(row), table), table);
    }
  });
}

// Fills a table, given the size of bucket b at starts[b + 1].
void fill_table(CodesView codes, const std::vector<uint32_t>& buckets, size_t n_buckets, uint32_t* starts,
                uint8_t* to_codes, uint32_t* to_rows) {
  for (size_t i = 1; i <= n_buckets; ++i) starts[i] += starts[i - 1];
  for (size_t row = 0; row < codes.n_codes; ++row) {
    if (row % kRowsPerCopy == 0) poll_stop();
    if (row + 2 * kPrefetchedRows < codes.n_codes) __builtin_prefetch(starts + buckets[row + 2 * kPrefetchedRows]);
    if (row + kPrefetchedRows < codes.n_codes) {
      const size_t next_place = starts[buckets[row + kPrefetchedRows]];
      __builtin_prefetch(to_codes + next_place * codes.n_bytes);
      __builtin_prefetch(to_rows + next_place);
    }
    const size_t place = starts[buckets[row]]++;
    std::memcpy(to_codes + place * codes.n_bytes, codes.row(row), codes.n_bytes);
    to_rows[place] = static_cast<uint32_t>(row);
  }
  // Each start has advanced to the next bucket's start: move them back by one.
  std::memmove(starts + 1, starts, n_buckets * sizeof *starts);
  starts[0] = 0;
}

}  // namespace

HashedSubstrings::HashedSubstrings(size_t n_bits, size_t n_tables, int reach, unsigned bucket_bits)
    : n_bytes_((n_bits + 7) / 8),
      n_tables_(n_tables),
      reach_(reach),
      bucket_bits_(bucket_bits),
      least_width_(std::min(kMaxKeyBits, n_bits / n_tables)) {
  for (size_t t = 0; t <= n_tables; ++t) cuts_[t] = static_cast<uint32_t>(n_bits * t / n_tables);
  for (size_t i = 0; i < 2; ++i) masks_[i] = words_within(std::min(kMaxKeyBits, least_width_ + i), reach);
}

size_t HashedSubstrings::width_of(size_t table) const noexcept {
  return std::min<size_t>(kMaxKeyBits, cuts_[table + 1] - cuts_[table]);
}

uint64_t HashedSubstrings::key_of(const uint8_t* code, size_t table) const noexcept {
  uint64_t key = 0;
  for (size_t start = cuts_[table]; start < cuts_[table + 1]; start += kMaxKeyBits) {
    key ^= bits_at(code, n_bytes_, start, std::min<size_t>(kMaxKeyBits, cuts_[table + 1] - start));
  }
  return key;
}

uint32_t HashedSubstrings::bucket_of(uint64_t key, size_t table) const noexcept {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;  // 2^64 / the golden ratio (Knuth, The Art of Computer Programming 6.4)
  if (width_of(table) <= bucket_bits_) return static_cast<uint32_t>(key);
  const uint64_t hash = key * kOdd;
  return static_cast<uint32_t>((hash ^ hash >> 29) * kOdd >> (64 - bucket_bits_));
}

size_t JoinTables::memory() const noexcept {
  return codes.size() * sizeof codes[0] + rows.size() * sizeof rows[0] + starts.size() * sizeof starts[0];
}

std::optional<JoinTables> make_join_tables(CodesView codes, size_t n_bits, size_t n_left, int radius,
                                           std::optional<int> reach, size_t n_threads) {
  const size_t n_codes = codes.n_codes;
  if (n_codes == 0 || n_codes >= UINT32_MAX) return std::nullopt;
  const auto substrings =
      reach ? cut_for(n_codes, n_bits, radius, *reach) : choose_substrings(codes, n_bits, n_left, radius);
  if (!substrings) return std::nullopt;
  JoinCosts costs(codes, n_left, *substrings);
  const size_t n_tables = substrings->n_tables(), n_buckets = substrings->n_buckets();
  JoinTables tables{*substrings, n_codes, n_bits, {}, {}, {}};
  tables.starts.resize(n_tables * (n_buckets + 1));  // not written yet, like the others
  tables.codes.resize(n_tables * n_codes * codes.n_bytes);
  tables.rows.resize(n_tables * n_codes);
  std::vector<uint32_t> buckets(n_codes);
  for (size_t t = 0; t < n_tables; ++t) {
    uint32_t* starts = tables.starts.data() + t * (n_buckets + 1);
    find_buckets(*substrings, codes, t, n_threads, buckets);
    in_chunks(n_buckets + 1, 64 * kRowsPerPoll,
              [&](size_t first, size_t last) { std::fill(starts + first, starts + last, 0); });
    in_chunks(n_codes, 8 * kRowsPerPoll, [&](size_t first, size_t last) {
      for (size_t row = first; row < last; ++row) ++starts[buckets[row] + 1];
    });
    costs.add_table(starts + 1, n_buckets, substrings->masks(t).size());
    if (!reach && costs.prefer_scan()) return std::nullopt;
    fill_table(codes, buckets, n_buckets, starts, tables.codes.data() + t * n_codes * codes.n_bytes,
               tables.rows.data() + t * n_codes);
  }
  return tables;
}

}  // namespace hashkit
