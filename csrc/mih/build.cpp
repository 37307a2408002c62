#include <algorithm>
#include <cstring>
#include <utility>

#include "mih/survey.hpp"
#include "mih/tables.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kPartitionBits = 9;  // streams written at once: their lines and pages must stay in cache
constexpr size_t kRowsPerBlock = 1u << 16;
constexpr size_t kRearrangedPerPoll = 1u << 10;  // codes; one of 4,096 bits takes up to 10 us
constexpr size_t kPrefetchedEntries = 16;        // rows, when codes are fetched by row
constexpr size_t kSampleQueries = 256, kSampleCodes = 4096;

struct Entry {
  uint32_t key;
  uint32_t row;
};

// Calls task(block, first, last) for blocks of the rows.
template <class Task>
void for_blocks(size_t n_rows, size_t n_threads, const Task& task) {
  parallel_for((n_rows + kRowsPerBlock - 1) / kRowsPerBlock, n_threads, [&](size_t block) {
    task(block, block * kRowsPerBlock, std::min((block + 1) * kRowsPerBlock, n_rows));
  });
}

HugeArray<uint64_t> rearrange_all(const Substrings& substrings, CodesView codes, size_t n_threads) {
  HugeArray<uint64_t> words(codes.n_codes * substrings.n_words());
  for_blocks(codes.n_codes, n_threads, [&](size_t, size_t first, size_t last) {
    for (size_t row = first; row < last; ++row) {
      if (row % kRearrangedPerPoll == 0) poll_stop();
      substrings.rearrange(codes.row(row), &words[row * substrings.n_words()]);
    }
  });
  return words;
}

// Partitions entries by the upper bits of their key, with ascending rows in each part; part p begins at begins[p].
struct Partition {
  HugeArray<Entry> entries;
  std::vector<size_t> begins;
};

Partition partition(const Substring& field, const HugeArray<uint64_t>& words, size_t n_words, size_t n_threads) {
  const size_t n_rows = words.size() / n_words, n_blocks = (n_rows + kRowsPerBlock - 1) / kRowsPerBlock;
  const uint32_t shift = field.width - std::min<uint32_t>(field.width, kPartitionBits);
  const size_t n_parts = field.n_keys() >> shift;
  std::vector<size_t> places(n_blocks * n_parts);  // by block and part: counts, then starts
  for_blocks(n_rows, n_threads, [&](size_t block, size_t first, size_t last) {
    size_t* counts = places.data() + block * n_parts;
    for (size_t row = first; row < last; ++row) ++counts[field.key_of(&words[row * n_words]) >> shift];
  });
  Partition result{HugeArray<Entry>(n_rows), std::vector<size_t>(n_parts + 1)};
  size_t n = 0;
  for (size_t p = 0; p < n_parts; ++p) {
    for (size_t block = 0; block < n_blocks; ++block) {
      const size_t count = places[block * n_parts + p];
      places[block * n_parts + p] = n;
      n += count;
    }
    result.begins[p + 1] = n;
  }
  for_blocks(n_rows, n_threads, [&](size_t block, size_t first, size_t last) {
    size_t* next = places.data() + block * n_parts;
    for (size_t row = first; row < last; ++row) {
      const uint32_t key = field.key_of(&words[row * n_words]);
      result.entries[next[key >> shift]++] = {key, static_cast<uint32_t>(row)};
    }
  });
  return result;
}

// Puts the entries [begin, end), all those whose keys are [first_key, first_key + n_keys), into their buckets.
void fill_buckets(Table& table, const Entry* entries, size_t begin, size_t end, size_t first_key, size_t n_keys,
                  const HugeArray<uint64_t>& words, size_t n_words) {
  uint32_t* offsets = table.offsets.data() + first_key;  // while filling: the position of each bucket's next entry
  std::memset(offsets, 0, n_keys * sizeof *offsets);
  for (size_t i = begin; i < end; ++i) ++offsets[entries[i].key - first_key];
  auto n = static_cast<uint32_t>(begin);
  for (size_t key = 0; key < n_keys; ++key) n += std::exchange(offsets[key], n);
  for (size_t i = begin; i < end; ++i) {
    if ((i - begin + 1) % kRowsPerPoll == 0) poll_stop();
    const uint32_t at = offsets[entries[i].key - first_key]++;
    table.rows[at] = entries[i].row;
    if (table.words.size() == 0) continue;
    __builtin_prefetch(&words[entries[std::min(i + kPrefetchedEntries, end - 1)].row * n_words]);
    std::memcpy(&table.words[at * n_words], &words[entries[i].row * n_words], n_words * sizeof(uint64_t));
  }
  std::memmove(offsets + 1, offsets, (n_keys - 1) * sizeof *offsets);  // where a bucket ends the next one begins
  offsets[0] = static_cast<uint32_t>(begin);
}

