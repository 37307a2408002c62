#include "vectors/funnel.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "parallel/parallel_for.hpp"
#include "vectors/nearest_codes.hpp"
#include "vectors/row_scorer.hpp"

namespace hashkit {
namespace {

constexpr size_t kMostPairs = size_t{1} << 22;  // queries times candidates held at once: 80 MB

// Queries, ready for every stage.
struct Prepared {
  std::vector<float> padded;  // as they came
  std::vector<float> terms;   // what turns estimates into scores
  std::vector<uint8_t> codes;
  std::vector<uint8_t> planes, scan_planes;
  std::vector<float> steps, scan_steps;
};

class Search {
 public:
  Search(const FunnelKernels& kernels, const FunnelData& data, const FunnelPlan& plan, const FunnelSizes& sizes,
         size_t n_threads)
      : kernels_(kernels),
        data_(data),
        plan_(plan),
        sizes_(sizes),
        n_threads_(n_threads),
        encoder_(kernels.vectors, data.encoder),
        n_dims_(data.encoder.n_dims),
        stride_(padded_dims(data.encoder.n_dims)) {}

  FunnelOutcome run(const float* queries, size_t n_queries, const int64_t* candidates, float* scores, int64_t* ids) {
    const int64_t bad = prepare(queries, n_queries);
    if (bad != kAllFinite) return {bad, kAllFinite};
    std::vector<int64_t> found;
    if (candidates == nullptr) {
      found.resize(n_queries * sizes_.n_candidates);
      find_candidates(n_queries, found.data());
      candidates = found.data();
    }
    std::vector<float> estimates(n_queries * sizes_.n_estimated);
    std::vector<int64_t> rows(estimates.size());
    score_planes_best(kernels_.vectors, data_.codes, planes(ready_.planes, ready_.steps, kScorePlanes), candidates,
                      sizes_.n_candidates, sizes_.n_estimated, n_threads_, estimates.data(), rows.data());
    return {kAllFinite, finish(n_queries, estimates.data(), rows.data(), scores, ids)};
  }

 private:
  int64_t prepare(const float* queries, size_t n_queries) {
    const size_t n_bits = data_.encoder.n_bits, n_bytes = data_.codes.n_bytes, of_planes = plane_bytes(n_bytes);
    ready_.padded.assign(n_queries * stride_, 0);
    ready_.terms.resize(n_queries);
    ready_.codes.resize(n_queries * n_bytes);
    ready_.steps.resize(n_queries);
    ready_.planes.assign(n_queries * kScorePlanes * of_planes, 0);
    if (!plan_.by_codes) {
      ready_.scan_steps.resize(n_queries);
      ready_.scan_planes.assign(n_queries * kScanPlanes * of_planes, 0);
    }
    std::atomic<int64_t> not_finite{kAllFinite};
    parallel_for((n_queries + kEncodedPerTask - 1) / kEncodedPerTask, n_threads_, [&](size_t task) {
      const size_t first = task * kEncodedPerTask, last = std::min(first + kEncodedPerTask, n_queries);
      std::vector<float> units((last - first) * stride_), values((last - first) * n_bits);
      const int64_t bad =
          encoder_.take_queries(queries + first * n_dims_, last - first, units.data(), &ready_.terms[first]);
      if (bad != kAllFinite) return not_finite.store(static_cast<int64_t>(first) + bad);
      for (size_t q = first; q < last; ++q) {
        std::memcpy(ready_.padded.data() + q * stride_, queries + q * n_dims_, n_dims_ * sizeof(float));
      }
      encoder_.project(units.data(), last - first, values.data());
      for (size_t q = first; q < last; ++q) to_planes(q, values.data() + (q - first) * n_bits);
    });
    return not_finite.load();
  }

