// A call that is stopped ends on all of its threads, whatever it was doing.
#include "parallel/stop.hpp"

#include <chrono>
#include <cstring>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "core/gather.hpp"
#include "core/merge.hpp"
#include "core/packing.hpp"
#include "far/bounded_search.hpp"
#include "jaccard/jaccard.hpp"
#include "join/bucket_join.hpp"
#include "join/pair_join.hpp"
#include "join/union_find.hpp"
#include "mih/search.hpp"
#include "parallel/parallel_for.hpp"
#include "reference.hpp"
#include "scan/linear_scan.hpp"

using namespace hashkit;
using namespace std::chrono_literals;

namespace {

// Stops at the n-th look after the first poll.
class StopAt final : public StoppableCall {
 public:
  explicit StopAt(size_t n) : StoppableCall(0ns), left_(n) {}
  size_t left() const noexcept { return left_; }

 protected:
  void check() override {
    if (left_ != 0 && --left_ == 0) throw std::out_of_range("stopped");
  }

 private:
  size_t left_;
};

template <class Work>
void check_stops(const char* name, const Work& work) {
  for (size_t n : {1, 2}) {
    StopAt call(n);
    bool stopped = false;
    try {
      work();
    } catch (const std::out_of_range&) {
      stopped = true;
    }
    CHECK(stopped && call.reason(), name, " went on after look ", n);
  }
}

}  // namespace

TEST(stop_needs_a_call) {
  for (int i = 0; i < 10; ++i) poll_stop();
}

TEST(stop_between_tasks) {
  for (size_t n_threads : {1, 2, 5}) {
    std::atomic<size_t> n_calls{0};
    const auto work = [&] { parallel_for(1'000'000, n_threads, [&](size_t) { ++n_calls; }); };
    check_stops("parallel_for", work);
    CHECK(n_calls < 2'000'000, n_threads, " threads");
  }
}

// The thread that made the call has nothing to do but to wait, and the others have no end.
TEST(stop_while_others_work) {
  const auto work = [] {
    parallel_for(3, 3, [caller = std::this_thread::get_id()](size_t) {
      while (std::this_thread::get_id() != caller) poll_stop();
    });
  };
  StopAt call(2);
  CHECK_THROWS(work(), std::out_of_range, "stopped");
}

TEST(stop_wins_over_other_errors) {
  StopAt call(1);
  const auto work = [] {
    parallel_for(8, 2, [caller = std::this_thread::get_id()](size_t) {
      if (std::this_thread::get_id() == caller) {
        for (;;) poll_stop();
      }
      std::this_thread::sleep_for(5ms);
      throw std::runtime_error("another");
    });
  };
  try {
    work();
  } catch (const std::exception&) {
  }
  CHECK(call.reason() != nullptr || call.left() > 0);
}

TEST(stop_of_a_call_within_a_check_leaves_the_outer_one) {
  StopAt outer(3);
  {
    StopAt inner(1);
    CHECK_THROWS(in_chunks(100, 1, [](size_t, size_t) {}), std::out_of_range, "stopped");
  }
  CHECK(outer.left() == 3 && current_call().call == &outer && current_call().is_own);
  CHECK_THROWS(in_chunks(100, 1, [](size_t, size_t) {}), std::out_of_range, "stopped");
}

TEST(stop_of_a_sort) {
  std::vector<uint64_t> values(1 << 18);
  for (size_t i = 0; i < values.size(); ++i) values[i] = i * 0x9E3779B97F4A7C15;
  check_stops("sort", [&values] {
    std::vector<uint64_t> copy = values;
    stoppable_sort(copy.begin(), copy.end());
  });
  stoppable_sort(values.begin(), values.end());
  CHECK(std::is_sorted(values.begin(), values.end()));
}

// Codes go to places all over a table. Each may be the first in its page, which the system zeroes then.
TEST(stop_while_join_tables_are_filled) {
  constexpr size_t kCodes = 20'000, kTables = 3, kMostPages = 16;
  std::vector<uint8_t> bytes(kCodes * 128);
  reference::fill_codes(reference::Data::kRandom, bytes.data(), kCodes, 128, 1);
  StopAt call(SIZE_MAX);
  make_join_tables({bytes.data(), kCodes, 128}, 1024, 0, kTables - 1, 0, 1);
  CHECK(SIZE_MAX - call.left() >= kTables * kCodes / kMostPages);
}

