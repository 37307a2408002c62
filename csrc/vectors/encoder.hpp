// From vectors to codes with factors, and from queries to the values that are compared with codes.
//
// A vector of unit length (under cosine), or as it is, becomes t = R (x - c): c is the center of all vectors, R a
// rotation or the rows of a matrix. The signs of t are the code; what the factors are says vectors/asymmetric.hpp.
//
// A rotation has kRotationRounds rounds. Each turns some signs, and transforms the first or, by turns, the last 2^i
// values by Walsh and Hadamard, 2^i being the largest such number; if these are not all, value i and value i of the
// upper half are added and subtracted after every second round. (After every round it would bring values together again
// that the window has just spread: the largest entries of a rotation of 1,000 were then twice as large.) In each
// transform the lowest four bits of a place and the next four change places. Random signs make this as good as a
// rotation drawn from all (Ailon and Chazelle 2006; Gao and Long's library has one alike), at n log n additions where a
// matrix needs n^2, and with equal values on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernel_table.hpp"
#include "kernels/vector_kernels.hpp"
#include "vectors/vector_rows.hpp"

namespace hashkit {

// All that encoding needs; borrowed.
struct EncoderView {
  VectorMetric metric;
  size_t n_dims;
  size_t n_bits;
  const float* center;    // n_dims, padded with zeros
  const float* offsets;   // n_bits: R c
  const float* rotation;  // the factors of a rotation, see rotation_factors; null: a matrix
  PaddedQueries matrix;   // n_bits rows of n_dims, padded
};

inline size_t padded_dims(size_t n_dims) noexcept {
  return (n_dims + kLanes - 1) / kLanes * kLanes;
}

// What `rotate` of the kernels multiplies by: signs with the scale of the transform. `signs` has a bit for each of
// n_bits values, most significant first, in each round a row of whole bytes; 1 stands for minus.
std::vector<float> rotation_factors(const uint8_t* signs, size_t n_bits);

class Encoder {
 public:
  Encoder(const VectorKernels& kernels, const EncoderView& view) noexcept;

  const EncoderView& view() const noexcept { return view_; }

  // A row as floats, padded with zeros: of length 1 under cosine, where zeros stay zeros. Returns whether it is finite.
  bool to_unit(const VectorRows& rows, size_t row, float* unit) const noexcept;
  // t of n such rows, one after the other: n_bits values each.
  void project(const float* units, size_t n, float* values) const noexcept;
  // What is the same for all queries in a score (see vectors/asymmetric.hpp).
  RowFactors factors(const float* unit, const float* values) const noexcept;
  // What turns the estimates of a query into scores: <c, u>, or |u - c|^2 for Euclidean distances.
  float query_term(const float* unit) const noexcept;
  // Rows and terms of n queries, n_dims floats each. Returns one of them that is not finite, or kAllFinite.
  int64_t take_queries(const float* queries, size_t n, float* units, float* terms) const noexcept;

 private:
  const VectorKernels& kernels_;
  EncoderView view_;
  float center_square_;
};

constexpr size_t kEncodedPerTask = 64;  // rows or queries

// Codes and factors of rows [first, last), written from the first place on; and the rows themselves as `to_unit` makes
// them, n_dims floats each, unless `units` is null. Returns a row that is not finite, or kAllFinite.
int64_t encode_rows(const Encoder& encoder, const KernelTable& packing, const VectorRows& rows, size_t first,
                    size_t last, size_t n_threads, uint8_t* codes, float* factors, float* units);

}  // namespace hashkit