void mark_occupied(Table& table, size_t n_keys) {
  for (size_t word = 0; word < table.occupied.size(); ++word) {
    if (word % kRowsPerPoll == kRowsPerPoll - 1) poll_stop();
    uint64_t bits = 0;
    const size_t n = std::min<size_t>(64, n_keys - 64 * word);
    for (size_t bit = 0; bit < n; ++bit) {
      const size_t key = 64 * word + bit;
      bits |= uint64_t{table.offsets[key] != table.offsets[key + 1]} << bit;
    }
    table.occupied[word] = bits;
  }
}

Table build_table(const Substring& field, const HugeArray<uint64_t>& words, size_t n_words, bool compact,
                  size_t n_threads) {
  const size_t n_rows = words.size() / n_words, n_keys = field.n_keys();
  const Partition parts = partition(field, words, n_words, n_threads);
  Table table{HugeArray<uint32_t>(n_keys + 1),
              HugeArray<uint64_t>((n_keys + 63) / 64),
              HugeArray<uint32_t>(n_rows),
              HugeArray<uint64_t>(compact ? 0 : words.size()),
              {}};
  const size_t n_parts = parts.begins.size() - 1, keys_per_part = n_keys / n_parts;
  parallel_for(n_parts, n_threads, [&](size_t p) {
    fill_buckets(table, parts.entries.data(), parts.begins[p], parts.begins[p + 1], p * keys_per_part, keys_per_part,
                 words, n_words);
  });
  table.offsets[n_keys] = static_cast<uint32_t>(n_rows);
  mark_occupied(table, n_keys);
  return table;
}

// Estimates, from pairs of different codes of a sample, how many codes are at each distance from a code of the same
// distribution, for the whole code and for each substring.
void expect_distances(Tables& tables, const HugeArray<uint64_t>& words, size_t n_bits) {
  const size_t n_words = tables.substrings.n_words(), n = tables.n_codes;
  const size_t n_queries = std::min(n, kSampleQueries), n_codes = std::min(n, kSampleCodes);
  std::vector<std::vector<uint64_t>> counts;
  for (const Substring& field : tables.substrings.fields()) counts.emplace_back(field.width + 1);
  std::vector<uint64_t> whole(n_bits + 1);
  std::vector<uint64_t> differ(n_words);
  uint64_t n_pairs = 0;
  for (size_t q = 0; q < n_queries; ++q) {
    poll_stop();
    // Queries are codes between those of the sample, if there are any.
    const size_t query = (n * q + n / 2) / n_queries;
    for (size_t c = q % 4; c < n_codes; c += 4) {
      const size_t code = n * c / n_codes;
      if (code == query) continue;
      size_t distance = 0;
      for (size_t w = 0; w < n_words; ++w) {
        differ[w] = words[query * n_words + w] ^ words[code * n_words + w];
      }
      for (size_t j = 0; j < tables.tables.size(); ++j) {
        const auto d = static_cast<size_t>(__builtin_popcount(tables.substrings[j].key_of(differ.data())));
        ++counts[j][d];
        distance += d;
      }
      ++whole[distance];
      ++n_pairs;
    }
  }
  const double scale = static_cast<double>(n) / static_cast<double>(std::max<uint64_t>(n_pairs, 1));
  const auto scaled = [=](const std::vector<uint64_t>& of) {
    std::vector<double> means;
    for (uint64_t count : of) means.push_back(static_cast<double>(count) * scale);
    return means;
  };
  for (size_t j = 0; j < tables.tables.size(); ++j) tables.tables[j].expected = scaled(counts[j]);
  tables.expected = scaled(whole);
}

}  // namespace

size_t Tables::memory() const noexcept {
  size_t n = 0;
  for (const Table& table : tables) {
    n += table.offsets.n_bytes() + table.occupied.n_bytes() + table.rows.n_bytes() + table.words.n_bytes();
  }
  return n;
}

Tables build_tables(const KernelTable& kernels, CodesView codes, size_t n_bits, bool compact, size_t n_threads) {
  Tables tables{codes.n_codes, codes.n_bytes, Substrings(codes, n_bits), {}, compact, {}, {}};
  const HugeArray<uint64_t> words = rearrange_all(tables.substrings, codes, n_threads);
  for (const Substring& field : tables.substrings.fields()) {
    tables.tables.push_back(build_table(field, words, tables.substrings.n_words(), compact, n_threads));
  }
  expect_distances(tables, words, n_bits);
  tables.survey = survey_tables(kernels, tables, codes, n_threads);
  return tables;
}

}  // namespace hashkit