  // The code of a query's projection, and its planes.
  void to_planes(size_t q, const float* values) {
    const size_t n_bits = data_.encoder.n_bits, n_bytes = data_.codes.n_bytes, of_planes = plane_bytes(n_bytes);
    kernels_.codes.pack_float32(values, n_bits, ready_.codes.data() + q * n_bytes);
    quantize_queries(values, 1, n_bits, kScorePlanes, ready_.planes.data() + q * kScorePlanes * of_planes,
                     ready_.steps.data() + q);
    if (plan_.by_codes) return;
    quantize_queries(values, 1, n_bits, kScanPlanes, ready_.scan_planes.data() + q * kScanPlanes * of_planes,
                     ready_.scan_steps.data() + q);
  }

  PlaneQueries planes(const std::vector<uint8_t>& of, const std::vector<float>& steps, size_t n_planes) const noexcept {
    return {of.data(), steps.data(), steps.size(), n_planes, data_.encoder.n_bits};
  }

  void find_candidates(size_t n_queries, int64_t* rows) const {
    const size_t n = sizes_.n_candidates, n_bytes = data_.codes.n_bytes;
    const CodesView codes{data_.codes.codes, data_.codes.n_rows, n_bytes};
    if (plan_.by_codes) {
      return select_nearest(kernels_.codes, codes, {ready_.codes.data(), n_queries, n_bytes}, n, n_threads_, rows);
    }
    std::vector<float> estimates(n_queries * n);
    scan_planes_best(kernels_.vectors, data_.codes, {}, planes(ready_.scan_planes, ready_.scan_steps, kScanPlanes), n,
                     n_threads_, estimates.data(), rows);
  }

  float to_score(float estimate, float term) const noexcept {
    if (data_.encoder.metric != VectorMetric::kEuclidean) return estimate + term;
    return std::sqrt(std::max(term - 2 * estimate, 0.0f));
  }

  int64_t finish(size_t n_queries, const float* estimates, const int64_t* rows, float* scores, int64_t* ids) {
    constexpr size_t kBytesPerTask = size_t{4} << 20;
    const size_t n = sizes_.n_estimated, k = sizes_.k;
    const size_t row_bytes = data_.vectors == nullptr ? sizeof(float) : data_.vectors->row_bytes();
    const size_t per_task = std::max<size_t>(kBytesPerTask / (row_bytes * n + 1), 1);
    std::atomic<int64_t> not_finite{kAllFinite};
    parallel_for((n_queries + per_task - 1) / per_task, n_threads_, [&](size_t task) {
      Room room(n);
      for (size_t q = task * per_task; q < std::min((task + 1) * per_task, n_queries); ++q) {
        float* own = scores + q * k;
        int64_t* own_ids = ids + q * k;
        if (data_.vectors == nullptr) {
          for (size_t i = 0; i < k; ++i) {
            own[i] = to_score(estimates[q * n + i], ready_.terms[q]);
            own_ids[i] = id_of(rows[q * n + i]);
          }
        } else {
          const int64_t bad = read(q, estimates + q * n, rows + q * n, room, own, own_ids);
          if (bad != kAllFinite) not_finite.store(bad);
        }
      }
    });
    return not_finite.load();
  }

  struct Room {
    explicit Room(size_t n) : scores(n), rows(n), ids(n) {}

    std::vector<float> scores;
    std::vector<int64_t> rows, ids;
    std::vector<RankedRow> ranked;
  };

