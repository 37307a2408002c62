#include "mih/probing.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "parallel/stop.hpp"

namespace hashkit {
namespace {

constexpr size_t kKeysPerRound = 64;   // enough that their loads overlap; a query plans no further ahead
constexpr double kCodesPerRound = 64;  // codes found in them may make further keys unnecessary
constexpr size_t kFirstCompare = 64;
constexpr size_t kCodesPerCompare = 2048;  // codes that are compared before the limit is read again
constexpr size_t kPrefetchedKeys = 16;     // keys whose loads are prefetched
constexpr size_t kPrefetchedLines = 3;     // of a bucket: the processor prefetches the rest

using Counts = std::array<uint8_t, 2048>;

constexpr Counts make_counts() {
  Counts counts{};
  for (size_t i = 1; i < counts.size(); ++i) counts[i] = static_cast<uint8_t>(counts[i / 2] + i % 2);
  return counts;
}
constexpr Counts kCounts = make_counts();

// Counts set bits, of 22, fast on machines without an instruction for it.
int count_bits(uint32_t key) noexcept {
  return kCounts[key & 2047] + kCounts[key >> 11];
}

using Nearby = std::array<std::array<uint64_t, 7>, 64>;

// For each six-bit number and distance: a bit for each number at that distance.
constexpr Nearby make_nearby() {
  Nearby nearby{};
  for (size_t center = 0; center < 64; ++center) {
    for (size_t other = 0; other < 64; ++other) nearby[center][kCounts[center ^ other]] |= uint64_t{1} << other;
  }
  return nearby;
}
constexpr Nearby kAtDistance = make_nearby();

template <class States>
size_t cheapest(const States& states) noexcept {
  size_t best = 0;
  for (size_t j = 1; j < states.size(); ++j) {
    if (states[j].next_cost < states[best].next_cost) best = j;
  }
  return best;
}

}  // namespace

Probe::Probe(const Tables& tables, const uint8_t* query, Collector& collector, int64_t max_candidates)
    : query_(query),
      collector_(collector),
      max_candidates_(max_candidates),
      words_(tables.substrings.n_words()),
      states_(tables.tables.size()) {
  tables.substrings.rearrange(query, words_.data());
}

Probing::Probing(const KernelTable& kernels, const Tables& tables, CodesView codes, RowSet allowed, const Costs& costs)
    : kernels_(kernels),
      tables_(tables),
      codes_(codes),
      allowed_(allowed),
      costs_(costs),
      hits_(room_for_hits(kCodesPerCompare)),
      words_(tables.substrings.n_words()) {
  for (const Table& table : tables.tables) tables.require(table.occupied.data(), table.occupied.size());
}

// The size of the first shell of each table, which is a single bucket. Sizes differ widely if codes are crowded, so the
// smallest are looked up first. Only as many tables are read as a query may need.
void Probing::begin(std::vector<Probe>& group) {
  const auto n_needed_tables = [&](const Probe& probe) {
    return std::min(tables_.tables.size(), static_cast<size_t>(probe.collector_.limit() + 1));
  };
  const auto bucket = [&](const Probe& probe, size_t j) {
    return &tables_.tables[j].offsets[tables_.substrings[j].key_of(probe.words_.data())];
  };
  for (const Probe& probe : group) {
    for (size_t j = 0; j < n_needed_tables(probe); ++j) __builtin_prefetch(bucket(probe, j));
  }
  for (Probe& probe : group) {
    for (size_t j = 0; j < tables_.tables.size(); ++j) {
      const uint32_t* ends = bucket(probe, j);
      tables_.require(ends, 2);
      const double n_codes = j < n_needed_tables(probe) ? ends[1] - ends[0] : tables_.tables[j].expected[0];
      probe.states_[j] = {0, n_codes, costs_.of_shell(1, n_codes)};
    }
  }
}

// The expected size of a table's next shell, given the number of codes in the last.
void Probing::expect_next(Probe::TableState& state, size_t table, double n_found) const {
  const size_t width = tables_.substrings[table].width;
  state.n_next = state.n_shells > width ? 0 : expected_next(tables_.tables[table], state.n_shells, n_found);
  state.next_cost = state.n_shells > width ? std::numeric_limits<double>::infinity()
                                           : costs_.of_shell(n_keys_of_shell(width, state.n_shells), state.n_next);
}

// The total allowance of the query. Once its limit is known, the remaining work can be estimated: the query continues
// if that costs no more than a scan now.
double Probing::allowance(const Probe& probe) const {
  if (!probe.collector_.bounded()) return costs_.open_trial;
  std::vector<Probe::TableState> states = probe.states_;
  double sum = probe.spent_;
  const int last = probe.collector_.expected_limit(probe.visited_radius());
  for (int step = probe.visited_radius(); step < last; ++step) {
    const size_t j = cheapest(states);
    sum += states[j].next_cost;
    if (sum > costs_.most()) return costs_.trial;
    ++states[j].n_shells;
    expect_next(states[j], j, states[j].n_next);
  }
  return costs_.most();
}

void Probing::run(std::vector<Probe>& group) {
  begin(group);
  for (;;) {
    steps_.clear();
    shells_.clear();
    n_keys_ = 0;
    for (Probe& probe : group) {
      if (!probe.is_done()) plan(probe);
    }
    if (steps_.empty()) break;
    poll_stop();
    // Separate loops, so that data prefetched by one has arrived in the next.
    size_t n_affordable = 0;
    for (const Step& step : steps_) {
      if (find_runs(step)) steps_[n_affordable++] = step;
    }
    steps_.resize(n_affordable);
    for (const Step& step : steps_) look_up(step);
  }
  for (Probe& probe : group) {
    probe.stats.radius = probe.visited_radius();
    probe.stats.exact = probe.stats.scanned || probe.collector_.limit() <= probe.visited_radius();
  }
}

// The next steps of a query. At first one for each table: fewer seldom suffice.
void Probing::plan(Probe& probe) {
  const int n_needed = probe.collector_.limit() - probe.visited_radius();
  const int n_first = std::min(static_cast<int>(probe.states_.size()), n_needed);
  const int n_wanted = probe.n_steps_ == 0 ? n_first : probe.collector_.bounded() ? n_needed : 1;
  double allowance = costs_.trial, planned = probe.spent_;
  size_t n_keys = 0;
  double n_codes = 0;
  for (int n = 0; n < n_wanted && n_keys < kKeysPerRound && n_codes < kCodesPerRound; ++n) {
    const size_t table = cheapest(probe.states_);
    n_codes += probe.states_[table].n_next;
    planned += probe.states_[table].next_cost;
    if (planned > allowance && n == 0) allowance = this->allowance(probe);
    if (planned > allowance) {
      probe.stats.scanned = probe.finished_ = n == 0;
      return;
    }
    n_keys += n_keys_of_shell(tables_.substrings[table].width, probe.states_[table].n_shells);
    add_step(probe, table, allowance);
  }
}

void Probing::add_step(Probe& probe, size_t table, double allowance) {
  Probe::TableState& state = probe.states_[table];
  const size_t first_key = n_keys_, shells_before = shells_.size();
  for (const Probe::TableState& each : probe.states_) shells_.push_back(static_cast<uint8_t>(each.n_shells));
  n_keys_ += find_keys(probe, table, state.n_shells);
  steps_.push_back({&probe, table, state.n_shells, allowance, first_key, n_keys_ - first_key, shells_before});
  const size_t width = tables_.substrings[table].width, n_needed_tables = n_keys_of_shell(width, state.n_shells);
  probe.stats.probes += static_cast<int64_t>(n_needed_tables);
  probe.spent_ += costs_.of_shell(n_needed_tables, 0);
  ++state.n_shells;
  expect_next(state, table, state.n_next);
  ++probe.n_steps_;
}

// Appends the keys of a shell that have a bucket to keys_. A word of `occupied` has the bits of 64 keys that differ
// only in their last six bits. A mask selects those of the 64 at the remaining distance at once. This needs a third of
// the loads and of the time of looking up every key.
size_t Probing::find_keys(const Probe& probe, size_t table, size_t shell) {
  const Substring& field = tables_.substrings[table];
  const Table& buckets = tables_.tables[table];
  const size_t room = n_keys_ + n_keys_of_shell(field.width, shell);
  if (keys_.size() < room) {
    keys_.resize(2 * room);
    runs_.resize(2 * room);
  }
  uint32_t* keys = keys_.data() + n_keys_;
  const uint32_t center = field.key_of(probe.words_.data()), high = center / 64;
  const size_t high_width = field.width > 6 ? field.width - 6 : 0;
  size_t n = 0;
  for (size_t ones = shell > 6 ? shell - 6 : 0; ones <= std::min(shell, high_width); ++ones) {
    const uint64_t near = kAtDistance[center % 64][shell - ones];
    // All numbers of `high_width` bits with so many ones, ascending (Gosper).
    for (uint64_t mask = (uint64_t{1} << ones) - 1; mask >> high_width == 0;) {
      const uint32_t word = high ^ static_cast<uint32_t>(mask);
      for (uint64_t found = buckets.occupied[word] & near; found != 0; found &= found - 1) {
        keys[n++] = 64 * word + static_cast<uint32_t>(__builtin_ctzll(found));
      }
      if (mask == 0) break;
      const uint64_t lowest = mask & -mask, next = mask + lowest;
      mask = ((next ^ mask) >> 2 >> __builtin_ctzll(lowest)) | next;
    }
  }
  for (size_t i = 0; i < std::min(n, 4 * kPrefetchedKeys); ++i) __builtin_prefetch(&buckets.offsets[keys[i]]);
  return n;
}

// Finds the buckets of a step. Returns false if comparing their codes would cost more than the query may spend: it then
// falls back to a scan.
bool Probing::find_runs(const Step& step) {
  Probe& probe = *step.probe;
  if (probe.stats.scanned) return false;
  const Table& table = tables_.tables[step.table];
  const uint32_t* keys = keys_.data() + step.first_key;
  CodeRun* runs = runs_.data() + step.first_key;
  const size_t n_words = tables_.substrings.n_words();
  size_t n_codes = 0;
  for (size_t i = 0; i < step.n_keys; ++i) {
    if (i + 4 * kPrefetchedKeys < step.n_keys) __builtin_prefetch(&table.offsets[keys[i + 4 * kPrefetchedKeys]]);
    tables_.require(&table.offsets[keys[i]], 2);
    runs[i] = {table.offsets[keys[i]], table.offsets[keys[i] + 1]};
    if (runs[i].begin > runs[i].end || runs[i].end > tables_.n_codes) {
      throw_damaged(tables_.checks, "a bucket of its tables lies outside them");
    }
    n_codes += runs[i].end - runs[i].begin;
    if (i >= kPrefetchedKeys) continue;
    if (tables_.compact) {
      __builtin_prefetch(&table.rows[runs[i].begin]);
    } else {
      const uint64_t* words = &table.words[runs[i].begin * n_words];
      for (size_t line = 0; line < kPrefetchedLines; ++line) __builtin_prefetch(words + 8 * line);
    }
  }
  probe.spent_ += static_cast<double>(step.n_keys) * costs_.bucket + static_cast<double>(n_codes) * costs_.code;
  Probe::TableState& state = probe.states_[step.table];
  if (state.n_shells == step.shell + 1) {  // the estimate is replaced by the count
    expect_next(state, step.table, static_cast<double>(n_codes));
  }
  if (probe.spent_ > step.allowance && n_codes > kCodesPerCompare && probe.spent_ > allowance(probe)) {
    probe.stats.scanned = probe.finished_ = true;
    return false;
  }
  probe.stats.candidates += static_cast<int64_t>(n_codes);
  return true;
}

void Probing::look_up(const Step& step) {
  Probe& probe = *step.probe;
  if (probe.stats.scanned) return;
  CodeRun* runs = runs_.data() + step.first_key;
  // Without a limit everything passes: the first codes give a limit, and more codes a better one.
  size_t most = probe.collector_.bounded() ? kCodesPerCompare : kFirstCompare;
  size_t first = 0, n_codes = 0;
  for (size_t i = 0; i < step.n_keys; ++i) {
    while (n_codes + (runs[i].end - runs[i].begin) > most) {
      if (i > 0) poll_stop();
      const auto room = static_cast<uint32_t>(most - n_codes);
      const uint32_t end = std::exchange(runs[i].end, runs[i].begin + room);
      compare(step, runs + first, i + 1 - first);
      runs[i] = {runs[i].end, end};
      first = i;
      n_codes = 0;
      if (probe.collector_.bounded()) most = std::min(4 * most, kCodesPerCompare);
    }
    n_codes += runs[i].end - runs[i].begin;
  }
  compare(step, runs + first, step.n_keys - first);
  if (probe.stats.candidates >= probe.max_candidates_) probe.finished_ = true;  // after this round's other steps
}

void Probing::compare(const Step& step, const CodeRun* runs, size_t n_runs) {
  Probe& probe = *step.probe;
  const Table& table = tables_.tables[step.table];
  const size_t n_words = tables_.substrings.n_words();
  const int limit = probe.collector_.limit();
  for (size_t i = 0; i < n_runs; ++i) require_run(table, runs[i]);
  if (tables_.compact) {
    const size_t n_hits = kernels_.scan_listed_runs(probe.query_, codes_.data, table.rows.data(), runs, n_runs,
                                                    codes_.n_bytes, limit, hits_.get());
    for (size_t i = 0; i < n_hits; ++i) {
      const size_t row = hits_[i].row;
      if (!allowed_.has(row)) continue;
      tables_.substrings.rearrange(codes_.row(row), words_.data());
      if (!found_earlier(step, words_.data())) probe.collector_.push(static_cast<int64_t>(row), hits_[i].distance);
    }
    return;
  }
  const size_t n_hits = kernels_.scan_runs(reinterpret_cast<const uint8_t*>(probe.words_.data()),
                                           reinterpret_cast<const uint8_t*>(table.words.data()), runs, n_runs,
                                           n_words * sizeof(uint64_t), limit, hits_.get());
  size_t n_new = 0;
  for (size_t i = 0; i < n_hits; ++i) {
    if (found_earlier(step, &table.words[hits_[i].row * n_words])) continue;
    hits_[n_new++] = hits_[i];
    __builtin_prefetch(&table.rows[hits_[i].row]);
  }
  for (size_t i = 0; i < n_new; ++i) {
    tables_.require(&table.rows[hits_[i].row], 1);
    const size_t row = table.rows[hits_[i].row];
    if (row >= tables_.n_codes) throw_damaged(tables_.checks, "its tables name a code that there is not");
    if (allowed_.has(row)) probe.collector_.push(static_cast<int64_t>(row), hits_[i].distance);
  }
}

// The data that `compare` reads of a bucket: its codes, or its rows and their codes if codes are looked up by row.
void Probing::require_run(const Table& table, const CodeRun& run) const {
  const size_t n_words = tables_.substrings.n_words(), n = run.end - run.begin;
  if (!tables_.compact) return tables_.require(table.words.data() + run.begin * n_words, n * n_words);
  if (!tables_.from_file) return;
  tables_.require(table.rows.data() + run.begin, n);
  for (size_t i = run.begin; i < run.end; ++i) {
    const size_t row = table.rows[i];
    if (row >= tables_.n_codes) throw_damaged(tables_.checks, "its tables name a code that there is not");
    tables_.require(codes_.row(row), codes_.n_bytes);
  }
}

bool Probing::found_earlier(const Step& step, const uint64_t* words) const noexcept {
  const uint64_t* query = step.probe->words_.data();
  const uint8_t* shells = shells_.data() + step.shells_before;
  for (size_t j = 0; j < tables_.substrings.size(); ++j) {
    const Substring& field = tables_.substrings[j];
    // In the step's own table its distance is that of the shell.
    if (j != step.table && shells[j] != 0 && count_bits(field.key_of(words) ^ field.key_of(query)) < shells[j])
      return true;
  }
  return false;
}

}  // namespace hashkit
