#include "join/bucket_join.hpp"

#include <algorithm>
#include <cstring>

#include "join/found_pairs.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

// Nanoseconds, measured with AVX-512 on Zen 4; only their ratios matter.
constexpr double kScanWord = 0.1;       // a 64-bit word of a code, compared in a tile
constexpr double kCandidateWord = 0.5;  // the same among the few codes of a bucket
constexpr double kInsert = 40;          // insert a code into a table
constexpr double kProbe = 40;           // look a code up in a table

constexpr size_t kRowsPerTableTask = 1 << 16;
// Rows copied to their places between two polls. Each may be the first in a page of 2 MiB, which the system zeroes
// then: up to 1.5 ms on a virtual machine.
constexpr size_t kRowsPerCopy = 16;
constexpr size_t kRowsPerLookup = 32;        // codes looked up together, so that their cache misses overlap
constexpr size_t kPrefetchedRows = 16;       // how far ahead of its use a row's memory is prefetched
constexpr size_t kCodesPerScan = 2048;       // codes of a bucket compared between two checks for an interrupt
constexpr size_t kProbesPerThread = 20'000;  // a thread does not pay for fewer

// Bits [start, start + width) of a code, width <= 56.
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

// The cost of a join by a scan, and by tables as far as it is known.
class JoinCosts {
 public:
  // n_left is 0 for a join of the codes with themselves.
  JoinCosts(CodesView codes, size_t n_left, const HashedSubstrings& substrings)
      : n_codes_(static_cast<double>(codes.n_codes)),
        n_left_(static_cast<double>(n_left)),
        n_words_(static_cast<double>((codes.n_bytes + 7) / 8)),
        n_pairs_(n_left == 0 ? n_codes_ * (n_codes_ - 1) / 2 : n_codes_ * n_left_),
        by_tables_(static_cast<double>(substrings.n_tables()) *
                   (n_codes_ * kInsert + (n_left == 0 ? n_codes_ : n_left_) * kProbe)) {}

  // Adds the cost of comparing the codes in each bucket of a table with each other, or with their share of n_left codes
  // that are spread over the buckets in the same way. `sizes` are the buckets' sizes.
  void add_table(const uint32_t* sizes, size_t n_buckets) noexcept {
    double n_own = 0, n_squares = 0;
    for (size_t bucket = 0; bucket < n_buckets; ++bucket) {
      const double size = sizes[bucket];
      n_own += size * (size - 1) / 2;
      n_squares += size * size;
    }
    by_tables_ += (n_left_ == 0 ? n_own : n_squares * n_left_ / n_codes_) * n_words_ * kCandidateWord;
  }
  bool prefer_scan() const noexcept { return by_tables_ > n_pairs_ * n_words_ * kScanWord; }
  // The same for codes spread evenly over all buckets, which gives the fewest candidates.
  bool prefer_scan_at_best(const HashedSubstrings& substrings) const noexcept {
    const double n_candidates =
        n_pairs_ * static_cast<double>(substrings.n_tables()) / static_cast<double>(substrings.n_buckets());
    return by_tables_ + n_candidates * n_words_ * kCandidateWord > n_pairs_ * n_words_ * kScanWord;
  }

 private:
  double n_codes_, n_left_, n_words_, n_pairs_, by_tables_;
};

