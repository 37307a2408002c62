#include "mih/search.hpp"

#include <algorithm>

#include "core/gather.hpp"
#include "core/scan_loops.hpp"
#include "core/top_k.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kQueriesPerGroup = 16;  // queries probed together, so that their cache misses overlap
// If probing pays for this share of the queries, a query may spend kOpenTrial of a scan more on finding k codes. If
// that is wasted for all other queries, it adds (1 - kMostByTables) * kOpenTrial, a sixteenth of a scan, to the mean.
constexpr double kMostByTables = 0.75, kOpenTrial = 0.25;
constexpr double kFoundCost = 50;            // nanoseconds of a scan for each code that it finds within a radius
constexpr size_t kQueriesPerProbeTask = 32;  // fewer are not worth a thread

class Nearest final : public Collector {
 public:
  // About n_within of all codes are as near as the k nearest allowed ones.
  Nearest(size_t k, int limit, bool is_given, const Survey& survey, size_t n_within)
      : top_k_(k, limit), is_given_(is_given), survey_(&survey), n_within_(n_within) {}

  int limit() const noexcept override { return top_k_.limit(); }
  bool bounded() const noexcept override { return is_given_ || top_k_.is_full(); }
  void push(int64_t row, int distance) override { top_k_.push(row, distance); }
  int expected_limit(int visited) const override {
    return top_k_.is_full() ? hashkit::expected_limit(*survey_, n_within_, visited, limit()) : limit();
  }
  std::vector<Neighbor> take() { return top_k_.take(); }

 private:
  TopK top_k_;
  bool is_given_;
  const Survey* survey_;
  size_t n_within_;
};

// Radix sort by digits of 11 bits, lowest first: several times as fast as sorting by comparison for hundreds of codes.
void sort_by_row(std::vector<Neighbor>& found) {
  constexpr int kDigit = 11;
  constexpr size_t kFew = 64;
  const auto by_row = [](const Neighbor& a, const Neighbor& b) { return a.row < b.row; };
  if (found.size() < kFew) return std::sort(found.begin(), found.end(), by_row);
  int64_t all_bits = 0;
  for (const Neighbor& each : found) all_bits |= each.row;
  std::vector<Neighbor> other(found.size());
  for (int shift = 0; all_bits >> shift != 0; shift += kDigit) {
    const auto digit = [=](const Neighbor& of) { return static_cast<size_t>(of.row >> shift) % (1 << kDigit); };
    std::vector<size_t> places((1 << kDigit) + 1);
    for (const Neighbor& each : found) ++places[digit(each) + 1];
    for (size_t d = 1; d < places.size(); ++d) places[d] += places[d - 1];
    for (const Neighbor& each : found) other[places[digit(each)]++] = each;
    found.swap(other);
  }
}

class Within final : public Collector {
 public:
  explicit Within(int radius) : radius_(radius) {}

  int limit() const noexcept override { return radius_; }
  bool bounded() const noexcept override { return true; }
  void push(int64_t row, int distance) override { found_.push_back({distance, row}); }
  // By row.
  std::vector<Neighbor> take() {
    sort_by_row(found_);
    return std::move(found_);
  }

 private:
  int radius_;
  std::vector<Neighbor> found_;
};

// Probes the tables for queries [begin, end_of_all), group by group. make(q) makes a query's collector;
// finish(q, collector, stats) is called when its probing has ended.
template <class CollectorType, class Make, class Finish>
void probe_range(const IndexedCodes& in, CodesView queries, size_t begin, size_t end_of_all, const Costs& costs,
                 size_t n_threads, int64_t max_candidates, const Make& make, const Finish& finish) {
  const size_t n_tasks = (end_of_all - begin + kQueriesPerProbeTask - 1) / kQueriesPerProbeTask;
  parallel_for(n_tasks, n_threads, [&](size_t task) {
    Probing probing(in.kernels, in.tables, in.codes, in.allowed, costs);
    const size_t end = std::min(begin + (task + 1) * kQueriesPerProbeTask, end_of_all);
    std::vector<CollectorType> collectors;
    std::vector<Probe> group;
    for (size_t first = begin + task * kQueriesPerProbeTask; first < end; first += kQueriesPerGroup) {
      const size_t last = std::min(first + kQueriesPerGroup, end);
      collectors.clear();
      group.clear();
      collectors.reserve(kQueriesPerGroup);
      group.reserve(kQueriesPerGroup);
      for (size_t q = first; q < last; ++q) {
        collectors.push_back(make(q));
        group.emplace_back(in.tables, queries.row(q), collectors.back(), max_candidates);
      }
      probing.run(group);
      for (size_t q = first; q < last; ++q) finish(q, collectors[q - first], group[q - first].stats);
    }
  });
}

