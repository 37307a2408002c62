// Sums over vectors, in the order that vector_kernels.hpp defines. Included within an instruction set's namespace,
// which gives Floats, a GCC vector of floats, and `load`, which reads a Floats from each type of values.

constexpr size_t kWidth = sizeof(Floats) / sizeof(float);
constexpr size_t kParts = kLanes / kWidth;

struct Product {
  Floats products[kParts] = {};

  HASHKIT_ALWAYS_INLINE void add(size_t part, Floats q, Floats x) noexcept { products[part] += q * x; }
};

struct ProductAndSquare {
  Floats products[kParts] = {};
  Floats squares[kParts] = {};

  HASHKIT_ALWAYS_INLINE void add(size_t part, Floats q, Floats x) noexcept {
    products[part] += q * x;
    squares[part] += x * x;
  }
};

struct Difference {
  Floats squares[kParts] = {};

  HASHKIT_ALWAYS_INLINE void add(size_t part, Floats q, Floats x) noexcept {
    const Floats difference = q - x;
    squares[part] += difference * difference;
  }
};

HASHKIT_ALWAYS_INLINE float total(Floats (&lanes)[kParts]) noexcept {
  for (size_t half = kParts / 2; half > 0; half /= 2) {
    for (size_t part = 0; part < half; ++part) lanes[part] += lanes[part + half];
  }
  float values[kWidth];
  std::memcpy(values, &lanes[0], sizeof values);
  for (size_t half = kWidth / 2; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) values[lane] += values[lane + half];
  }
  return values[0];
}

HASHKIT_ALWAYS_INLINE VectorSums totals(Product& sums) noexcept {
  return {total(sums.products), 0};
}
HASHKIT_ALWAYS_INLINE VectorSums totals(ProductAndSquare& sums) noexcept {
  return {total(sums.products), total(sums.squares)};
}
HASHKIT_ALWAYS_INLINE VectorSums totals(Difference& sums) noexcept {
  return {0, total(sums.squares)};
}

// kLanes values of a query and a row.
template <class Sums, class Value>
HASHKIT_ALWAYS_INLINE void add_lanes(Sums& sums, const float* query, const Value* values, RowScales scales,
                                     size_t column) noexcept {
  for (size_t byte = 0; byte < kLanes * sizeof(Value); byte += 64) {
    __builtin_prefetch(scales.next + column * sizeof(Value) + byte);
  }
  for (size_t part = 0; part < kParts; ++part) {
    Floats x = load(values + part * kWidth);
    if constexpr (sizeof(Value) == 1) x = x * load(scales.columns + column + part * kWidth) * scales.row;
    sums.add(part, load(query + column + part * kWidth), x);
  }
}

template <class Sums, class Value>
VectorSums sum_row(const float* query, const void* row, size_t n_dims, RowScales scales) noexcept {
  const auto* values = static_cast<const Value*>(row);
  if (scales.next == nullptr) scales.next = static_cast<const uint8_t*>(row);
  Sums sums;
  size_t i = 0;
  for (; i + kLanes <= n_dims; i += kLanes) add_lanes(sums, query, values + i, scales, i);
  if (i < n_dims) {
    Value rest[kLanes] = {};
    std::memcpy(rest, values + i, (n_dims - i) * sizeof(Value));
    add_lanes(sums, query, rest, scales, i);
  }
  return totals(sums);
}
