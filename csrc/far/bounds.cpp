#include "far/bounds.hpp"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <utility>
#include <vector>

#include "core/packing.hpp"
#include "parallel/parallel_for.hpp"

namespace hashkit {
namespace {

constexpr size_t kBoundsPerPoll = 256;

// What the bounds of one cell are made of; serves one cell after the other.
class CellBounds {
 public:
  CellBounds(const KernelTable& kernels, const Cells& cells, CodesView codes, Bounds& bounds)
      : kernels_(kernels), cells_(cells), codes_(codes), bounds_(bounds), bits_(8 * codes.n_bytes) {}

  void make(size_t cell) {
    const size_t begin = cells_.starts[cell], n = cells_.starts[cell + 1] - begin;
    const uint8_t* centroid = cells_.centroids.data() + cell * cells_.n_bytes;
    measure(cells_.rows.data() + begin, n, centroid);
    uint16_t* places = bounds_.places.data() + cell * 8 * bounds_.sketch_bytes;
    choose_places(places);
    uint8_t* centroid_sketch = bounds_.centroid_sketches.data() + cell * bounds_.sketch_bytes;
    sketch(centroid, places, centroid_sketch);
    for (size_t i = 0; i < n; ++i) {
      if (i % kBoundsPerPoll == kBoundsPerPoll - 1) poll_stop();
      const auto [distance_of, row] = order_[i];
      uint8_t* to = bounds_.sketches.data() + (begin + i) * bounds_.sketch_bytes;
      sketch(codes_.row(row), places, to);
      bounds_.rows[begin + i] = row;
      bounds_.distances[begin + i] = distance_of;
      const uint16_t sketched = distance_between(kernels_, to, centroid_sketch, bounds_.sketch_bytes);
      bounds_.rests[begin + i] = static_cast<uint16_t>(distance_of - sketched);
    }
    bounds_.reaches[cell] = n == 0 ? uint16_t{0} : order_.back().first;
  }

 private:
  // Counts how many of the codes differ from the centroid in each bit, and puts them in order.
  void measure(const uint32_t* rows, size_t n, const uint8_t* centroid) {
    differing_.assign(cells_.n_bits, 0);
    order_.clear();
    centroid_bits_.resize(bits_.size());
    spread_bytes(centroid, cells_.n_bytes, centroid_bits_.data());
    for (size_t i = 0; i < n; ++i) {
      if (i % kBoundsPerPoll == kBoundsPerPoll - 1) poll_stop();
      const uint8_t* code = codes_.row(rows[i]);
      order_.emplace_back(distance_between(kernels_, code, centroid, cells_.n_bytes), rows[i]);
      spread_bytes(code, cells_.n_bytes, bits_.data());
      for (size_t place = 0; place < cells_.n_bits; ++place) differing_[place] += bits_[place] ^ centroid_bits_[place];
    }
    stoppable_sort(order_.begin(), order_.end());
  }

  void choose_places(uint16_t* places) {
    by_count_.resize(cells_.n_bits);
    std::iota(by_count_.begin(), by_count_.end(), uint16_t{0});
    const auto end = by_count_.begin() + static_cast<std::ptrdiff_t>(8 * bounds_.sketch_bytes);
    std::partial_sort(by_count_.begin(), end, by_count_.end(), [this](uint16_t a, uint16_t b) {
      return differing_[a] != differing_[b] ? differing_[a] > differing_[b] : a < b;
    });
    std::sort(by_count_.begin(), end);
    std::copy(by_count_.begin(), end, places);
  }

  void sketch(const uint8_t* code, const uint16_t* places, uint8_t* to) {
    spread_bytes(code, cells_.n_bytes, bits_.data());
    sketch_bits(bits_.data(), places, bounds_.sketch_bytes, to);
  }

