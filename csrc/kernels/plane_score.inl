// score_planes by the counter that scan_planes has. Included after plane_scan.inl, where nothing is faster.
void score_planes(const PlaneQuery& query, const uint8_t* codes, const RowFactors* factors, const int64_t* rows,
                  size_t n_rows, size_t n_bytes, float* scores) noexcept {
  score_rows(PlaneCounter(query, n_bytes), query, codes, factors, rows, n_rows, n_bytes, scores);
}