// The number of the bucket of each code in a table.
void find_buckets(const HashedSubstrings& substrings, CodesView codes, size_t table, size_t n_threads,
                  std::vector<uint32_t>& buckets) {
  parallel_for((codes.n_codes + kRowsPerTableTask - 1) / kRowsPerTableTask, n_threads, [&](size_t task) {
    const size_t last = std::min((task + 1) * kRowsPerTableTask, codes.n_codes);
    for (size_t row = task * kRowsPerTableTask; row < last; ++row) {
      if (row % kRowsPerPoll == 0) poll_stop();
      buckets[row] = substrings.bucket_of(codes.row(row), table);
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

// Looks up and compares the rows of one task.
class Prober {
 public:
  Prober(const KernelTable& kernels, const JoinRows& rows, const JoinTables& tables, int radius, FoundPairs& found)
      : kernels_(kernels), rows_(rows), tables_(tables), radius_(radius), found_(found), hits_(kCodesPerScan) {}

  void run(size_t first, size_t last) {
    for (size_t row = first; row < last && found_.go_on(); row += kRowsPerLookup) {
      const size_t n_rows = std::min(kRowsPerLookup, last - row);
      look_up(row, n_rows);
      for (size_t i = 0; i < n_rows; ++i) search(row + i, i, first);
    }
  }

 private:
  struct Bucket {
    uint32_t number;
    size_t begin, end;  // places over all tables
  };

  void look_up(size_t first, size_t n_rows) noexcept {
    const size_t n_tables = tables_.substrings.n_tables(), n_starts = tables_.substrings.n_buckets() + 1;
    for (size_t i = 0; i < n_rows; ++i) {
      for (size_t t = 0; t < n_tables; ++t) {
        buckets_[i][t].number = tables_.substrings.bucket_of(rows_.left.row(first + i), t);
        __builtin_prefetch(tables_.starts.data() + t * n_starts + buckets_[i][t].number);
      }
    }
    for (size_t i = 0; i < n_rows; ++i) {
      for (size_t t = 0; t < n_tables; ++t) {
        Bucket& bucket = buckets_[i][t];
        const uint32_t* start = tables_.starts.data() + t * n_starts + bucket.number;
        bucket.begin = t * tables_.n_codes + start[0];
        bucket.end = t * tables_.n_codes + start[1];
        if (bucket.end - bucket.begin == rows_.later_only) bucket.end = bucket.begin;  // empty, or only the row itself
        if (bucket.begin == bucket.end) continue;
        __builtin_prefetch(tables_.rows.data() + bucket.begin);
        __builtin_prefetch(tables_.codes.data() + bucket.begin * rows_.left.n_bytes);
      }
    }
  }

  void search(size_t row, size_t looked_up, size_t first) {
    const size_t n_before = found_.pairs.size();
    for (size_t t = 0; t < tables_.substrings.n_tables(); ++t) {
      const Bucket& bucket = buckets_[looked_up][t];
      size_t place = bucket.begin;
      if (rows_.later_only && place < bucket.end) {
        place = static_cast<size_t>(
            std::upper_bound(tables_.rows.data() + bucket.begin, tables_.rows.data() + bucket.end, row) -
            tables_.rows.data());
      }
      for (; place < bucket.end; place += kCodesPerScan) {
        if (place != bucket.begin && !found_.go_on()) return;
        compare(row, looked_up, first, t, place, std::min(kCodesPerScan, bucket.end - place));
      }
    }
    if (found_.pairs.size() - n_before < 2) return;
    const auto by_right = [](const FoundPair& a, const FoundPair& b) { return a.right < b.right; };
    std::sort(found_.pairs.begin() + static_cast<std::ptrdiff_t>(n_before), found_.pairs.end(), by_right);
  }

  void compare(size_t row, size_t looked_up, size_t first, size_t table, size_t place, size_t n_codes) {
    const size_t n_bytes = rows_.left.n_bytes;
    const uint8_t* codes = tables_.codes.data() + place * n_bytes;
    const size_t n_hits = kernels_.scan(rows_.left.row(row), codes, n_codes, n_bytes, radius_, hits_.data());
    for (size_t i = 0; i < n_hits; ++i) {
      if (shares_earlier_bucket(codes + hits_[i].row * n_bytes, looked_up, table)) continue;
      found_.pairs.push_back(
          {tables_.rows[place + hits_[i].row], static_cast<uint32_t>(row - first), hits_[i].distance});
    }
  }

  // Whether an earlier table has both codes in one bucket, so that the pair has been found there.
  bool shares_earlier_bucket(const uint8_t* code, size_t looked_up, size_t table) const noexcept {
    for (size_t t = 0; t < table; ++t) {
      if (tables_.substrings.bucket_of(code, t) == buckets_[looked_up][t].number) return true;
    }
    return false;
  }

  const KernelTable& kernels_;
  const JoinRows& rows_;
  const JoinTables& tables_;
  int radius_;
  FoundPairs& found_;
  std::vector<Hit> hits_;
  Bucket buckets_[kRowsPerLookup][kMaxJoinTables];
};

}  // namespace

HashedSubstrings::HashedSubstrings(size_t n_bits, size_t n_tables, unsigned bucket_bits)
    : n_bytes_((n_bits + 7) / 8), n_tables_(n_tables), bucket_bits_(bucket_bits) {
  for (size_t t = 0; t <= n_tables; ++t) cuts_[t] = static_cast<uint32_t>(n_bits * t / n_tables);
}

size_t JoinTables::memory() const noexcept {
  return codes.size() * sizeof codes[0] + rows.size() * sizeof rows[0] + starts.size() * sizeof starts[0];
}

uint32_t HashedSubstrings::bucket_of(const uint8_t* code, size_t table) const noexcept {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;  // 2^64 / the golden ratio (Knuth, The Art of Computer Programming 6.4)
  const size_t begin = cuts_[table], end = cuts_[table + 1];
  if (end - begin <= bucket_bits_) return static_cast<uint32_t>(bits_at(code, n_bytes_, begin, end - begin));
  uint64_t hash = 0;
  for (size_t start = begin; start < end; start += 56) {
    hash = (hash ^ bits_at(code, n_bytes_, start, std::min<size_t>(56, end - start))) * kOdd;
    hash ^= hash >> 29;
  }
  return static_cast<uint32_t>(hash * kOdd >> (64 - bucket_bits_));
}

std::optional<JoinTables> make_join_tables(CodesView codes, size_t n_bits, size_t n_left, int radius, bool always,
                                           size_t n_threads) {
  const size_t n_codes = codes.n_codes, n_tables = static_cast<size_t>(radius) + 1;
  if (n_codes == 0 || n_codes >= UINT32_MAX || n_tables > std::min(kMaxJoinTables, n_bits)) return std::nullopt;
  unsigned bucket_bits = 1;
  while ((size_t{1} << bucket_bits) < n_codes && bucket_bits < n_bits / n_tables) ++bucket_bits;
  const HashedSubstrings substrings(n_bits, n_tables, bucket_bits);
  JoinCosts costs(codes, n_left, substrings);
  if (!always && costs.prefer_scan_at_best(substrings)) return std::nullopt;
  const size_t n_buckets = substrings.n_buckets();
  JoinTables tables{substrings, n_codes, n_bits, {}, {}, {}};
  tables.starts.resize(n_tables * (n_buckets + 1));  // not written yet, like the others
  tables.codes.resize(n_tables * n_codes * codes.n_bytes);
  tables.rows.resize(n_tables * n_codes);
  std::vector<uint32_t> buckets(n_codes);
  for (size_t t = 0; t < n_tables; ++t) {
    uint32_t* starts = tables.starts.data() + t * (n_buckets + 1);
    find_buckets(substrings, codes, t, n_threads, buckets);
    in_chunks(n_buckets + 1, 64 * kRowsPerPoll,
              [&](size_t first, size_t last) { std::fill(starts + first, starts + last, 0); });
    in_chunks(n_codes, 8 * kRowsPerPoll, [&](size_t first, size_t last) {
      for (size_t row = first; row < last; ++row) ++starts[buckets[row] + 1];
    });
    costs.add_table(starts + 1, n_buckets);
    if (!always && costs.prefer_scan()) return std::nullopt;
    fill_table(codes, buckets, n_buckets, starts, tables.codes.data() + t * n_codes * codes.n_bytes,
               tables.rows.data() + t * n_codes);
  }
  return tables;
}

std::optional<Pairs> bucket_pairs(const KernelTable& kernels, const JoinRows& rows, const JoinTables& tables,
                                  int radius, size_t n_threads, size_t max_pairs) {
  n_threads = std::min(n_threads, 1 + (rows.last - rows.first) * tables.substrings.n_tables() / kProbesPerThread);
  const auto find = [&](size_t first, size_t last, FoundPairs& found) {
    Prober(kernels, rows, tables, radius, found).run(first, last);
  };
  return find_pairs(rows.first, rows.last, n_threads, max_pairs, find);
}

}  // namespace hashkit
