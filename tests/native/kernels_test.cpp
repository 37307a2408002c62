// Every kernel of every instruction set against its slow twin, on memory whose borders are watched.
#include <climits>
#include <cmath>
#include <limits>

#include "reference.hpp"

namespace {

using namespace hashkit;
using reference::Data;

std::vector<size_t> widths() {
  std::vector<size_t> all = {63, 64, 65, 96, 100, 127, 128, 129, 255, 256, 511, 512};
  for (size_t n_bytes = 1; n_bytes <= 40; ++n_bytes) all.push_back(n_bytes);
  return all;
}

// Around every number of lanes and blocks that a kernel may work in.
std::vector<size_t> counts() {
  return {0,  1,  2,  3,  4,  5,  7,  8,   9,   15,  16,  17,  31,  32,  33,  47, 48,
          49, 63, 64, 65, 95, 96, 97, 127, 128, 129, 255, 256, 257, 511, 512, 513};
}

std::vector<int> limits_of(size_t n_bytes) {
  const int n_bits = static_cast<int>(8 * n_bytes);
  return {INT_MIN, -2,  -1,  0,   1,   2,          n_bits / 2 - 2, n_bits / 2, 127,   128,   253,    254,
          255,     256, 257, 511, 512, n_bits - 1, n_bits,         n_bits + 1, 65535, 65536, INT_MAX};
}

std::string case_name(const KernelTable& kernels, size_t n_codes, size_t n_bytes, Data data) {
  return check::text(isa_name(kernels.isa), ", ", n_codes, " codes of ", n_bytes, " bytes, ", reference::name_of(data));
}

struct Case {
  Guarded<uint8_t> query;
  Guarded<uint8_t> codes;
  CodesView view;

