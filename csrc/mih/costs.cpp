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

// Nanoseconds per code, and per word of it, in a tile that many queries pass over, and when one query passes over rows.
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

// A word that one query reads from memory, not from a cache.
constexpr double kMemoryWord = 0.25;

}  // namespace

double Costs::of_shell(size_t n_keys, double n_codes) const noexcept {
  const auto keys = static_cast<double>(n_keys);
  return keys * key + std::min(keys, n_codes) * bucket + n_codes * code;
}

Costs costs_of(Isa isa, const Tables& tables, bool tiled) {
  const ScanSpeed speed = scan_speed(isa);
  const auto n = static_cast<double>(tables.n_codes), words = static_cast<double>((tables.n_bytes + 7) / 8);
  // Rows that are looked up lie anywhere; beyond the caches a load takes longer.
  const bool beyond_cache = tables.memory() > (size_t{256} << 20);
  const double load = beyond_cache ? 18 : 9;
  const double count = isa == Isa::kPortable ? 4 : 0.8;
  const bool codes_beyond_cache = n * words * sizeof(uint64_t) > (size_t{24} << 20);
  const double alone_word = codes_beyond_cache ? std::max(speed.alone_word, kMemoryWord) : speed.alone_word;
  return {1.5, load, 1.2 + count * words + (tables.compact ? load : 0),
          n * (tiled ? speed.tiled + speed.tiled_word * words : alone_word * words)};
}

size_t n_keys_of_shell(size_t width, size_t shell) {
  return shell <= width ? kBinomials[width][shell] : 0;
}

double expected_next(const Table& table, size_t shell, double n_before) {
  if (shell == 0) return table.expected[0];
  // One code more or less on both sides says nothing yet.
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
  std::vector<size_t> shell(tables.tables.size());
  const auto next = [&](size_t j) {
    const size_t width = tables.substrings[j].width;
    if (shell[j] > width) return std::numeric_limits<double>::infinity();
    return costs.of_shell(n_keys_of_shell(width, shell[j]), tables.tables[j].expected[shell[j]]);
  };
  std::vector<double> cost;
  for (size_t j = 0; j < shell.size(); ++j) cost.push_back(next(j));
  double sum = 0;
  for (int step = 0; step <= radius && sum <= costs.scan; ++step) {
    const auto cheapest = static_cast<size_t>(std::min_element(cost.begin(), cost.end()) - cost.begin());
    sum += cost[cheapest];
    ++shell[cheapest];
    cost[cheapest] = next(cheapest);
  }
  return sum;
}

}  // namespace hashkit
