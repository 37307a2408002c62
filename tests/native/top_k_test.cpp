// TopK against sorting everything.
#include "reference.hpp"

namespace {

using namespace hashkit;

// Pushes in the given order what limit_of lets through; the answer must be that of sorting everything.
template <class Limit>
void check_top_k(const std::vector<Neighbor>& pushed, size_t k, int n_bits, const Limit& limit_of) {
  TopK top_k(k, n_bits);
  for (const Neighbor& neighbor : pushed) {
    if (neighbor.distance <= limit_of(top_k)) top_k.push(neighbor.row, neighbor.distance);
  }
  std::vector<Neighbor> expected = pushed;
  std::sort(expected.begin(), expected.end());
  expected.resize(std::min(k, expected.size()));
  CHECK(reference::equal(top_k.take(), expected), "k = ", k, ", ", pushed.size(), " pushed, ", n_bits, " bits");
}

}  // namespace

TEST(top_k_is_sorting) {
  std::mt19937_64 random(0);
  for (int n_bits : {1, 2, 8, 64, 4096}) {
    for (size_t n : {0, 1, 2, 10, 63, 64, 65, 300, 2000}) {
      std::vector<Neighbor> ascending;
      for (size_t i = 0; i < n; ++i) {
        ascending.push_back(
            {static_cast<int32_t>(random() % static_cast<uint64_t>(n_bits + 1)), static_cast<int64_t>(i)});
      }
      std::vector<Neighbor> shuffled = ascending, nearer = ascending, farther = ascending;
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      std::sort(nearer.rbegin(), nearer.rend());
      std::sort(farther.begin(), farther.end());
      for (size_t k : {1, 2, 3, 10, 64, 100, 5000}) {
        for (const auto& order : {ascending, shuffled, nearer, farther}) {
          check_top_k(order, k, n_bits, [&](const TopK&) { return n_bits; });
          check_top_k(order, k, n_bits, [](const TopK& top_k) { return top_k.limit(); });
        }
        check_top_k(ascending, k, n_bits, [](const TopK& top_k) { return top_k.ascending_limit(); });
      }
    }
  }
}
