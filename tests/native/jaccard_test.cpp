// Search by Jaccard distance against comparing fractions crosswise and sorting everything.
#include "reference.hpp"
#include "jaccard/jaccard.hpp"
#include "jaccard/limits.hpp"
#include "jaccard/sketches.hpp"

namespace {

using namespace hashkit;
using reference::Data;

// What differs, as a share of the union.
struct Fraction {
  int64_t differ;
  int64_t either;
  int64_t row;
};

bool operator<(const Fraction& a, const Fraction& b) {
  const int64_t left = a.differ * b.either, right = b.differ * a.either;
  return left != right ? left < right : a.row < b.row;
}

std::vector<Fraction> sorted_fractions(const uint8_t* query, CodesView codes, RowSet allowed) {
  const std::vector<uint8_t> zero(codes.n_bytes);
  const int popcount = reference::distance(query, zero.data(), codes.n_bytes);
  std::vector<Fraction> all;
  for (size_t row = 0; row < codes.n_codes; ++row) {
    if (!allowed.has(row)) continue;
    const int differ = reference::distance(query, codes.row(row), codes.n_bytes);
    const int either = (popcount + reference::distance(codes.row(row), zero.data(), codes.n_bytes) + differ) / 2;
    all.push_back({differ, std::max(either, 1), static_cast<int64_t>(row)});
  }
  std::sort(all.begin(), all.end());
  return all;
}

double as_double(const Fraction& fraction) {
  return static_cast<double>(fraction.differ) / static_cast<double>(fraction.either);
}

// Codes, the same in the order of popcounts, and queries, all of them before forbidden pages.
struct Sets {
  Guarded<uint8_t> codes, sorted, queries;
  Guarded<int64_t> starts, rows;
  CodesView stored, asked;
  PopcountOrder order;

  Sets(const KernelTable& kernels, size_t n_codes, size_t n_queries, size_t n_bytes, Data data)
      : codes(n_codes * n_bytes, Place::end()),
        sorted(n_codes * n_bytes, Place::end()),
        queries(n_queries * n_bytes, Place::end()),
        starts(8 * n_bytes + 2, Place::end()),
        rows(n_codes, Place::end()),
        stored{codes.data(), n_codes, n_bytes},
        asked{queries.data(), n_queries, n_bytes},
        order{{sorted.data(), n_codes, n_bytes}, starts.data(), rows.data()} {
    reference::fill_codes(data, codes.data(), n_codes, n_bytes, n_codes + n_bytes);
    reference::fill_codes(data, queries.data(), n_queries, n_bytes, 7 * n_codes + n_bytes);
    sort_by_popcount(kernels, stored, 2, sorted.data(), starts.data(), rows.data());
  }
};

void check_search(const KernelTable& kernels, const Sets& sets, size_t n_threads, RowSet allowed = {}) {
  const size_t n_queries = sets.asked.n_codes;
  std::vector<std::vector<Fraction>> expected;
  for (size_t q = 0; q < n_queries; ++q) {
    expected.push_back(sorted_fractions(sets.asked.row(q), sets.stored, allowed));
  }
  const size_t n_allowed = expected[0].size();
  for (size_t n_sketch_bytes : {sets.stored.n_bytes, (sets.stored.n_bytes + 1) / 2}) {
    Guarded<uint8_t> sketches(sets.stored.n_codes * n_sketch_bytes, Place::end());
    fold_codes(sets.order.codes, n_sketch_bytes, 2, sketches.data());
    const CodesView folded{sketches.data(), sets.stored.n_codes, n_sketch_bytes};
    for (size_t k : {size_t{1}, std::min<size_t>(30, n_allowed), n_allowed}) {
      Guarded<double> distances(n_queries * k, Place::end());
      Guarded<int64_t> rows(n_queries * k, Place::end());
      jaccard_k_nearest(kernels, sets.order, folded, allowed, sets.asked, k, n_threads, distances.data(), rows.data());
      for (size_t i = 0; i < n_queries * k; ++i) {
        const Fraction& wanted = expected[i / k][i % k];
        CHECK(rows[i] == wanted.row && distances[i] == as_double(wanted), isa_name(kernels.isa), ", place ", i % k,
              " of query ", i / k, ", ", sets.stored.n_bytes, " bytes, sketches of ", n_sketch_bytes, ", k = ", k, ", ",
              n_threads, " threads");
      }
    }
  }
  for (double radius : {0.0, 0.3, 0.8, 2.0}) {
    const WithinJaccard found = jaccard_within_radius(kernels, sets.order, allowed, sets.asked, radius, n_threads);
    CHECK(found.offsets.size() == n_queries + 1 && found.rows.size() == found.distances.size());
    size_t place = 0;
    for (size_t q = 0; q < n_queries; ++q) {
      CHECK(found.offsets[q] == static_cast<int64_t>(place));
      for (const Fraction& wanted : expected[q]) {
        if (as_double(wanted) > radius) break;
        CHECK(
            place < found.rows.size() && found.rows[place] == wanted.row && found.distances[place] == as_double(wanted),
            isa_name(kernels.isa), ", query ", q, ", radius ", radius);
        ++place;
      }
    }
    CHECK(place == found.rows.size());
  }
}

}  // namespace