TEST(stop_in_every_room) {
  constexpr size_t kCodes = 400'000, kQueries = 200;
  std::vector<uint8_t> bytes(kCodes * 8);
  reference::fill_codes(reference::Data::kRandom, bytes.data(), kCodes, 8, 1);
  const CodesView codes{bytes.data(), kCodes, 8}, queries{bytes.data(), kQueries, 8};
  const KernelTable& kernels = kernel_table(reference::tested_isas().back());
  const Tables tables = build_tables(kernels, codes, 64, false, 1);
  const IndexedCodes indexed{kernels, tables, codes, {}, kCodes};
  std::vector<int32_t> distances(kQueries * 100);
  std::vector<int64_t> rows(kCodes), starts(66);
  std::vector<uint8_t> sorted(bytes.size()), all(kCodes / 8, 0xff), spread(kCodes * 64);
  sort_by_popcount(kernels, codes, 1, sorted.data(), starts.data(), rows.data());
  const PopcountOrder order{{sorted.data(), kCodes, 8}, starts.data(), rows.data()};
  const JoinTables join = *make_join_tables(codes, 64, 0, 2, 0, 1);
  const Cells cells = build_cells(kernels, codes, 64, 200, 0, 1);
  const Bounds bounds = build_bounds(kernels, cells, codes, 8, 1);
  const BoundedSearch bounded{kernels, cells, bounds, codes, {}};
  std::vector<double> jaccard(kQueries * 10);
  std::vector<int64_t> found(kQueries * 100), ids(kCodes);
  std::vector<uint16_t> all_pairs(kQueries * kCodes);
  std::iota(ids.begin(), ids.end(), int64_t{0});
  for (size_t n_threads : {1, 3}) {
    check_stops("k-NN",
                [&] { scan_k_nearest(kernels, codes, {}, queries, 100, n_threads, distances.data(), found.data()); });
    check_stops("radius", [&] { scan_within_radius(kernels, codes, {}, queries, 30, n_threads); });
    check_stops("distances", [&] { all_distances(kernels, queries, codes, n_threads, all_pairs.data()); });
    check_stops("tables", [&] { build_tables(kernels, codes, 64, true, n_threads); });
    check_stops("mih k-NN", [&] {
      mih_k_nearest(indexed, queries, 2, n_threads, distances.data(), found.data(), nullptr, kNoMaximum, nullptr);
    });
    check_stops("mih radius", [&] { mih_within_radius(indexed, queries, 5, n_threads); });
    check_stops("cells", [&] { build_cells(kernels, codes, 64, 200, 8, n_threads); });
    check_stops("bounds", [&] { build_bounds(kernels, cells, codes, 8, n_threads); });
    check_stops("k-NN by bounds", [&] {
      bounded_k_nearest(bounded, queries, 2, n_threads, distances.data(), found.data(), nullptr, nullptr);
    });
    check_stops("popcounts", [&] { sort_by_popcount(kernels, codes, 1, sorted.data(), starts.data(), rows.data()); });
    sort_by_popcount(kernels, codes, 1, sorted.data(), starts.data(), rows.data());
    check_stops("Jaccard", [&] {
      jaccard_k_nearest(kernels, order, order.codes, {}, queries, 10, 1, jaccard.data(), found.data());
    });
    check_stops("Jaccard radius", [&] { jaccard_within_radius(kernels, order, {}, queries, 0.5, n_threads); });
    check_stops("pairs", [&] { scan_pairs(kernels, {codes, 0, 5000, codes, true}, 3, n_threads, SIZE_MAX); });
    check_stops("join tables", [&] { make_join_tables(codes, 64, 0, 2, 0, n_threads); });
    check_stops("pairs by tables",
                [&] { bucket_pairs(kernels, {codes, 0, kCodes, codes, true}, join, 2, n_threads, SIZE_MAX); });
    check_stops("gather", [&] { gather_rows(codes, {all.data()}, 1, sorted.data(), rows.data()); });
    check_stops("unpack", [&] { unpack_rows(codes.data, kCodes, 64, 1, spread.data()); });
    check_stops("pack", [&] { pack_rows(kernels, spread.data(), kCodes, 64, 1, sorted.data()); });
    sort_by_popcount(kernels, codes, 1, sorted.data(), starts.data(), rows.data());
    check_stops("merge", [&] {
      const std::vector<int32_t> zeros(kCodes);
      std::vector<int32_t> merged(2 * kCodes);
      std::vector<int64_t> merged_ids(2 * kCodes);
      const NearestView<int32_t> part{zeros.data(), ids.data(), kCodes};
      merge_nearest({part, part}, 1, 2 * kCodes, 1, merged.data(), merged_ids.data());
    });
  }
  check_stops("find_ids", [&] { find_ids(ids.data(), kCodes, ids.data(), kCodes, rows.data()); });
  check_stops("narrow_bits", [&] {
    const std::vector<uint8_t> mask(kCodes, 1);
    narrow_bits(all.data(), mask.data(), kCodes, sorted.data());
  });
  check_stops("unite", [&] {
    std::vector<int64_t> parents = ids;
    unite(parents.data(), ids.data(), ids.data(), kCodes);
  });
  check_stops("flatten", [&] { flatten(std::vector<int64_t>(ids).data(), kCodes); });
}
