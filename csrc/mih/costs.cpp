#include "mih/costs.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace hashkit {
namespace {

constexpr size_t kWidths = Substrings::kMaxWidth + 1;

using Binomials = std::array<std::array<size_t, kWidths>, kWidths>;

constexpr Binomials make_binomials() {
  Binomials table{};
  for (size_t n = 0; n < kWidths; ++n) {
    table[n][0] = 1;
    for (size_t k = 1; k <= n; ++k) table[n][k] = table[n - 1][k - 1] + (k < n ? table[n - 1][k] : 0);
  }
  return table;
}
constexpr Binomials kBinomials = make_binomials();

// Nanoseconds per code, and per word of it: in a tile scanned for many queries, and in rows scanned for one query.
struct ScanSpeed {
  double tiled, tiled_word, alone_word;
};

// Measured by benchmarks/bench_scan.py on Zen 4 (avx512) and Zen 3 (the others), neon estimated.
ScanSpeed scan_speed(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
    case Isa::kAvx512bw:
      return {0.02, 0.038, 0.1};
    case Isa::kAvx2:
      return {0.02, 0.07, 0.30};
    case Isa::kNeon:
      return {0.04, 0.15, 0.5};
    case Isa::kPopcnt:
      return {0.04, 0.25, 0.55};
    case Isa::kPortable:
      return {0.04, 0.25, 2.0};
  }
  return {0.04, 0.25, 2.0};
}

// At least one in kFewestAlike sampled codes must have the same counts as a query; the expected limit holds for the
// share kMostAlike of these codes.
constexpr size_t kFewestAlike = 16;
constexpr double kMostAlike = 0.8;

// A word that one query reads from memory, not from a cache.
constexpr double kMemoryWord = 0.25;

// The shells of all tables for a mean query, cheapest first.
class ShellsByCost {
 public:
  ShellsByCost(const Tables& tables, const Costs& costs)
      : tables_(tables), costs_(costs), shell_(tables.tables.size()), cost_(tables.tables.size()) {
    for (size_t j = 0; j < shell_.size(); ++j) cost_[j] = cost(j);
  }
  double next() {
    const auto cheapest = static_cast<size_t>(std::min_element(cost_.begin(), cost_.end()) - cost_.begin());
    const double least = cost_[cheapest];
    ++shell_[cheapest];
    cost_[cheapest] = cost(cheapest);
    return least;
  }

 private:
  double cost(size_t j) const {
    const size_t width = tables_.substrings[j].width;
    if (shell_[j] > width) return std::numeric_limits<double>::infinity();
    return costs_.of_shell(n_keys_of_shell(width, shell_[j]), tables_.tables[j].expected[shell_[j]]);
  }

  const Tables& tables_;
  const Costs& costs_;
  std::vector<size_t> shell_;
  std::vector<double> cost_;
};

}  // namespace

double Costs::of_shell(size_t n_keys, double n_codes) const noexcept {
  const auto keys = static_cast<double>(n_keys);
  return keys * key + std::min(keys, n_codes) * bucket + n_codes * code;
}

double trial_of(double scan, bool tiled) noexcept {
  return tiled ? 0.11 * scan + 15'000 : std::max(0.065 * scan, 5'000.0);
}

Costs estimate_costs(Isa isa, const Tables& tables, bool tiled) {
  const ScanSpeed speed = scan_speed(isa);
  const auto n = static_cast<double>(tables.n_codes), words = static_cast<double>((tables.n_bytes + 7) / 8);
  // Rows are loaded at random; a load that misses the caches takes longer.
  const bool beyond_cache = tables.memory() > (size_t{256} << 20);
  const double load = beyond_cache ? 18 : 9;
  const double count = isa == Isa::kPortable ? 4 : 0.8;
  const bool codes_beyond_cache = n * words * sizeof(uint64_t) > (size_t{24} << 20);
  const double alone_word = codes_beyond_cache ? std::max(speed.alone_word, kMemoryWord) : speed.alone_word;
  const double scan = n * (tiled ? speed.tiled + speed.tiled_word * words : alone_word * words);
  return {
      1.5, load, 1.2 + count * words + (tables.compact ? load : 0), scan, trial_of(scan, tiled), trial_of(scan, tiled)};
}

