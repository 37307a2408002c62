// A rotation in n log n additions (see vectors/encoder.hpp). Included within an instruction set's namespace, after
// vector_sums.inl. Every value is the same on all instruction sets: nothing is summed but pairs.

constexpr size_t kRun = 16;               // values that stay side by side
constexpr size_t kSquare = kRun * kRun;   // values that change places
constexpr float kSqrtHalf = 0.70710678f;  // of two values that are added to unit length

HASHKIT_ALWAYS_INLINE void store(float* to, Floats values) noexcept {
  std::memcpy(to, &values, sizeof values);
}

// The Walsh-Hadamard transform over all bits of a place but the lowest four. n is a power of two.
HASHKIT_ALWAYS_INLINE void transform_runs(float* values, size_t n) noexcept {
  for (size_t half = n / 2; half >= kRun; half /= 2) {
    for (size_t start = 0; start < n; start += 2 * half) {
      for (size_t i = start; i < start + half; i += kWidth) {
        const Floats a = load(values + i), b = load(values + i + half);
        store(values + i, a + b);
        store(values + i + half, a - b);
      }
    }
  }
}

// Rows and columns of a square change places: the lowest four bits of a place and the next four.
HASHKIT_ALWAYS_INLINE void transpose_square(float* values) noexcept {
  float copy[kSquare];
  std::memcpy(copy, values, sizeof copy);
  for (size_t row = 0; row < kRun; ++row) {
    for (size_t column = 0; column < kRun; ++column) values[row * kRun + column] = copy[column * kRun + row];
  }
}

// `factors` has n for each round.
void rotate(float* values, size_t n, const float* factors) noexcept {
  size_t window = kSquare;
  while (2 * window <= n) window *= 2;
  for (size_t round = 0; round < kRotationRounds; ++round) {
    for (size_t i = 0; i < n; ++i) values[i] *= factors[round * n + i];
    float* at = round % 2 == 0 ? values : values + (n - window);
    transform_runs(at, window);
    for (size_t square = 0; square < window; square += kSquare) {
      transpose_square(at + square);
      transform_runs(at + square, kSquare);
    }
    if (window == n || round % 2 == 0) continue;
    float *first = values, *last = values + (n - n / 2);
    for (size_t i = 0; i < n / 2; ++i) {
      const float a = first[i], b = last[i];
      first[i] = (a + b) * kSqrtHalf;
      last[i] = (a - b) * kSqrtHalf;
    }
  }
}

// The values of a row as floats.
template <class Value>
void to_floats(const void* row, size_t n_dims, RowScales scales, float* floats) noexcept {
  const auto* values = static_cast<const Value*>(row);
  const auto convert = [&](const Value* from, size_t column) {
    Floats x = load(from);
    if constexpr (sizeof(Value) == 1) x = x * load(scales.columns + column) * scales.row;
    return x;
  };
  size_t i = 0;
  for (; i + kWidth <= n_dims; i += kWidth) store(floats + i, convert(values + i, i));
  if (i == n_dims) return;
  Value rest[kWidth] = {};
  std::memcpy(rest, values + i, (n_dims - i) * sizeof(Value));
  const Floats last = convert(rest, i);
  std::memcpy(floats + i, &last, (n_dims - i) * sizeof(float));
}