// The same for all queries. The first group estimates how many queries will fall back to a scan. If they are so few
// that they are scanned one by one, the rest are probed with alone_costs, which allow more probing before the fallback.
template <class CollectorType, class Make, class Finish>
void probe_all(const IndexedCodes& in, CodesView queries, const Costs& costs, const Costs& alone_costs,
               size_t n_threads, int64_t max_candidates, const Make& make, const Finish& finish) {
  const size_t n_first = std::min(queries.n_codes, kQueriesPerGroup);
  size_t n_scanned = 0;
  const auto count = [&](size_t q, CollectorType& collector, const QueryStats& stats) {
    n_scanned += stats.scanned ? 1 : 0;
    finish(q, collector, stats);
  };
  probe_range<CollectorType>(in, queries, 0, n_first, costs, 1, max_candidates, make, count);
  const bool few = n_scanned * queries.n_codes < 3 * min_queries_for_tiles(in.kernels.isa, in.codes.n_bytes) * n_first;
  probe_range<CollectorType>(in, queries, n_first, queries.n_codes, few ? alone_costs : costs, n_threads,
                             max_candidates, make, finish);
}

void mark_scanned(QueryStats* stats, size_t n_queries) {
  if (stats == nullptr) return;
  for (size_t q = 0; q < n_queries; ++q) stats[q].scanned = true;
}

// Runs before all of them are read.
void require_codes(const IndexedCodes& in) {
  in.tables.require(in.codes.data, in.codes.n_codes * in.codes.n_bytes);
}

// Scans for the queries whose probing ended early, within the limits that probing reached.
void scan_fallback(const IndexedCodes& in, CodesView queries, size_t k, size_t n_threads, int32_t* distances,
                   int64_t* rows, const std::vector<int32_t>& limits, const std::vector<char>& needs_scan) {
  std::vector<size_t> numbers;
  for (size_t q = 0; q < queries.n_codes; ++q) {
    if (needs_scan[q]) numbers.push_back(q);
  }
  if (numbers.empty()) return;
  require_codes(in);
  scan_k_nearest_of(in.kernels, in.codes, in.allowed, queries, numbers, k, n_threads, distances, rows, limits.data());
}

}  // namespace

