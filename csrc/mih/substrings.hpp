// Splits codes into substrings: how many, and which bit goes to which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/codes_view.hpp"

namespace hashkit {

// The position of a substring in a rearranged code. It never spans two words.
struct Substring {
  uint32_t word;
  uint32_t shift;
  uint32_t width;

  size_t n_keys() const noexcept { return size_t{1} << width; }
  uint32_t key_of(const uint64_t* words) const noexcept {
    return static_cast<uint32_t>(words[word] >> shift & (n_keys() - 1));
  }
};

// Rearranges codes so that every substring is a bit field of one word. Distances do not change.
class Substrings {
 public:
  static constexpr uint32_t kMaxWidth = 22;  // a table has an offset for every key: 16 MiB at most

  Substrings() = default;
  // Chooses substrings for these codes: about as many keys as codes, and bits that correlate as little as possible
  // within a substring, measured on a sample. Buckets are then even.
  Substrings(CodesView codes, size_t n_bits);
  // Repeats an earlier choice: n_substrings substrings with bits at these places; see are_places.
  Substrings(size_t n_bytes, size_t n_substrings, std::vector<uint32_t> places);
  // Whether bits at these places are a valid choice of n_substrings substrings.
  static bool are_places(const std::vector<uint32_t>& places, size_t n_substrings);

  size_t size() const noexcept { return fields_.size(); }
  size_t n_words() const noexcept { return n_words_; }
  const Substring& operator[](size_t j) const noexcept { return fields_[j]; }
  const std::vector<Substring>& fields() const noexcept { return fields_; }
  // The position in the rearranged words of each bit of a code, most significant bit of the first byte first.
  const std::vector<uint32_t>& places() const noexcept { return places_; }

  // Writes the n_words words of a code of n_bytes.
  void rearrange(const uint8_t* code, uint64_t* words) const noexcept;

 private:
  void cut(size_t n_substrings, size_t n_bits);
  void fill_bytes();

  size_t n_bytes_ = 0;
  size_t n_words_ = 0;
  std::vector<Substring> fields_;
  std::vector<uint32_t> places_;
  std::vector<uint64_t> bytes_;  // by byte of the code and its value: n_words words; empty for long codes
};

// The number of substrings for n_codes codes of n_bits.
size_t choose_n_substrings(size_t n_codes, size_t n_bits);

}  // namespace hashkit
