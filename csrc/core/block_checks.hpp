// Checksums of a mapped file, block by block: a block is compared with its checksum before it is first used, so that a
// search reads no more of the file than it needs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace hashkit {

// Contents are not what was written.
struct DamagedError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

constexpr size_t kCheckedBlock = 4096;  // bytes: a page

// XXH64 (Collet) with seed 0 of up to kCheckedBlock bytes, zeros behind them.
uint64_t block_sum(const uint8_t* data, size_t n_bytes) noexcept;

class BlockChecks {
 public:
  // Of n_bytes, a multiple of kCheckedBlock; `sums` has one for each block. Both are borrowed. Messages name the file.
  BlockChecks(const uint8_t* data, size_t n_bytes, const uint64_t* sums, std::string name);

  // Compares the blocks of these bytes as far as that has not been done; throws a DamagedError. Bytes that do not lie
  // in the file are passed over. Any number of threads may call it.
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

// Throws a DamagedError: what a table or cell says cannot be. `checks` may be null.
[[noreturn]] void throw_damaged(const BlockChecks* checks, const char* what);

}  // namespace hashkit