void mih_k_nearest(const IndexedCodes& in, CodesView queries, size_t k, size_t n_threads, int32_t* distances,
                   int64_t* rows, const int32_t* limits, int64_t max_candidates, QueryStats* stats) {
  if (k == 0 || queries.n_codes == 0) return;
  const int n_bits = static_cast<int>(8 * in.codes.n_bytes);
  const bool tiled = queries.n_codes >= min_queries_for_tiles(in.kernels.isa, in.codes.n_bytes);
  Costs alone_costs = costs_of(in.kernels.isa, in.tables, false), costs = costs_of(in.kernels.isa, in.tables, tiled);
  if (max_candidates != kNoMaximum) {  // results then depend on the costs, which must be the same in every run
    alone_costs = costs = estimate_costs(in.kernels.isa, in.tables, tiled);
    alone_costs.trial = costs.trial = alone_costs.open_trial = costs.open_trial = trial_of(costs.scan, true);
  }
  const double n_within = static_cast<double>(k * in.codes.n_codes) / static_cast<double>(in.n_allowed);
  const int limit =
      limits == nullptr ? n_bits : std::clamp(*std::max_element(limits, limits + queries.n_codes), 0, n_bits);
  const int goal = std::min(expected_distance(in.tables, n_within), limit);
  const Outlook outlook = outlook_of(in.tables, costs, static_cast<size_t>(n_within), limit);
  const bool scan_at_once = outlook.mean_cost > costs.scan || cost_of_radius(in.tables, costs, goal) > costs.scan;
  if (max_candidates == kNoMaximum && scan_at_once) {
    mark_scanned(stats, queries.n_codes);
    require_codes(in);
    return scan_k_nearest(in.kernels, in.codes, in.allowed, queries, k, n_threads, distances, rows, limits);
  }
  if (max_candidates == kNoMaximum && outlook.share >= kMostByTables) {
    alone_costs.open_trial += kOpenTrial * alone_costs.scan;
    costs.open_trial += kOpenTrial * costs.scan;
  }
  std::vector<int32_t> reached(queries.n_codes);
  std::vector<char> needs_scan(queries.n_codes);
  const auto make = [&](size_t q) {
    const int limit = limits == nullptr ? n_bits : std::clamp(limits[q], 0, n_bits);
    return Nearest(k, limit, limits != nullptr, in.tables.survey, static_cast<size_t>(n_within));
  };
  probe_all<Nearest>(in, queries, costs, alone_costs, n_threads, max_candidates, make,
                     [&](size_t q, Nearest& nearest, const QueryStats& of) {
                       if (stats != nullptr) stats[q] = of;
                       needs_scan[q] = of.scanned;
                       reached[q] = nearest.limit();
                       if (!of.scanned) write_nearest(nearest.take(), k, distances + q * k, rows + q * k);
                     });
  scan_fallback(in, queries, k, n_threads, distances, rows, reached, needs_scan);
}

WithinRadius mih_within_radius(const IndexedCodes& in, CodesView queries, int radius, size_t n_threads) {
  const bool tiled = queries.n_codes >= min_queries_for_tiles(in.kernels.isa, in.codes.n_bytes);
  const double found_cost = kFoundCost * expected_within(in.tables, radius);
  Costs alone_costs = costs_of(in.kernels.isa, in.tables, false);
  Costs costs = costs_of(in.kernels.isa, in.tables, tiled);
  alone_costs.scan += found_cost;
  costs.scan += found_cost;
  if (queries.n_codes == 0 || cost_of_radius(in.tables, costs, radius) > costs.scan) {
    require_codes(in);
    return scan_within_radius(in.kernels, in.codes, in.allowed, queries, radius, n_threads);
  }
  std::vector<std::vector<Neighbor>> found(queries.n_codes);
  std::vector<char> needs_scan(queries.n_codes);
  probe_all<Within>(
      in, queries, costs, alone_costs, n_threads, kNoMaximum, [=](size_t) { return Within(radius); },
      [&](size_t q, Within& within, const QueryStats& of) {
        needs_scan[q] = of.scanned;
        if (!of.scanned) found[q] = within.take();
      });
  std::vector<size_t> fallback;
  for (size_t q = 0; q < queries.n_codes; ++q) {
    if (needs_scan[q]) fallback.push_back(q);
  }
  if (!fallback.empty()) {
    require_codes(in);
    const GatheredCodes gathered(queries, fallback);
    const WithinRadius scanned =
        scan_within_radius(in.kernels, in.codes, in.allowed, gathered.view(), radius, n_threads);
    for (size_t i = 0; i < fallback.size(); ++i) {
      poll_stop();
      for (auto at = static_cast<size_t>(scanned.offsets[i]); at < static_cast<size_t>(scanned.offsets[i + 1]); ++at) {
        found[fallback[i]].push_back({scanned.distances[at], scanned.rows[at]});
      }
      sort_by_row(found[fallback[i]]);
    }
  }
  return join_lists(found, static_cast<int>(8 * in.codes.n_bytes));
}

}  // namespace hashkit