TEST(jaccard_is_sorting_fractions) {
  for (Isa isa : reference::tested_isas()) {
    for (size_t n_bytes : {1, 8, 9, 16, 33}) {
      for (Data data : reference::kAllData) {
        for (size_t n_queries : {1, 3, 6}) {
          check_search(kernel_table(isa), Sets(kernel_table(isa), 200 + n_bytes, n_queries, n_bytes, data),
                       1 + n_queries % 3);
        }
      }
    }
  }
}

TEST(jaccard_over_many_segments) {
  for (Isa isa : reference::tested_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    check_search(kernels, Sets(kernels, 5001, 5, 8, Data::kRandom), 1);
    check_search(kernels, Sets(kernels, 5001, 1, 8, Data::kFew), 1);
    check_search(kernels, Sets(kernels, 1500, 5, 256, Data::kRandom), 2);
  }
}

TEST(jaccard_of_one_query_by_many_threads) {
  const KernelTable& kernels = kernel_table(reference::tested_isas().back());
  check_search(kernels, Sets(kernels, 70'000, 1, 256, Data::kNear), 2);
}

TEST(jaccard_among_allowed_rows) {
  for (Isa isa : reference::tested_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    const Sets sets(kernels, 700, 5, 16, Data::kRandom);
    Guarded<uint8_t> bits((700 + 7) / 8, Place::end());
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint8_t>(i + 1 == bits.size() ? 5 : 37 * i);
    check_search(kernels, sets, 1, {bits.data()});
  }
}

TEST(jaccard_of_nothing) {
  const KernelTable& kernels = kernel_table(Isa::kPortable);
  const Sets sets(kernels, 0, 3, 8, Data::kRandom);
  CHECK(jaccard_within_radius(kernels, sets.order, {}, sets.asked, 1, 2).offsets == std::vector<int64_t>(4));
  CHECK(jaccard_k_nearest(kernels, sets.order, sets.order.codes, {}, sets.asked, 0, 2, nullptr, nullptr) == 0);
}

// Every pair of popcounts, every Hamming distance that they can have.
TEST(limits_are_those_of_every_distance) {
  const Measure measures[] = {{1, 1, 1}, {2, 1, 1}, {1, 1, 0}, {1, 0, 1, false}, {10, 9, 1}, {1, 7, 2, false}};
  constexpr int kMost = 24;
  for (const Measure& measure : measures) {
    for (double threshold : {0.0, 0.1, 0.5, 2.0 / 3, 0.7, 0.75, 0.9, 1.0}) {
      for (bool is_similarity : {false, true}) {
        const NearLimits limits(measure, threshold, is_similarity, kMost / 8);
        for (int a = 0; a <= kMost; ++a) {
          int most = -1;
          for (int b = 0; b <= kMost; ++b) {
            for (int hamming = std::abs(a - b); hamming <= a + b; hamming += 2) {
              const bool is_near = is_similarity ? measure.similarity(a, b, hamming) >= threshold
                                                 : measure.distance(a, b, hamming) <= threshold;
              CHECK(is_near == (hamming <= limits.at(a, b)), "popcounts ", a, " ", b, ", distance ", hamming);
              if (is_near) most = std::max(most, hamming);
            }
            const int within = limits.within(a, 0, b);
            CHECK(within >= most, "popcounts ", a, " and up to ", b);
          }
        }
      }
    }
  }
}
