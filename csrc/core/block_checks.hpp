// Checksums of a mapped file. Each block is compared with its checksum before its first use, so a search reads only the
// blocks it needs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace hashkit {

// The contents of a file differ from what was written.
struct DamagedError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

constexpr size_t kCheckedBlock = 4096;  // bytes: a page

// XXH64 (Collet) with seed 0 of up to kCheckedBlock bytes, zeros behind them.
uint64_t block_sum(const uint8_t* data, size_t n_bytes) noexcept;

class BlockChecks {
 public:
  // `data` has n_bytes, a multiple of kCheckedBlock, and `sums` one checksum for each block. Both are borrowed.
  // Messages contain the file's name.
  BlockChecks(const uint8_t* data, size_t n_bytes, const uint64_t* sums, std::string name);

  // Checks the blocks of these bytes that have not been checked yet; throws a DamagedError. Bytes outside the file are
  // skipped. Safe to call from any number of threads.
  void require(const void* begin, size_t n_bytes) const {
    const size_t at = static_cast<size_t>(static_cast<const uint8_t*>(begin) - data_);
    if (at >= n_bytes_ || n_bytes == 0) return;
    const size_t first = at / kCheckedBlock, last = (at + n_bytes - 1) / kCheckedBlock;
    if (first == last && is_done(first)) return;
    require_blocks(first, last);
  }

  const std::string& name() const noexcept { return name_; }

 private:
  using Bits = std::atomic<uint64_t>;

  bool is_done(size_t block) const noexcept {
    return done_[block / 64].load(std::memory_order_relaxed) >> (block % 64) & 1;
  }
  void require_blocks(size_t first, size_t last) const;

  const uint8_t* data_;
  size_t n_bytes_;
  const uint64_t* sums_;
  std::string name_;
  std::unique_ptr<Bits[]> done_;
};

// Throws a DamagedError: a table or cell holds an impossible value. `checks` may be null.
[[noreturn]] void throw_damaged(const BlockChecks* checks, const char* what);

}  // namespace hashkit
