#include "mih/survey.hpp"

#include <algorithm>
#include <utility>

#include "core/gather.hpp"
#include "mih/costs.hpp"
#include "mih/probing.hpp"
#include "scan/linear_scan.hpp"

namespace hashkit {
namespace {

constexpr size_t kSurveyQueries = 64;          // queries whose neighbors are found
constexpr size_t kProbedAlone = 16;            // queries that are timed one by one,
constexpr size_t kProbedTogether = 16;         // and in a group, so that their cache misses overlap
constexpr size_t kScans = 5;                   // of which the fastest counts
constexpr size_t kRowsScannedAlone = 1 << 20;  // more take longer in proportion
constexpr size_t kRowsScannedTiled = 1 << 16;  // the same: tiles are in the L1 cache
constexpr size_t kNeighborsTimed = 10;
// The timed queries probe until the estimated cost reaches these shares of a scan.
constexpr double kShortShare = 0.1, kLongShare = 0.5;
// Measurements are used only within these multiples of the estimates.
constexpr double kLeastFactor = 0.5, kMostFactor = 16;

// Never full, so that a query continues until it has spent its allowance.
class TimedCollector final : public Collector {
 public:
  explicit TimedCollector(int limit) : limit_(limit) {}
  int limit() const noexcept override { return limit_; }
  bool bounded() const noexcept override { return true; }
  void push(int64_t, int) override {}

 private:
  int limit_;
};

template <class Work>
double nanoseconds(const Work& work) {
  const int64_t start = thread_nanoseconds();
  work();
  return static_cast<double>(thread_nanoseconds() - start);
}

CodesView first_rows(CodesView codes, size_t n_rows) {
  return {codes.data, std::min(codes.n_codes, n_rows), codes.n_bytes};
}

class Surveyor {
 public:
  Surveyor(const KernelTable& kernels, const Tables& tables, CodesView codes)
      : kernels_(kernels), tables_(tables), codes_(codes), queries_(codes, sampled_rows(codes)) {}

  size_t n_queries() const noexcept { return queries_.view().n_codes; }

  // Probes up to a radius for some groups of queries, and returns the median ratio of a group's time to its estimate; a
  // few interruptions by other processes do not change a median. Probing up to the radius is estimated to cost `share`
  // of a scan.
  double probe(size_t n_groups, size_t n_queries, const Costs& costs, double share) const {
    const size_t n_radii = costs_by_radius(tables_, costs, share * costs.scan).size();
    const int radius = static_cast<int>(std::max(n_radii, tables_.tables.size())) - 1;
    std::vector<double> ratios;
    for (size_t first = 0; first < n_groups * n_queries; first += n_queries) {
      Probing probing(kernels_, tables_, codes_, {}, costs);
      std::vector<TimedCollector> collectors(n_queries, TimedCollector(radius));
      std::vector<Probe> group;
      group.reserve(n_queries);
      for (size_t q = 0; q < n_queries; ++q) {
        group.emplace_back(tables_, queries_.view().row((first + q) % this->n_queries()), collectors[q], INT64_MAX);
      }
      const double time = nanoseconds([&] { probing.run(group); });
      double estimate = 1;
      for (const Probe& probe : group) estimate += probe.spent();
      ratios.push_back(time / estimate);
    }
    const auto middle = ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2);
    std::nth_element(ratios.begin(), middle, ratios.end());
    return std::clamp(*middle, kLeastFactor, kMostFactor);
  }

  // The time per query of a scan of all codes for the first n_queries.
  double scan(size_t first, size_t n_queries, size_t n_rows) const {
    const CodesView rows = first_rows(codes_, n_rows);
    const CodesView queries{queries_.view().row(first), n_queries, codes_.n_bytes};
    const size_t k = std::min(kNeighborsTimed, rows.n_codes);
    std::vector<int32_t> distances(n_queries * k);
    std::vector<int64_t> found(n_queries * k);
    const double time =
        nanoseconds([&] { scan_k_nearest(kernels_, rows, {}, queries, k, 1, distances.data(), found.data()); });
    return time / static_cast<double>(n_queries) * static_cast<double>(codes_.n_codes) /
           static_cast<double>(rows.n_codes);
  }

  // The distances of each query's nearest other codes, by query and rank.
  std::vector<int32_t> neighbors(size_t n_neighbors, size_t n_threads) const {
    const size_t k = n_neighbors + 1;  // and the query itself, at distance 0
    std::vector<int32_t> distances(n_queries() * k), result;
    std::vector<int64_t> rows(n_queries() * k);
    scan_k_nearest(kernels_, codes_, {}, queries_.view(), k, n_threads, distances.data(), rows.data());
    for (size_t q = 0; q < n_queries(); ++q) {
      const auto own = distances.begin() + static_cast<std::ptrdiff_t>(q * k);
      result.insert(result.end(), own + 1, own + static_cast<std::ptrdiff_t>(k));
    }
    return result;
  }

 private:
  static std::vector<size_t> sampled_rows(CodesView codes) {
    const size_t n = std::min(codes.n_codes, kSurveyQueries);
    std::vector<size_t> rows;
    for (size_t q = 0; q < n; ++q) rows.push_back((codes.n_codes * q + codes.n_codes / 2) / n);
    return rows;
  }

  const KernelTable& kernels_;
  const Tables& tables_;
  CodesView codes_;
  GatheredCodes queries_;
};

// The first steps are timed right after scans, which evict the tables from the caches: these steps are what a query
// wastes if it falls back to a scan. Later steps are timed with warm caches, because a search that continues after its
// trial is usually one of many that stay in the tables.
Costs measure(const Surveyor& surveyor, const Costs& estimate, bool tiled) {
  double scan = estimate.scan * kMostFactor;
  for (size_t i = 0; i < kScans; ++i) {
    scan = std::min(scan, tiled ? surveyor.scan(0, surveyor.n_queries(), kRowsScannedTiled)
                                : surveyor.scan(i % surveyor.n_queries(), 1, kRowsScannedAlone));
  }
  scan = std::max(scan, estimate.scan * kLeastFactor);
  const size_t n_groups = tiled ? 1 : kProbedAlone, n_queries = tiled ? kProbedTogether : 1;
  const double first_steps = surveyor.probe(n_groups, n_queries, estimate, kShortShare);
  double later_steps = kMostFactor;
  for (int pass = 0; pass < 2; ++pass) {
    later_steps = std::min(later_steps, surveyor.probe(n_groups, n_queries, estimate, kLongShare));
  }
  const double trial = trial_of(scan, tiled) * std::min(1.0, later_steps / first_steps);
  return {estimate.key * later_steps, estimate.bucket * later_steps, estimate.code * later_steps, scan, trial, trial};
}

}  // namespace

Survey survey_tables(const KernelTable& kernels, const Tables& tables, CodesView codes, size_t n_threads) {
  const Surveyor surveyor(kernels, tables, codes);
  Survey survey;
  survey.n_neighbors = std::min(kSurveyNeighbors, codes.n_codes - 1);
  survey.neighbors = surveyor.neighbors(survey.n_neighbors, n_threads);
  survey.isa = kernels.isa;
  survey.alone = measure(surveyor, estimate_costs(kernels.isa, tables, false), false);
  survey.tiled = measure(surveyor, estimate_costs(kernels.isa, tables, true), true);
  return survey;
}

}  // namespace hashkit