  Case(size_t n_queries, size_t n_codes, size_t n_bytes, Data data, Place place)
      : query(n_queries * n_bytes, place), codes(n_codes * n_bytes, place), view{codes.data(), n_codes, n_bytes} {
    reference::fill_codes(data, codes.data(), n_codes, n_bytes, 100 * n_codes + n_bytes);
    reference::fill_codes(data, query.data(), n_queries, n_bytes, 7 * n_codes + n_bytes + 1);
  }
};

// Calls use(kernels, case) for every instruction set, width and count, kinds of data in turn, and every alignment.
template <class Use>
void for_cases(const Use& use) {
  for (Isa isa : reference::tested_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    CHECK(kernels.isa == isa, isa_name(isa));
    for (size_t n_bytes : widths()) {
      for (size_t n_codes : counts()) {
        const Data data = reference::kAllData[(n_codes + n_bytes) % 4];
        use(kernels, Case(1, n_codes, n_bytes, Data::kRandom, Place::end()), Data::kRandom);
        use(kernels, Case(1, n_codes, n_bytes, data, Place::end()), data);
        use(kernels, Case(1, n_codes, n_bytes, data, Place::start((n_codes + n_bytes) % 64)), data);
      }
      for (size_t offset = 0; offset < 64; ++offset) {
        use(kernels, Case(1, 37, n_bytes, Data::kRandom, Place::start(offset)), Data::kRandom);
      }
    }
  }
}

std::vector<Neighbor> neighbors(const Hit* hits, size_t n_hits) {
  std::vector<Neighbor> found;
  for (size_t i = 0; i < n_hits; ++i) found.push_back({hits[i].distance, hits[i].row});
  return found;
}

// Only those within the limit; both in the order of the rows.
std::vector<Neighbor> cut(const std::vector<Neighbor>& all, int limit) {
  std::vector<Neighbor> found;
  for (const Neighbor& neighbor : all) {
    if (neighbor.distance <= limit) found.push_back(neighbor);
  }
  return found;
}

// One scan_tile of `n_queries` against their twins, each query under its own limit.
void check_tile(const KernelTable& kernels, size_t n_queries, size_t n_codes, size_t n_bytes, Data data, Place place,
                size_t limits_from) {
  const Case group(n_queries, n_codes, n_bytes, data, place);
  Guarded<uint8_t> tile(kernels.tile_bytes(n_bytes), Place::start());  // 64-byte aligned, as promised to the kernel
  Guarded<uint8_t> prepared(n_queries * kernels.query_bytes(n_bytes), Place::start());
  std::memset(tile.data(), 0xA5, tile.size());  // what an earlier tile may have left
  std::memset(prepared.data(), 0xA5, prepared.size());
  kernels.fill_tile(group.codes.data(), n_codes, n_bytes, tile.data());
  for (size_t q = 0; q < n_queries; ++q) {
    kernels.fill_query(group.query.data() + q * n_bytes, n_bytes, prepared.data() + q * kernels.query_bytes(n_bytes));
  }
  Guarded<int> limits(n_queries, Place::end());
  const std::vector<int> choices = limits_of(n_bytes);
  for (size_t q = 0; q < n_queries; ++q) limits[q] = choices[(limits_from + 5 * q) % choices.size()];
  Guarded<Hit> hits(n_queries * n_codes, Place::end());
  const size_t n_hits =
      kernels.scan_tile(prepared.data(), n_queries, tile.data(), n_codes, n_bytes, limits.data(), hits.data());
  CHECK(n_hits <= hits.size(), case_name(kernels, n_codes, n_bytes, data));
  const Hit* next = hits.data();  // hits stand in the order of (query, row)
  for (size_t q = 0; q < n_queries; ++q) {
    const Hit* first = next;
    while (next != hits.data() + n_hits && next->query == q) ++next;
    const auto expected = reference::within(group.query.data() + q * n_bytes, group.view, limits[q]);
    CHECK(reference::equal(neighbors(first, static_cast<size_t>(next - first)), expected),
          case_name(kernels, n_codes, n_bytes, data), ", query ", q, " of ", n_queries, ", limit ", limits[q]);
  }
  CHECK(next == hits.data() + n_hits, "hits out of order; ", case_name(kernels, n_codes, n_bytes, data));
}

// n_bits around every block that a packing kernel may work in, up to the longest code.
std::vector<size_t> lengths() {
  std::vector<size_t> all = {255, 256, 257, 511, 512, 513, 1000, 4095, 4096};
  for (size_t n_bits = 1; n_bits <= 140; ++n_bits) all.push_back(n_bits);
  return all;
}

template <class Value>
using Pack = bool (*)(const Value* values, size_t n_bits, uint8_t* code);

template <class Value, class IsSet>
void check_pack(Pack<Value> pack, const std::vector<Value>& pool, const IsSet& is_set, const std::string& name) {
  for (size_t n_bits : lengths()) {
    for (Place place : {Place::end(), Place::start(n_bits % 16 * sizeof(Value))}) {
      Guarded<Value> values(n_bits, place);
      std::mt19937_64 random(n_bits);
      for (size_t i = 0; i < n_bits; ++i) values[i] = pool[random() % pool.size()];
      Guarded<uint8_t> code((n_bits + 7) / 8, place), expected(code.size(), place);
      std::memset(code.data(), 0xA5, code.size());
      std::memset(expected.data(), 0, expected.size());
      for (size_t i = 0; i < n_bits; ++i) {
        if (is_set(values[i])) expected[i / 8] = static_cast<uint8_t>(expected[i / 8] | 0x80u >> i % 8);
      }
      pack(values.data(), n_bits, code.data());
      CHECK(std::memcmp(code.data(), expected.data(), code.size()) == 0, name, ", ", n_bits, " bits");
    }
  }
}

// One NaN among numbers is found wherever it stands, and none where there is none.
template <class Value>
void check_nan_is_found(Pack<Value> pack, Value number, Value nan, const std::string& name) {
  std::vector<uint8_t> code(512);
  for (size_t n_bits : lengths()) {
    Guarded<Value> values(n_bits, Place::end());
    for (size_t i = 0; i < n_bits; ++i) values[i] = number;
    CHECK(!pack(values.data(), n_bits, code.data()), name, ", ", n_bits, " bits");
    for (size_t at = 0; at < n_bits; at += n_bits < 600 ? 1 : 31) {
      values[at] = nan;
      CHECK(pack(values.data(), n_bits, code.data()), name, ", ", n_bits, " bits, NaN at ", at);
      values[at] = number;
    }
  }
}

}  // namespace

TEST(kernel_tables_are_complete) {
  for (Isa isa : reference::tested_isas()) CHECK(is_complete(kernel_table(isa)), isa_name(isa));
}

TEST(kernel_distances) {
  for_cases([](const KernelTable& kernels, const Case& c, Data data) {
    Guarded<uint16_t> found(c.view.n_codes, Place::end());
    kernels.distances(c.query.data(), c.codes.data(), c.view.n_codes, c.view.n_bytes, found.data());
    for (size_t row = 0; row < c.view.n_codes; ++row) {
      const int expected = reference::distance(c.query.data(), c.view.row(row), c.view.n_bytes);
      CHECK(found[row] == expected, case_name(kernels, c.view.n_codes, c.view.n_bytes, data), ", row ", row);
    }
  });
}

