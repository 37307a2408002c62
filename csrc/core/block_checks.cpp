#include "core/block_checks.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "parallel/stop.hpp"

namespace hashkit {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F, kPrime3 = 0x165667B19E3779F9,
                   kPrime4 = 0x85EBCA77C2B2AE63;

constexpr uint64_t rotate(uint64_t value, int n) noexcept {
  return value << n | value >> (64 - n);
}

constexpr uint64_t mix(uint64_t lane, uint64_t word) noexcept {
  return rotate(lane + word * kPrime2, 31) * kPrime1;
}

// Words have the byte order of the machine, as tables do; tables of another byte order are refused.
uint64_t load_word(const uint8_t* at) noexcept {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Each round is a bijection of its lane, so a change of a single word always changes the sum.
uint64_t sum_of_full_block(const uint8_t* data) noexcept {
  std::array<uint64_t, 4> lanes{kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};
  for (size_t at = 0; at < kCheckedBlock; at += 32) {
    for (size_t i = 0; i < 4; ++i) lanes[i] = mix(lanes[i], load_word(data + at + 8 * i));
  }
  uint64_t sum = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
  for (uint64_t lane : lanes) sum = (sum ^ mix(0, lane)) * kPrime1 + kPrime4;
  sum += kCheckedBlock;
  sum = (sum ^ sum >> 33) * kPrime2;
  sum = (sum ^ sum >> 29) * kPrime3;
  return sum ^ sum >> 32;
}

}  // namespace

uint64_t block_sum(const uint8_t* data, size_t n_bytes) noexcept {
  if (n_bytes == kCheckedBlock) return sum_of_full_block(data);
  std::array<uint8_t, kCheckedBlock> block{};
  std::memcpy(block.data(), data, n_bytes);
  return sum_of_full_block(block.data());
}

BlockChecks::BlockChecks(const uint8_t* data, size_t n_bytes, const uint64_t* sums, std::string name)
    : data_(data),
      n_bytes_(n_bytes),
      sums_(sums),
      name_(std::move(name)),
      done_(std::make_unique<Bits[]>((n_bytes / kCheckedBlock + 63) / 64)) {}

void BlockChecks::require_blocks(size_t first, size_t last) const {
  last = std::min(last, n_bytes_ / kCheckedBlock - 1);
  for (size_t block = first; block <= last; ++block) {
    Bits& bits = done_[block / 64];
    const uint64_t done = bits.load(std::memory_order_relaxed);
    if (done == ~uint64_t{0}) {
      block |= 63;
      continue;
    }
    const uint64_t bit = uint64_t{1} << (block % 64);
    if (done & bit) continue;
    poll_stop();
    if (sum_of_full_block(data_ + block * kCheckedBlock) != sums_[block]) {
      throw DamagedError(name_ + " is damaged: the checksum of block " + std::to_string(block) +
                         " does not fit its contents");
    }
    bits.fetch_or(bit, std::memory_order_relaxed);
  }
}

void throw_damaged(const BlockChecks* checks, const char* what) {
  throw DamagedError((checks == nullptr ? std::string("the file") : checks->name()) + " is damaged: " + what);
}

}  // namespace hashkit
