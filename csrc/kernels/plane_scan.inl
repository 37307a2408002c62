// Codes against the planes of a query, for instruction sets that count the bits of one code at a time. Included within
// an instruction set's namespace, which gives PlaneCounter: operator()(code) is the sum over planes p of 2^p times the
// Hamming distance of the code and plane p.

// m_j s_j summed over the bits: a bit that agrees in plane p adds 2^p, one that differs takes it away. Exact: at most
// 4,096 * 255, and an integer below 2^24 is a float.
HASHKIT_ALWAYS_INLINE float plane_sum(const PlaneQuery& query, uint32_t weighted) noexcept {
  const auto most = static_cast<int32_t>(query.n_bits * ((size_t{1} << query.n_planes) - 1));
  return static_cast<float>(most - 2 * static_cast<int32_t>(weighted));
}

HASHKIT_ALWAYS_INLINE float plane_score(const PlaneQuery& query, RowFactors factors, uint32_t weighted) noexcept {
  return factors.offset + factors.factor * (query.step * plane_sum(query, weighted));
}

size_t scan_planes(const PlaneQuery& query, const uint8_t* codes, const RowFactors* factors, size_t n_rows,
                   size_t n_bytes, float limit, ScoredRow* scored) noexcept {
  const PlaneCounter count(query, n_bytes);
  size_t n_scored = 0;
  for (size_t row = 0; row < n_rows; ++row) {
    const float score = plane_score(query, factors[row], count(codes + row * n_bytes));
    scored[n_scored] = {static_cast<uint32_t>(row), score};
    n_scored += score >= limit;
  }
  return n_scored;
}

// The scores of listed rows, by a counter such as PlaneCounter.
template <class Counter>
HASHKIT_ALWAYS_INLINE void score_rows(const Counter& count, const PlaneQuery& query, const uint8_t* codes,
                                      const RowFactors* factors, const int64_t* rows, size_t n_rows, size_t n_bytes,
                                      float* scores) noexcept {
  constexpr size_t kAhead = 8;  // rows fetched before they are needed
  for (size_t i = 0; i < n_rows; ++i) {
    if (i + kAhead < n_rows) {
      const auto ahead = static_cast<size_t>(rows[i + kAhead]);
      __builtin_prefetch(codes + ahead * n_bytes);
      __builtin_prefetch(codes + ahead * n_bytes + n_bytes - 1);
      __builtin_prefetch(factors + ahead);
    }
    const auto row = static_cast<size_t>(rows[i]);
    scores[i] = plane_score(query, factors[row], count(codes + row * n_bytes));
  }
}