  const KernelTable& kernels_;
  const Cells& cells_;
  CodesView codes_;
  Bounds& bounds_;
  std::vector<uint8_t> bits_, centroid_bits_;
  std::vector<uint32_t> differing_;                   // by bit
  std::vector<uint16_t> by_count_;                    // bits, those that differ most first
  std::vector<std::pair<uint16_t, uint32_t>> order_;  // distance and row of each code
};

}  // namespace

void sketch_bits(const uint8_t* bits, const uint16_t* places, size_t sketch_bytes, uint8_t* sketch) noexcept {
  for (size_t byte = 0; byte < sketch_bytes; ++byte) {
    unsigned value = 0;
    for (size_t bit = 0; bit < 8; ++bit) value |= static_cast<unsigned>(bits[places[8 * byte + bit]]) << (7 - bit);
    sketch[byte] = static_cast<uint8_t>(value);
  }
}

Bounds build_bounds(const KernelTable& kernels, const Cells& cells, CodesView codes, size_t sketch_bytes,
                    size_t n_threads) {
  const size_t n_cells = cells.n_cells(), n_codes = cells.n_codes;
  Bounds bounds{sketch_bytes,
                HugeArray<uint16_t>(n_cells * 8 * sketch_bytes),
                HugeArray<uint8_t>(n_cells * sketch_bytes),
                HugeArray<uint16_t>(n_cells),
                HugeArray<uint32_t>(n_codes),
                HugeArray<uint16_t>(n_codes),
                HugeArray<uint16_t>(n_codes),
                HugeArray<uint8_t>(n_codes * sketch_bytes)};
  std::atomic<size_t> next{0};
  parallel_for(n_threads, n_threads, [&](size_t) {
    CellBounds maker(kernels, cells, codes, bounds);
    for (size_t cell; (cell = next.fetch_add(1, std::memory_order_relaxed)) < n_cells;) {
      poll_stop();
      maker.make(cell);
    }
  });
  return bounds;
}

bool are_plausible(const Bounds& bounds, const Cells& cells) noexcept {
  const uint16_t* places = bounds.places.data();
  return std::all_of(places, places + bounds.places.size(), [&](uint16_t place) { return place < cells.n_bits; });
}

void check_bounds(const Bounds& bounds, const Cells& cells, CodesView codes) {
  std::vector<char> is_seen(codes.n_codes);
  std::vector<uint8_t> bits(8 * codes.n_bytes), sketch(bounds.sketch_bytes);
  const KernelTable& kernels = kernel_table(Isa::kPortable);
  const size_t n_bytes = bounds.sketch_bytes;
  const auto sketch_at = [&](const uint8_t* code, size_t cell) {
    spread_bytes(code, codes.n_bytes, bits.data());
    sketch_bits(bits.data(), bounds.places.data() + cell * 8 * n_bytes, n_bytes, sketch.data());
    return sketch.data();
  };
  const auto require = [&](bool fits) {
    if (!fits) throw_damaged(cells.checks, "its bounds are not those of its codes");
  };
  for (size_t cell = 0; cell < cells.n_cells(); ++cell) {
    const uint8_t* centroid = cells.centroids.data() + cell * codes.n_bytes;
    const uint8_t* centroid_sketch = bounds.centroid_sketches.data() + cell * n_bytes;
    require(std::equal(centroid_sketch, centroid_sketch + n_bytes, sketch_at(centroid, cell)));
    const size_t begin = cells.starts[cell], end = cells.starts[cell + 1];
    for (size_t i = begin; i < end; ++i) {
      if (i % kBoundsPerPoll == 0) poll_stop();
      const size_t row = bounds.rows[i];
      require(row < codes.n_codes && !is_seen[row]);
      is_seen[row] = 1;
      const uint8_t* own = bounds.sketches.data() + i * n_bytes;
      const int from_centroid = distance_between(kernels, codes.row(row), centroid, codes.n_bytes);
      require(std::equal(own, own + n_bytes, sketch_at(codes.row(row), cell)) && bounds.distances[i] == from_centroid &&
              bounds.rests[i] == from_centroid - distance_between(kernels, own, centroid_sketch, n_bytes) &&
              (i == begin || bounds.distances[i - 1] <= bounds.distances[i]) && from_centroid <= bounds.reaches[cell]);
    }
  }
}

}  // namespace hashkit
