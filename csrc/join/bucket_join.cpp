#include "join/bucket_join.hpp"

#include <algorithm>
#include <cstring>

#include "core/huge_vector.hpp"
#include "join/found_pairs.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kProbesPerBatch = 128;      // looked up together, so that their cache misses overlap
constexpr size_t kPrefetchedBytes = 512;     // of a bucket; the processor prefetches the rest
constexpr size_t kCodesPerScan = 2048;       // codes of a bucket compared between two checks for an interrupt
constexpr size_t kProbesPerThread = 20'000;  // fewer are not worth a thread
constexpr size_t kLeastShared = 1 << 14;     // rows of a task, so that many of them have a key in common

// A left row and its key in a table.
struct RowKey {
  uint64_t key;
  size_t row;
};

bool operator<(const RowKey& a, const RowKey& b) noexcept {
  return a.key != b.key ? a.key < b.key : a.row < b.row;
}

// A key to look up, for left rows that have it or one within reach of it.
struct JoinProbe {
  uint64_t key;
  const RowKey *first, *last;
  size_t begin, end;  // places over all tables
};

// Looks up and compares the rows of one task, table by table. If keys within reach are looked up too, a row has many of
// them, and rows whose keys are equal share them: then rows are taken in the order of their keys.
class Prober {
 public:
  Prober(const KernelTable& kernels, const JoinRows& rows, const JoinTables& tables, int radius, FoundPairs& found)
      : kernels_(kernels),
        rows_(rows),
        tables_(tables),
        substrings_(tables.substrings),
        radius_(radius),
        found_(found),
        hits_(kCodesPerScan) {}

