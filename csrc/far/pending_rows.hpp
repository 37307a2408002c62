// Rows that are compared together, after their codes have been prefetched.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/block_checks.hpp"
#include "core/codes_view.hpp"
#include "core/row_set.hpp"
#include "core/scan_loops.hpp"
#include "core/top_k.hpp"
#include "kernels/kernel_table.hpp"

namespace hashkit {

constexpr size_t kLine = 64;  // bytes that are fetched together

class PendingRows {
 public:
  static constexpr size_t kEnough = 32;

  // Of these codes. Between two calls of compare() at most `most` rows are added to fewer than kEnough.
  PendingRows(const KernelTable& kernels, CodesView codes, const BlockChecks* checks, RowSet allowed, size_t most)
      : kernels_(kernels),
        codes_(codes),
        checks_(checks),
        allowed_(allowed),
        rows_(new uint32_t[most + kEnough]),
        hits_(room_for_hits(most + kEnough)) {}

  // Whether the rows should be compared; while fewer than k codes are known, sooner.
  bool are_enough(size_t k, const TopK& nearest) const noexcept {
    return n_rows_ >= (nearest.is_full() ? kEnough : std::min(k, kEnough));
  }

  void append(uint32_t row) {
    rows_[n_rows_++] = known(row);
    const uint8_t* code = codes_.row(row);
    for (size_t byte = 0; byte < codes_.n_bytes; byte += kLine) __builtin_prefetch(code + byte);
    __builtin_prefetch(code + codes_.n_bytes - 1);
  }

  // A row that a file may have named.
  uint32_t known(uint32_t row) const {
    if (row >= codes_.n_codes) throw_damaged(checks_, "its cells name a code that there is not");
    return row;
  }

  void push(uint32_t row, int distance, TopK& nearest) const {
    if (allowed_.has(row)) nearest.push(row, distance);
  }

  void clear() noexcept { n_rows_ = 0; }

  // Pushes those within the limit and forgets all; returns how many were compared.
  size_t compare(const uint8_t* query, int limit, TopK& nearest) {
    if (checks_ != nullptr) {
      for (size_t i = 0; i < n_rows_; ++i) checks_->require(codes_.row(rows_[i]), codes_.n_bytes);
    }
    const CodeRun all{0, static_cast<uint32_t>(n_rows_)};
    const size_t n_hits =
        kernels_.scan_listed_runs(query, codes_.data, rows_.get(), &all, 1, codes_.n_bytes, limit, hits_.get());
    for (size_t i = 0; i < n_hits; ++i) push(hits_[i].row, hits_[i].distance, nearest);
    const size_t n_compared = n_rows_;
    clear();
    return n_compared;
  }

 private:
  const KernelTable& kernels_;
  CodesView codes_;
  const BlockChecks* checks_;
  RowSet allowed_;
  std::unique_ptr<uint32_t[]> rows_;  // n_rows_ of them
  HitRoom hits_;
  size_t n_rows_ = 0;
};

}  // namespace hashkit
