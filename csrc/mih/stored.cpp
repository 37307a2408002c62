#include "mih/stored.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kKeysPerTask = size_t{1} << 14;
constexpr double kMostNanoseconds = 1e18, kMostExpected = 1e12;

bool are_within(const std::vector<double>& values, double most) noexcept {
  return std::all_of(values.begin(), values.end(), [=](double value) { return value >= 0 && value <= most; });
}

bool are_plausible(const Costs& costs) noexcept {
  return are_within({costs.key, costs.bucket, costs.code, costs.scan, costs.trial, costs.open_trial}, kMostNanoseconds);
}

bool is_occupied(const Table& table, size_t key) noexcept {
  return table.occupied[key / 64] >> (key % 64) & 1;
}

// Checks that buckets [first, last) of table j hold the rows with their key, in ascending order, and their codes.
bool are_buckets(const Tables& tables, size_t j, CodesView codes, size_t first, size_t last) {
  const Table& table = tables.tables[j];
  const size_t n_words = tables.substrings.n_words();
  std::vector<uint64_t> words(n_words);
  for (size_t key = first; key < last; ++key) {
    const size_t begin = table.offsets[key], end = table.offsets[key + 1];
    if (begin > end || end > tables.n_codes || is_occupied(table, key) != (begin < end)) return false;
    for (size_t i = begin; i < end; ++i) {
      if (i % kRowsPerPoll == 0) poll_stop();
      const size_t row = table.rows[i];
      if (row >= codes.n_codes || (i > begin && row <= table.rows[i - 1])) return false;
      tables.substrings.rearrange(codes.row(row), words.data());
      if (tables.substrings[j].key_of(words.data()) != key) return false;
      if (!tables.compact && std::memcmp(words.data(), &table.words[i * n_words], n_words * sizeof(uint64_t)) != 0) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

bool are_plausible(const Tables& tables) noexcept {
  const Survey& survey = tables.survey;
  const auto n_bits = static_cast<int32_t>(8 * tables.n_bytes);
  bool fits = are_plausible(survey.alone) && are_plausible(survey.tiled) && are_within(tables.expected, kMostExpected);
  fits = fits && std::all_of(survey.neighbors.begin(), survey.neighbors.end(),
                             [=](int32_t distance) { return distance >= 0 && distance <= n_bits; });
  for (size_t j = 0; fits && j < tables.tables.size(); ++j) {
    const size_t n_keys = tables.substrings[j].n_keys();
    fits = are_within(tables.tables[j].expected, kMostExpected) &&
           (n_keys >= 64 || tables.tables[j].occupied[0] >> n_keys == 0);
  }
  return fits;
}

// There are as many entries as codes, and each bucket has ascending rows of one key: every code is in each table once.
void check_tables(const Tables& tables, CodesView codes, size_t n_threads) {
  for (size_t j = 0; j < tables.tables.size(); ++j) {
    const HugeArray<uint32_t>& offsets = tables.tables[j].offsets;
    const size_t n_keys = tables.substrings[j].n_keys();
    if (offsets[0] != 0 || offsets[n_keys] != tables.n_codes) throw_damaged(tables.checks, "its tables lack codes");
    parallel_for((n_keys + kKeysPerTask - 1) / kKeysPerTask, n_threads, [&](size_t task) {
      if (!are_buckets(tables, j, codes, task * kKeysPerTask, std::min((task + 1) * kKeysPerTask, n_keys))) {
        throw_damaged(tables.checks, "its tables are not those of its codes");
      }
    });
  }
}

}  // namespace hashkit