  void run(size_t first, size_t last) {
    first_ = first;
    keys_.resize(last - first);
    for (table_ = 0; table_ < substrings_.n_tables(); ++table_) {
      in_chunks(keys_.size(), kRowsPerPoll, [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end; ++i)
          keys_[i] = {substrings_.key_of(rows_.left.row(first + i), table_), first + i};
      });
      if (substrings_.reach() > 0) sort_keys();
      if (!search_table()) return;
    }
    stoppable_sort(found_.pairs.begin(), found_.pairs.end());
  }

 private:
  void sort_keys() {
    const size_t n_bytes = rows_.left.n_bytes;
    stoppable_sort(keys_.begin(), keys_.end());
    codes_.resize(keys_.size() * n_bytes);
    in_chunks(keys_.size(), kRowsPerPoll, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i)
        std::memcpy(codes_.data() + i * n_bytes, rows_.left.row(keys_[i].row), n_bytes);
    });
  }

  // False if there are too many pairs.
  bool search_table() {
    const RowKey* end = keys_.data() + keys_.size();
    for (const RowKey *first = keys_.data(), *last; first != end; first = last) {
      last = first + 1;
      while (last != end && last->key == first->key) ++last;
      for (uint64_t mask : substrings_.masks(table_)) {
        probes_[n_probes_++] = {first->key ^ mask, first, last, 0, 0};
        if (n_probes_ == kProbesPerBatch && !search()) return false;
      }
    }
    return search();
  }

  // Finds the pairs of all probes; false if there are too many.
  bool search() {
    if (!found_.go_on()) return false;
    look_up();
    for (size_t i = 0; i < n_probes_; ++i) {
      const JoinProbe& probe = probes_[i];
      const auto n_rows = static_cast<size_t>(probe.last - probe.first), n_codes = probe.end - probe.begin;
      if (codes_.empty() || n_codes >= n_rows ? !compare_rows(probe) : !compare_codes(probe)) return false;
    }
    n_probes_ = 0;
    return true;
  }

  // Each left row with the codes of the bucket.
  bool compare_rows(const JoinProbe& probe) {
    const size_t n_bytes = rows_.left.n_bytes;
    for (const RowKey* row = probe.first; row != probe.last; ++row) {
      size_t place = probe.begin;
      if (rows_.later_only && place < probe.end) {
        const uint32_t* all = tables_.rows.data();
        place = static_cast<size_t>(std::upper_bound(all + probe.begin, all + probe.end, row->row) - all);
      }
      for (; place < probe.end; place += kCodesPerScan) {
        if (place - probe.begin >= kCodesPerScan && !found_.go_on()) return false;
        const size_t n_hits = kernels_.scan(rows_.left.row(row->row), tables_.codes.data() + place * n_bytes,
                                            std::min(kCodesPerScan, probe.end - place), n_bytes, radius_, hits_.data());
        for (size_t i = 0; i < n_hits; ++i) take(probe.key, row->row, place + hits_[i].row, hits_[i].distance);
      }
    }
    return true;
  }

  // Each code of the bucket with the left rows, where these are more.
  bool compare_codes(const JoinProbe& probe) {
    const size_t n_bytes = rows_.left.n_bytes;
    const auto begin = static_cast<size_t>(probe.first - keys_.data()), end = begin + (probe.last - probe.first);
    for (size_t place = probe.begin; place < probe.end; ++place) {
      for (size_t first = begin; first < end; first += kCodesPerScan) {
        if (first > begin && !found_.go_on()) return false;
        const size_t n_hits = kernels_.scan(tables_.codes.data() + place * n_bytes, codes_.data() + first * n_bytes,
                                            std::min(kCodesPerScan, end - first), n_bytes, radius_, hits_.data());
        for (size_t i = 0; i < n_hits; ++i) {
          take(probe.key, keys_[first + hits_[i].row].row, place, hits_[i].distance);
        }
      }
    }
    return true;
  }

  void take(uint64_t key, size_t row, size_t place, int distance) {
    const uint32_t right = tables_.rows[place];
    if (rows_.later_only && right <= row) return;
    if (!is_first_meeting(rows_.left.row(row), tables_.codes.data() + place * rows_.left.n_bytes, key)) return;
    found_.pairs.push_back({right, static_cast<uint32_t>(row - first_), distance});
  }

  void look_up() noexcept {
    const size_t n_starts = substrings_.n_buckets() + 1;
    for (size_t i = 0; i < n_probes_; ++i) {
      JoinProbe& probe = probes_[i];
      probe.begin = table_ * n_starts + substrings_.bucket_of(probe.key, table_);
      __builtin_prefetch(tables_.starts.data() + probe.begin);
    }
    for (size_t i = 0; i < n_probes_; ++i) {
      JoinProbe& probe = probes_[i];
      const uint32_t* start = tables_.starts.data() + probe.begin;
      probe.begin = table_ * tables_.n_codes + start[0];
      probe.end = table_ * tables_.n_codes + start[1];
      // The row itself.
      if (probe.end - probe.begin == 1 && rows_.later_only && probe.key == probe.first->key) probe.end = probe.begin;
      if (probe.begin == probe.end) continue;
      __builtin_prefetch(tables_.rows.data() + probe.begin);
      const uint8_t* codes = tables_.codes.data() + probe.begin * rows_.left.n_bytes;
      const size_t n_bytes = std::min(kPrefetchedBytes, (probe.end - probe.begin) * rows_.left.n_bytes);
      for (size_t at = 0; at < n_bytes; at += 64) __builtin_prefetch(codes + at);
    }
  }

  // Whether this key is the first to find a pair: other keys may lead to the same bucket, and in earlier tables the
  // codes may be within reach, too.
  bool is_first_meeting(const uint8_t* left, const uint8_t* right, uint64_t key) const noexcept {
    if (substrings_.key_of(right, table_) != key) return false;
    for (size_t t = 0; t < table_; ++t) {
      if (substrings_.share_key_nearly(left, right, t)) return false;
    }
    return true;
  }

  const KernelTable& kernels_;
  const JoinRows& rows_;
  const JoinTables& tables_;
  const HashedSubstrings& substrings_;
  int radius_;
  FoundPairs& found_;
  std::vector<Hit> hits_;
  std::vector<RowKey> keys_;   // of the task's rows in this table
  HugeVector<uint8_t> codes_;  // of the same rows, if they are in the order of their keys
  size_t first_ = 0;           // the task's first left row
  size_t table_ = 0;
  size_t n_probes_ = 0;
  JoinProbe probes_[kProbesPerBatch];
};

}  // namespace

std::optional<Pairs> bucket_pairs(const KernelTable& kernels, const JoinRows& rows, const JoinTables& tables,
                                  int radius, size_t n_threads, size_t max_pairs) {
  size_t n_keys = 0;
  for (size_t t = 0; t < tables.substrings.n_tables(); ++t) n_keys += tables.substrings.masks(t).size();
  n_threads = std::min(n_threads, 1 + (rows.last - rows.first) * n_keys / kProbesPerThread);
  const auto find = [&](size_t first, size_t last, FoundPairs& found) {
    Prober(kernels, rows, tables, radius, found).run(first, last);
  };
  const size_t n_left = rows.last - rows.first, share = (n_left + n_threads - 1) / n_threads;
  const size_t step =
      tables.substrings.reach() > 0 ? std::max(share, kLeastShared) : queries_per_task(n_left, n_threads);
  return find_pairs(rows.first, rows.last, step, n_threads, max_pairs, find);
}

}  // namespace hashkit
