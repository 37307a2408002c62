// Probing: a group of queries looks up the tables, shell by shell.
//
// The general pigeonhole principle: suppose that in each table j all keys within distance a_j of the query's key have
// been looked up (a_j = -1: none). A code that has not been found then differs from the query in more than a_j bits of
// each substring, so in at least the sum of a_j + 1 bits. A step looks up one more shell of one table, which adds one
// to this sum whichever table it is, so the cheapest step is taken. A search ends when everything within its limit has
// been found.
//
// A code is found in every table in which it is near enough, but counts only once: it is skipped if the distance of
// another substring shows that an earlier step found it. No marks have to be stored.
//
// The queries of a group advance together, a few steps each in a round, so that the loads of many overlap. A query that
// has spent its allowance falls back to a scan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/row_set.hpp"
#include "core/scan_loops.hpp"
#include "kernels/kernel_table.hpp"
#include "mih/costs.hpp"
#include "mih/tables.hpp"

namespace hashkit {

// Takes the codes that Probing finds for a query, and sets the limit within which it searches.
class Collector {
 public:
  virtual ~Collector() = default;
  virtual int limit() const noexcept = 0;     // the largest distance that is still accepted
  virtual bool bounded() const noexcept = 0;  // whether that limit is final or can only shrink
  virtual void push(int64_t row, int distance) = 0;
  // The limit expected at the end of the search, once all codes within `visited` have been found.
  virtual int expected_limit(int /*visited*/) const { return limit(); }
};

// Counts of the work for a query.
struct QueryStats {
  int64_t probes = 0;      // keys that were looked up
  int64_t candidates = 0;  // codes that were compared
  int32_t radius = -1;     // every code within this distance has been found in the tables
  bool scanned = false;    // finished by a scan
  bool exact = true;       // the result is proven to be exact
};

// The state of one query.
class Probe {
 public:
  // `query` and `collector` are kept; max_candidates as for mih_k_nearest.
  Probe(const Tables& tables, const uint8_t* query, Collector& collector, int64_t max_candidates);

  double spent() const noexcept { return spent_; }  // the estimated cost of what was done

  QueryStats stats;

 private:
  friend class Probing;

  // The query's progress in one table.
  struct TableState {
    size_t n_shells = 0;   // shells that have been looked up
    double n_next = 0;     // codes in its next shell: exact for the first, estimated for the others
    double next_cost = 0;  // of looking that up
  };

  int visited_radius() const noexcept { return n_steps_ - 1; }
  bool is_done() const noexcept { return finished_ || collector_.limit() <= visited_radius(); }

  const uint8_t* query_;
  Collector& collector_;
  int64_t max_candidates_;
  std::vector<uint64_t> words_;
  std::vector<TableState> states_;  // by table
  int n_steps_ = 0;
  double spent_ = 0;
  bool finished_ = false;
};

class Probing {
 public:
  // `codes` are those of the tables.
  Probing(const KernelTable& kernels, const Tables& tables, CodesView codes, RowSet allowed, const Costs& costs);

  // Probes until every query has ended. Those with stats.scanned need a scan.
  void run(std::vector<Probe>& group);

 private:
  struct Step {
    Probe* probe;
    size_t table;
    size_t shell;
    double allowance;
    size_t first_key, n_keys;  // in keys_ and runs_: those that have a bucket
    size_t shells_before;      // in shells_: of every table the shells looked up when the step began
  };

  void begin(std::vector<Probe>& group);
  void plan(Probe& probe);
  void add_step(Probe& probe, size_t table, double allowance);
  size_t find_keys(const Probe& probe, size_t table, size_t shell);
  bool find_runs(const Step& step);
  void look_up(const Step& step);
  double allowance(const Probe& probe) const;
  void expect_next(Probe::TableState& state, size_t table, double n_found) const;
  void compare(const Step& step, const CodeRun* runs, size_t n_runs);
  void require_run(const Table& table, const CodeRun& run) const;
  bool found_earlier(const Step& step, const uint64_t* words) const noexcept;

  const KernelTable& kernels_;
  const Tables& tables_;
  CodesView codes_;
  RowSet allowed_;
  Costs costs_;
  std::vector<Step> steps_;  // of this round
  std::vector<uint8_t> shells_;
  std::vector<uint32_t> keys_;
  std::vector<CodeRun> runs_;
  size_t n_keys_ = 0;  // how many of keys_ and runs_ are in use
  HitRoom hits_;
  std::vector<uint64_t> words_;  // of one code
};

}  // namespace hashkit
