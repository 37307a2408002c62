#include "mih/substrings.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

namespace hashkit {
namespace {

constexpr size_t kSampledRows = 2048;
constexpr size_t kMaxDealtBits = 512;  // with more bits, correlations of all pairs would take longer than they save
constexpr size_t kMaxTabledBytes = 64;

// The bits of a sample of the codes: for each bit its values over the sample.
class BitSample {
 public:
  BitSample(CodesView codes, size_t n_bits) : n_rows_(std::min(codes.n_codes, kSampledRows)), columns_(n_bits) {
    for (auto& column : columns_) column.assign((n_rows_ + 63) / 64, 0);
    for (size_t i = 0; i < n_rows_; ++i) {
      const uint8_t* code = codes.row(codes.n_codes * i / n_rows_);
      for (size_t bit = 0; bit < n_bits; ++bit) {
        const uint64_t value = code[bit / 8] >> (7 - bit % 8) & 1;
        columns_[bit][i / 64] |= value << (i % 64);
      }
    }
  }

  double share_of_ones(size_t bit) const { return n_both(bit, bit) / static_cast<double>(n_rows_); }
  bool is_constant(size_t bit) const { return n_both(bit, bit) == 0 || n_both(bit, bit) == n_rows_; }
  // The square of the correlation of two bits that are not constant.
  double correlation2(size_t a, size_t b) const {
    const double p = share_of_ones(a), q = share_of_ones(b);
    const double covariance = n_both(a, b) / static_cast<double>(n_rows_) - p * q;
    return covariance * covariance / (p * (1 - p) * q * (1 - q));
  }

 private:
  size_t n_both(size_t a, size_t b) const {
    size_t n = 0;
    for (size_t w = 0; w < columns_[a].size(); ++w) {
      n += static_cast<size_t>(__builtin_popcountll(columns_[a][w] & columns_[b][w]));
    }
    return n;
  }

  size_t n_rows_;
  std::vector<std::vector<uint64_t>> columns_;
};

// Assigns each bit to a substring. Constant bits, which carry no information, are assigned in turn. Then each other
// bit, the most correlated first, goes to the substring with whose bits it correlates least.
std::vector<size_t> deal_bits(const BitSample& sample, size_t n_bits, const std::vector<Substring>& fields) {
  std::vector<std::vector<double>> square(n_bits, std::vector<double>(n_bits, 0));
  std::vector<double> entangled(n_bits, -1);  // constant bits stay below the others
  for (size_t a = 0; a < n_bits; ++a) {
    if (sample.is_constant(a)) continue;
    for (size_t b = 0; b < a; ++b) {
      if (!sample.is_constant(b)) square[a][b] = square[b][a] = sample.correlation2(a, b);
    }
    entangled[a] = std::accumulate(square[a].begin(), square[a].end(), 0.0);
  }
  std::vector<size_t> order(n_bits), substring_of(n_bits), n_taken(fields.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const bool a_constant = entangled[a] < 0, b_constant = entangled[b] < 0;
    return a_constant != b_constant ? a_constant : entangled[a] > entangled[b];
  });
  std::vector<std::vector<double>> with(fields.size(), std::vector<double>(n_bits, 0));  // sums of squares so far
  for (size_t bit : order) {
    size_t best = fields.size();
    for (size_t j = 0; j < fields.size(); ++j) {
      if (n_taken[j] == fields[j].width) continue;
      if (best == fields.size() || with[j][bit] < with[best][bit] ||
          (with[j][bit] == with[best][bit] && n_taken[j] < n_taken[best])) {
        best = j;
      }
    }
    substring_of[bit] = best;
    ++n_taken[best];
    for (size_t other = 0; other < n_bits; ++other) with[best][other] += square[bit][other];
  }
  return substring_of;
}

// Assigns neighboring bits to different substrings.
std::vector<size_t> deal_in_turn(size_t n_bits, const std::vector<Substring>& fields) {
  std::vector<size_t> substring_of, n_taken(fields.size());
  for (size_t j = 0; substring_of.size() < n_bits; j = (j + 1) % fields.size()) {
    if (n_taken[j] == fields[j].width) continue;
    ++n_taken[j];
    substring_of.push_back(j);
  }
  return substring_of;
}

}  // namespace

