// Values to codes and back, by rows and threads.
#include "reference.hpp"
#include "core/packing.hpp"

namespace {

using namespace hashkit;

}  // namespace

TEST(packing_is_undone_by_unpacking) {
  for (Isa isa : reference::tested_isas()) {
    for (size_t n_bits : {1, 7, 8, 9, 31, 32, 64, 100, 257, 4096}) {
      for (size_t n_rows : {0, 1, 5, 3000}) {
        if (n_bits * n_rows > 400'000) continue;
        Guarded<uint8_t> bits(n_rows * n_bits, Place::end()), again(n_rows * n_bits, Place::end());
        Guarded<uint8_t> codes(n_rows * ((n_bits + 7) / 8), Place::end());
        std::mt19937_64 random(n_bits);
        for (size_t i = 0; i < bits.size(); ++i) bits[i] = random() % 2;
        pack_rows(kernel_table(isa), bits.data(), n_rows, n_bits, 2, codes.data());
        unpack_rows(codes.data(), n_rows, n_bits, 2, again.data());
        CHECK(n_rows == 0 || std::memcmp(bits.data(), again.data(), bits.size()) == 0, isa_name(isa), ", ", n_rows,
              " rows of ", n_bits, " bits");
      }
    }
  }
}

// More values than one task takes, so that rows are shared among threads.
TEST(packing_by_many_threads) {
  constexpr size_t kRows = 40'000, kBits = 64;
  std::vector<float> values(kRows * kBits);
  std::mt19937_64 random(1);
  for (float& value : values) value = random() % 2 ? 1.0f : -1.0f;
  for (Isa isa : reference::tested_isas()) {
    std::vector<uint8_t> one(kRows * kBits / 8), many(one.size());
    pack_rows(kernel_table(isa), values.data(), kRows, kBits, 1, one.data());
    pack_rows(kernel_table(isa), values.data(), kRows, kBits, 4, many.data());
    CHECK(one == many, isa_name(isa));
  }
}
