#include "join/bucket_join.hpp"

#include <algorithm>

#include "join/found_pairs.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kProbesPerBatch = 128;      // looked up together, so that their cache misses overlap
constexpr size_t kPrefetchedBytes = 512;     // of a bucket; the processor prefetches the rest
constexpr size_t kCodesPerScan = 2048;       // codes of a bucket compared between two checks for an interrupt
constexpr size_t kProbesPerThread = 20'000;  // fewer are not worth a thread

// A key of a left row to be looked up in a table.
struct JoinProbe {
  uint64_t key;
  size_t row;
  uint32_t table;
  bool is_own;        // the row's own key, not one within reach of it
  size_t begin, end;  // places over all tables
};

// Looks up and compares the rows of one task.
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
    for (size_t row = first; row < last; ++row) {
      for (size_t t = 0; t < substrings_.n_tables(); ++t) {
        const uint64_t key = substrings_.key_of(rows_.left.row(row), t);
        for (uint64_t mask : substrings_.masks(t)) {
          probes_[n_probes_++] = {key ^ mask, row, static_cast<uint32_t>(t), mask == 0, 0, 0};
          if (n_probes_ == kProbesPerBatch && !search()) return;
        }
      }
    }
    if (search()) sort_rights();
  }

 private:
  // Finds the pairs of all probes; false if there are too many.
  bool search() {
    if (!found_.go_on()) return false;
    look_up();
    for (size_t i = 0; i < n_probes_; ++i) {
      const JoinProbe& probe = probes_[i];
      size_t place = probe.begin;
      if (rows_.later_only && place < probe.end) {
        const uint32_t* all = tables_.rows.data();
        place = static_cast<size_t>(std::upper_bound(all + probe.begin, all + probe.end, probe.row) - all);
      }
      for (; place < probe.end; place += kCodesPerScan) {
        if (place - probe.begin >= kCodesPerScan && !found_.go_on()) return false;
        compare(probe, place, std::min(kCodesPerScan, probe.end - place));
      }
    }
    n_probes_ = 0;
    return true;
  }

  void look_up() noexcept {
    const size_t n_starts = substrings_.n_buckets() + 1;
    for (size_t i = 0; i < n_probes_; ++i) {
      JoinProbe& probe = probes_[i];
      probe.begin = probe.table * n_starts + substrings_.bucket_of(probe.key, probe.table);
      __builtin_prefetch(tables_.starts.data() + probe.begin);
    }
    for (size_t i = 0; i < n_probes_; ++i) {
      JoinProbe& probe = probes_[i];
      const uint32_t* start = tables_.starts.data() + probe.begin;
      probe.begin = probe.table * tables_.n_codes + start[0];
      probe.end = probe.table * tables_.n_codes + start[1];
      if (probe.end - probe.begin == 1 && rows_.later_only && probe.is_own) probe.end = probe.begin;  // the row itself
      if (probe.begin == probe.end) continue;
      __builtin_prefetch(tables_.rows.data() + probe.begin);
      const uint8_t* codes = tables_.codes.data() + probe.begin * rows_.left.n_bytes;
      const size_t n_bytes = std::min(kPrefetchedBytes, (probe.end - probe.begin) * rows_.left.n_bytes);
      for (size_t at = 0; at < n_bytes; at += 64) __builtin_prefetch(codes + at);
    }
  }

  void compare(const JoinProbe& probe, size_t place, size_t n_codes) {
    const size_t n_bytes = rows_.left.n_bytes;
    const uint8_t *left = rows_.left.row(probe.row), *codes = tables_.codes.data() + place * n_bytes;
    const size_t n_hits = kernels_.scan(left, codes, n_codes, n_bytes, radius_, hits_.data());
    for (size_t i = 0; i < n_hits; ++i) {
      if (!is_first_meeting(left, codes + hits_[i].row * n_bytes, probe)) continue;
      found_.pairs.push_back(
          {tables_.rows[place + hits_[i].row], static_cast<uint32_t>(probe.row - first_), hits_[i].distance});
    }
  }

  // Whether this probe is the first to find a pair: other probes may lead to the same bucket, and in earlier tables the
  // codes may be within reach, too.
  bool is_first_meeting(const uint8_t* left, const uint8_t* right, const JoinProbe& probe) const noexcept {
    if (substrings_.key_of(right, probe.table) != probe.key) return false;
    for (size_t t = 0; t < probe.table; ++t) {
      if (substrings_.share_key_nearly(left, right, t)) return false;
    }
    return true;
  }

  // The pairs of each left row follow each other, in the order of the tables.
  void sort_rights() {
    auto& pairs = found_.pairs;
    for (auto begin = pairs.begin(); begin != pairs.end();) {
      auto end = begin + 1;
      while (end != pairs.end() && end->left == begin->left) ++end;
      if (end - begin > 1) stoppable_sort(begin, end);
      begin = end;
    }
  }

  const KernelTable& kernels_;
  const JoinRows& rows_;
  const JoinTables& tables_;
  const HashedSubstrings& substrings_;
  int radius_;
  FoundPairs& found_;
  std::vector<Hit> hits_;
  size_t first_ = 0;  // the task's first left row
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
  return find_pairs(rows.first, rows.last, n_threads, max_pairs, find);
}

}  // namespace hashkit