size_t choose_n_substrings(size_t n_codes, size_t n_bits) {
  // Chosen so that a substring has about as many keys as there are codes. With fewer keys buckets are large; with more,
  // most buckets are empty and a ball has more keys.
  const double width = std::log2(static_cast<double>(std::max<size_t>(n_codes, 2)));
  const double per_word = std::clamp(std::round(64 / width), 3.0, 8.0);
  const auto wished = static_cast<size_t>(std::lround(static_cast<double>(n_bits) * per_word / 64));
  const size_t least = (n_bits + Substrings::kMaxWidth - 1) / Substrings::kMaxWidth;
  return std::max({wished, least, size_t{1}});
}

Substrings::Substrings(CodesView codes, size_t n_bits) : n_bytes_(codes.n_bytes) {
  cut(choose_n_substrings(codes.n_codes, n_bits), n_bits);
  const bool deal = n_bits <= kMaxDealtBits && codes.n_codes > 1 && fields_.size() > 1;
  const std::vector<size_t> substring_of =
      deal ? deal_bits(BitSample(codes, n_bits), n_bits, fields_) : deal_in_turn(n_bits, fields_);
  std::vector<uint32_t> n_placed(fields_.size());
  places_.reserve(n_bits);
  for (size_t j : substring_of) places_.push_back(64 * fields_[j].word + fields_[j].shift + n_placed[j]++);
  if (n_bytes_ <= kMaxTabledBytes) fill_bytes();
}

Substrings::Substrings(size_t n_bytes, size_t n_substrings, std::vector<uint32_t> places)
    : n_bytes_(n_bytes), places_(std::move(places)) {
  cut(n_substrings, places_.size());
  if (n_bytes_ <= kMaxTabledBytes) fill_bytes();
}

bool Substrings::are_places(const std::vector<uint32_t>& places, size_t n_substrings) {
  const size_t n_bits = places.size();
  if (n_substrings == 0 || n_substrings > n_bits || n_bits > n_substrings * kMaxWidth) return false;
  Substrings cut_alike;
  cut_alike.cut(n_substrings, n_bits);
  std::vector<char> is_free(64 * cut_alike.n_words_);
  for (const Substring& field : cut_alike.fields_) {
    std::fill_n(is_free.begin() + 64 * field.word + field.shift, field.width, 1);
  }
  return std::all_of(places.begin(), places.end(),
                     [&](uint32_t place) { return place < is_free.size() && std::exchange(is_free[place], 0) != 0; });
}

void Substrings::cut(size_t n_substrings, size_t n_bits) {
  uint32_t word = 0, shift = 0;
  for (size_t j = 0; j < n_substrings; ++j) {
    const auto width = static_cast<uint32_t>(n_bits * (j + 1) / n_substrings - n_bits * j / n_substrings);
    if (shift + width > 64) {
      ++word;
      shift = 0;
    }
    fields_.push_back({word, shift, width});
    shift += width;
  }
  n_words_ = word + 1;
}

void Substrings::fill_bytes() {
  bytes_.assign(n_bytes_ * 256 * n_words_, 0);
  for (size_t bit = 0; bit < places_.size(); ++bit) {
    const uint32_t place = places_[bit];
    for (size_t value = 0; value < 256; ++value) {
      if ((value >> (7 - bit % 8) & 1) == 0) continue;
      bytes_[(bit / 8 * 256 + value) * n_words_ + place / 64] |= uint64_t{1} << (place % 64);
    }
  }
}

void Substrings::rearrange(const uint8_t* code, uint64_t* words) const noexcept {
  std::memset(words, 0, n_words_ * sizeof *words);
  if (!bytes_.empty()) {
    for (size_t b = 0; b < n_bytes_; ++b) {
      const uint64_t* from = bytes_.data() + (b * 256 + code[b]) * n_words_;
      for (size_t w = 0; w < n_words_; ++w) words[w] |= from[w];
    }
    return;
  }
  for (size_t bit = 0; bit < places_.size(); ++bit) {
    const uint64_t value = code[bit / 8] >> (7 - bit % 8) & 1;
    words[places_[bit] / 64] |= value << (places_[bit] % 64);
  }
}

}  // namespace hashkit