Costs costs_of(Isa isa, const Tables& tables, bool tiled) {
  if (isa != tables.survey.isa || tables.survey.alone.scan == 0) return estimate_costs(isa, tables, tiled);
  return tiled ? tables.survey.tiled : tables.survey.alone;
}

size_t n_keys_of_shell(size_t width, size_t shell) {
  return shell <= width ? kBinomials[width][shell] : 0;
}

double expected_next(const Table& table, size_t shell, double n_before) {
  if (shell == 0) return table.expected[0];
  // One code more or less on both sides is no evidence.
  return (n_before + 1) / (table.expected[shell - 1] + 1) * table.expected[shell];
}

double expected_within(const Tables& tables, int distance) {
  double n = 0;
  for (size_t d = 0; d < tables.expected.size() && d <= static_cast<size_t>(distance); ++d) n += tables.expected[d];
  return n;
}

int expected_distance(const Tables& tables, double n_codes) {
  double n = 0;
  for (size_t d = 0; d < tables.expected.size(); ++d) {
    n += tables.expected[d];
    if (n >= n_codes) return static_cast<int>(d);
  }
  return static_cast<int>(tables.expected.size()) - 1;
}

double cost_of_radius(const Tables& tables, const Costs& costs, int radius) {
  ShellsByCost shells(tables, costs);
  double sum = 0;
  for (int step = 0; step <= radius && sum <= costs.scan; ++step) sum += shells.next();
  return sum;
}

std::vector<double> costs_by_radius(const Tables& tables, const Costs& costs, double most) {
  ShellsByCost shells(tables, costs);
  std::vector<double> sums;
  for (double sum = shells.next(); sum < most; sum += shells.next()) sums.push_back(sum);
  return sums;
}

namespace {

// The distance of the k-th neighbor of a sampled code; if fewer were found, that of the last, a lower bound.
size_t neighbor_distance(const Survey& survey, size_t query, size_t k) {
  const size_t number = std::min(std::max<size_t>(k, 1), survey.n_neighbors) - 1;
  return static_cast<size_t>(survey.neighbors[query * survey.n_neighbors + number]);
}

}  // namespace

int expected_limit(const Survey& survey, size_t k, int visited, int limit) {
  if (survey.n_neighbors < k) return limit;
  const size_t n = survey.neighbors.size() / survey.n_neighbors;
  std::vector<int> alike;
  for (size_t q = 0; q < n; ++q) {
    const auto distance = static_cast<int>(neighbor_distance(survey, q, k));
    if (distance > visited && distance <= limit) alike.push_back(distance);
  }
  if (alike.size() * kFewestAlike < n) return limit;
  const auto most = alike.begin() + static_cast<std::ptrdiff_t>(kMostAlike * static_cast<double>(alike.size() - 1));
  std::nth_element(alike.begin(), most, alike.end());
  return *most;
}

Outlook outlook_of(const Tables& tables, const Costs& costs, size_t k, int limit) {
  const Survey& survey = tables.survey;
  if (survey.n_neighbors == 0) return {1, 0};
  const std::vector<double> by_radius = costs_by_radius(tables, costs, costs.scan);
  const size_t n = survey.neighbors.size() / survey.n_neighbors;
  size_t n_by_tables = 0;
  double sum = 0;
  for (size_t q = 0; q < n; ++q) {
    const size_t distance = std::min(neighbor_distance(survey, q, k), static_cast<size_t>(limit));
    n_by_tables += distance < by_radius.size() ? 1 : 0;
    sum += distance < by_radius.size() ? by_radius[distance] : costs.most();
  }
  return {static_cast<double>(n_by_tables) / static_cast<double>(n), sum / static_cast<double>(n)};
}

}  // namespace hashkit