TEST(kernel_scan) {
  for_cases([](const KernelTable& kernels, const Case& c, Data data) {
    const auto all = reference::within(c.query.data(), c.view, INT_MAX);
    Guarded<Hit> hits(c.view.n_codes, Place::end());
    for (int limit : limits_of(c.view.n_bytes)) {
      const size_t n_hits =
          kernels.scan(c.query.data(), c.codes.data(), c.view.n_codes, c.view.n_bytes, limit, hits.data());
      CHECK(n_hits <= hits.size() && reference::equal(neighbors(hits.data(), n_hits), cut(all, limit)),
            case_name(kernels, c.view.n_codes, c.view.n_bytes, data), ", limit ", limit);
    }
  });
}

TEST(kernel_tile_sizes) {
  for (Isa isa : reference::tested_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    for (size_t n_bytes = 1; n_bytes <= kMaxBytes; ++n_bytes) {
      const size_t n_codes = kernels.tile_codes(n_bytes);
      CHECK(n_codes >= 1 && n_codes <= kMaxTileCodes, isa_name(isa), ", ", n_bytes, " bytes: ", n_codes, " codes");
      CHECK(kernels.tile_bytes(n_bytes) >= n_codes * n_bytes, isa_name(isa), ", ", n_bytes, " bytes");
    }
  }
}

TEST(kernel_scan_tile) {
  for (Isa isa : reference::tested_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    for (size_t n_bytes : widths()) {
      const size_t full = kernels.tile_codes(n_bytes);
      size_t turn = n_bytes;
      for (size_t n_queries : {1, 2, 3, 7}) {
        for (size_t n_codes : counts()) {
          if (n_codes > full) continue;
          const Place place = turn % 2 ? Place::end() : Place::start(turn % 64);
          check_tile(kernels, n_queries, n_codes, n_bytes, reference::kAllData[turn / 2 % 4], place, turn);
          ++turn;
        }
      }
      for (size_t n_codes : {full - 1, full}) {
        for (Place place : {Place::end(), Place::start(turn % 64)}) {
          check_tile(kernels, 5, n_codes, n_bytes, reference::kAllData[turn % 4], place, turn);
          ++turn;
        }
      }
    }
  }
}

// Every limit by itself, on every kind of data.
TEST(kernel_scan_tile_limits) {
  for (Isa isa : reference::tested_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    for (size_t n_bytes : {1, 2, 7, 8, 16, 31, 32, 33, 64, 512}) {
      const size_t n_choices = limits_of(n_bytes).size();
      for (size_t from = 0; from < n_choices; ++from) {
        const size_t n_codes = std::min<size_t>(33, kernels.tile_codes(n_bytes));
        for (Data data : reference::kAllData) check_tile(kernels, 1, n_codes, n_bytes, data, Place::end(), from);
      }
    }
  }
}

TEST(kernel_pack_float32) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float tiny = std::numeric_limits<float>::denorm_min(), most = std::numeric_limits<float>::max();
  const std::vector<float> pool = {0.0f, -0.0f, 1.0f, -1.0f, tiny, -tiny, most, -most, infinity, -infinity, nan, -nan};
  for (Isa isa : reference::tested_isas()) {
    check_pack(kernel_table(isa).pack_float32, pool, [](float value) { return value > 0.0f; }, isa_name(isa));
    check_nan_is_found(kernel_table(isa).pack_float32, infinity, -nan, isa_name(isa));
  }
}

TEST(kernel_pack_float16) {
  // The borders of binary16 more often than the rest: zeros, smallest, largest, infinities, NaN of both signs.
  const std::vector<uint16_t> borders = {0x0000, 0x8000, 0x0001, 0x8001, 0x7BFF, 0xFBFF, 0x7C00,
                                         0xFC00, 0x7C01, 0xFC01, 0x7FFF, 0xFFFF, 0x3C00, 0xBC00};
  std::vector<uint16_t> everything(65536);
  for (size_t i = 0; i < everything.size(); ++i) everything[i] = static_cast<uint16_t>(i);
  const auto is_set = [](uint16_t half) {
    const bool is_nan = (half & 0x7C00) == 0x7C00 && (half & 0x03FF) != 0;
    return (half & 0x8000) == 0 && half != 0 && !is_nan;
  };
  for (Isa isa : reference::tested_isas()) {
    check_pack(kernel_table(isa).pack_float16, borders, is_set, isa_name(isa));
    check_pack(kernel_table(isa).pack_float16, everything, is_set, isa_name(isa));
    for (uint16_t nan : {0x7C01, 0xFFFF}) {
      check_nan_is_found(kernel_table(isa).pack_float16, uint16_t{0xFC00}, nan, isa_name(isa));
    }
  }
}

TEST(kernel_pack_bytes) {
  const std::vector<uint8_t> pool = {0, 0, 0, 0, 1, 2, 127, 128, 255};
  for (Isa isa : reference::tested_isas()) {
    check_pack(kernel_table(isa).pack_bytes, pool, [](uint8_t byte) { return byte != 0; }, isa_name(isa));
  }
}