  // Reads the vectors of the first kReadFirst times k rows, and of the others those whose estimate, improved by the
  // slack, would be among the k best so far.
  int64_t read(size_t q, const float* estimates, const int64_t* rows, Room& room, float* scores, int64_t* ids) const {
    const size_t n = sizes_.n_estimated, k = sizes_.k;
    const bool rising = data_.encoder.metric == VectorMetric::kEuclidean;
    const RowScorer scorer(kernels_.vectors, *data_.vectors, data_.encoder.metric);
    const float* query = ready_.padded.data() + q * stride_;
    const float square = scorer.square(query);
    const size_t n_first = std::isinf(plan_.slack) ? n : std::min(kReadFirst * k, n);
    std::copy_n(rows, n_first, room.rows.begin());
    int64_t bad = score_some(scorer, query, square, room, 0, n_first);
    if (bad != kAllFinite) return bad;
    size_t n_read = n_first;
    if (n_first < n) {
      std::vector<float> order(room.scores.begin(), room.scores.begin() + static_cast<std::ptrdiff_t>(n_first));
      const auto last = order.begin() + static_cast<std::ptrdiff_t>(k - 1);
      rising ? std::nth_element(order.begin(), last, order.end())
             : std::nth_element(order.begin(), last, order.end(), std::greater<>());
      for (size_t i = n_first; i < n; ++i) {
        const float hoped = to_score(estimates[i], ready_.terms[q]);
        const bool is_hopeful = rising ? hoped - plan_.slack <= *last : hoped + plan_.slack >= *last;
        if (is_hopeful) room.rows[n_read++] = rows[i];
      }
      bad = score_some(scorer, query, square, room, n_first, n_read);
    }
    for (size_t i = 0; i < n_read; ++i) room.ids[i] = id_of(room.rows[i]);
    rank_best(room.scores.data(), room.rows.data(), room.ids.data(), n_read, rising, k, room.ranked, scores, ids);
    return bad;
  }

  int64_t score_some(const RowScorer& scorer, const float* query, float square, Room& room, size_t begin,
                     size_t end) const {
    if (data_.checks != nullptr) {
      for (size_t i = begin; i < end; ++i) {
        if (room.rows[i] == kNoRow) continue;
        data_.checks->require(data_.vectors->row(static_cast<size_t>(room.rows[i])), data_.vectors->row_bytes());
      }
    }
    return scorer.score(query, square, room.rows.data() + begin, end - begin, room.scores.data() + begin);
  }

  int64_t id_of(int64_t row) const noexcept { return row == kNoRow || data_.ids == nullptr ? row : data_.ids[row]; }

  const FunnelKernels& kernels_;
  const FunnelData& data_;
  const FunnelPlan& plan_;
  const FunnelSizes& sizes_;
  size_t n_threads_;
  Encoder encoder_;
  size_t n_dims_, stride_;
  Prepared ready_;
};

}  // namespace

FunnelSizes::FunnelSizes(const FunnelData& data, const FunnelPlan& plan, size_t wanted) noexcept {
  const size_t n_kept = data.vectors == nullptr ? wanted : std::max(plan.n_rescored, wanted);
  const size_t n_first = plan.by_codes ? std::max(plan.n_candidates, n_kept) : kScannedForEach * n_kept;
  n_candidates = std::min(n_first, data.codes.n_rows);
  n_estimated = std::min(n_kept, n_candidates);
  k = std::min(wanted, n_estimated);
}

FunnelOutcome search_funnel(const FunnelKernels& kernels, const FunnelData& data, const FunnelPlan& plan,
                            const FunnelSizes& sizes, const float* queries, size_t n_queries, const int64_t* candidates,
                            size_t n_threads, float* scores, int64_t* ids) {
  const size_t step = std::max<size_t>(kMostPairs / std::max<size_t>(sizes.n_candidates, 1), 1);
  for (size_t first = 0; first < n_queries; first += step) {
    Search search(kernels, data, plan, sizes, n_threads);
    const int64_t* own = candidates == nullptr ? nullptr : candidates + first * sizes.n_candidates;
    const FunnelOutcome outcome = search.run(queries + first * data.encoder.n_dims, std::min(step, n_queries - first),
                                             own, scores + first * sizes.k, ids + first * sizes.k);
    if (outcome.query != kAllFinite) return {outcome.query + static_cast<int64_t>(first), kAllFinite};
    if (outcome.row != kAllFinite) return outcome;
  }
  return {kAllFinite, kAllFinite};
}

}  // namespace hashkit
