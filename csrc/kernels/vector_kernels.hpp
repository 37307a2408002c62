// Kernels of an instruction set for vectors, and for codes whose bits have different weights in a query.
//
// Every instruction set adds floats in the same order and never fuses a multiplication with an addition (the build says
// -ffp-contract=off), so that all of them give the same scores, bit for bit: value i of a row is added to lane i mod
// kLanes, and lane j takes in lane j + 16, then j + 8, 4, 2 and 1.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/isa.hpp"

namespace hashkit {

constexpr size_t kLanes = 32;     // queries and column scales are padded with zeros to a multiple of so many values
constexpr size_t kMaxPlanes = 8;  // bits of a query's values
constexpr size_t kRotationRounds = 4;
constexpr size_t kLeastRotated = 256;  // values of a rotation
constexpr size_t kPlaneStep = 64;      // a plane of bits is padded with zeros to a multiple of so many bytes

enum class VectorType { kFloat32, kFloat16, kBfloat16, kInt8 };
constexpr size_t kVectorTypes = 4;

// How the bytes of an int8 row become values: (byte * column scale) * row scale, each product rounded to float32.
// Rows of other types have no scales. `next` is a row of the same type to fetch meanwhile, a line at a time, or null.
struct RowScales {
  float row;
  const float* columns;
  const uint8_t* next = nullptr;
};

// Sums over one row x with a query q.
struct VectorSums {
  float product;  // q x
  float square;   // x x, or (q - x)^2 where that is computed
};

using SumRow = VectorSums (*)(const float* query, const void* row, size_t n_dims, RowScales scales);

// A query with values m_j = sum over planes p of 2^p t_pj, where t_pj is 1 if plane p has the bit and -1 otherwise, and
// the terms that turn the sum of m_j s_j over the signs s_j of a code into a score (see vectors/asymmetric.hpp).
struct PlaneQuery {
  const uint8_t* planes;  // n_planes rows of padded bytes, the least significant plane first
  size_t n_planes;
  size_t n_bits;
  float step;  // the value of one unit of m_j
};

// The terms of a row in the score of its code: offset + factor * (step * sum).
struct RowFactors {
  float offset;
  float factor;
};

struct ScoredRow {
  uint32_t row;
  float score;
};

constexpr size_t kTileCodes = 8;
constexpr size_t kMaxScanRows = 8192;  // the most rows of one scan_planes

struct VectorKernels {
  Isa isa;
  SumRow products[kVectorTypes];              // product alone
  SumRow products_and_squares[kVectorTypes];  // both
  SumRow differences[kVectorTypes];           // square alone, that of the difference

  // The values of a row as floats.
  void (*to_floats[kVectorTypes])(const void* row, size_t n_dims, RowScales scales, float* floats);
  // n values, at least kLeastRotated, rotated in place. `factors` has n for each of kRotationRounds (see
  // vectors/encoder.hpp).
  void (*rotate)(float* values, size_t n, const float* factors);

  // Writes every row whose score is at least `limit`, in the order of the rows; returns how many. `scored` has room for
  // n_rows, which is at most kMaxScanRows.
  size_t (*scan_planes)(const PlaneQuery& query, const uint8_t* codes, const RowFactors* factors, size_t n_rows,
                        size_t n_bytes, float limit, ScoredRow* scored);
  // Codes rearranged for scan_plane_tile. Null where that is.
  void (*fill_plane_tile)(const uint8_t* codes, size_t n_rows, size_t n_bytes, uint64_t* tile);
  // The same over a tile: of every kTileCodes codes first all words 0, then all words 1, and so on; codes behind the
  // last are zeros, and words are padded with zeros. Null where rows are scanned as fast.
  size_t (*scan_plane_tile)(const PlaneQuery& query, const uint64_t* tile, const RowFactors* factors, size_t n_rows,
                            size_t n_bytes, float limit, ScoredRow* scored);
  // The scores of listed rows, all of them valid.
  void (*score_planes)(const PlaneQuery& query, const uint8_t* codes, const RowFactors* factors, const int64_t* rows,
                       size_t n_rows, size_t n_bytes, float* scores);
};

// Bytes of a padded plane of codes of n_bytes.
constexpr size_t plane_bytes(size_t n_bytes) noexcept {
  return (n_bytes + kPlaneStep - 1) / kPlaneStep * kPlaneStep;
}

// The table of an instruction set that this machine runs (see supported_isas).
const VectorKernels& vector_kernels(Isa isa);

}  // namespace hashkit
