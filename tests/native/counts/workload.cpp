// One fixed piece of work for every kernel, each between two of callgrind's dumps: see check.py beside this file.
#include <valgrind/callgrind.h>

#include <cstdio>

#include "reference.hpp"

namespace {

using namespace hashkit;
using reference::Data;

// Runs work() once for itself, so that nothing is counted that happens only the first time, and once to be counted.
template <class Work>
void count(const std::string& name, const Work& work) {
  work();
  CALLGRIND_ZERO_STATS;
  work();
  CALLGRIND_DUMP_STATS_AT(name.c_str());
}

struct Workload {
  std::vector<uint8_t> codes, queries;
  CodesView stored, asked;

  Workload(size_t n_codes, size_t n_queries, size_t n_bytes)
      : codes(n_codes * n_bytes),
        queries(n_queries * n_bytes),
        stored{codes.data(), n_codes, n_bytes},
        asked{queries.data(), n_queries, n_bytes} {
    reference::fill_codes(Data::kRandom, codes.data(), n_codes, n_bytes, 1);
    reference::fill_codes(Data::kRandom, queries.data(), n_queries, n_bytes, 2);
  }
};

void count_rows_of(const KernelTable& kernels, const std::string& name, const Workload& work) {
  const size_t n_codes = work.stored.n_codes, n_bytes = work.stored.n_bytes;
  const int limit = static_cast<int>(3 * n_bytes);  // of 8 * n_bytes: few codes pass
  std::vector<uint16_t> distances(n_codes);
  std::vector<Hit> hits(n_codes);
  count(name + " distances",
        [&] { kernels.distances(work.asked.data, work.stored.data, n_codes, n_bytes, distances.data()); });
  count(name + " scan", [&] { kernels.scan(work.asked.data, work.stored.data, n_codes, n_bytes, limit, hits.data()); });
}

void count_tiles_of(const KernelTable& kernels, const std::string& name, const Workload& work) {
  const size_t n_queries = work.asked.n_codes, n_bytes = work.stored.n_bytes;
  const size_t n_codes = std::min<size_t>(kernels.tile_codes(n_bytes), 512), query_bytes = kernels.query_bytes(n_bytes);
  Guarded<uint8_t> tile(kernels.tile_bytes(n_bytes), Place::start()), prepared(n_queries * query_bytes, Place::start());
  const std::vector<int> limits(n_queries, static_cast<int>(3 * n_bytes));
  std::vector<Hit> hits(n_queries * n_codes);
  count(name + " fill_tile", [&] { kernels.fill_tile(work.stored.data, n_codes, n_bytes, tile.data()); });
  count(name + " fill_query", [&] {
    for (size_t q = 0; q < n_queries; ++q) kernels.fill_query(work.asked.row(q), n_bytes, &prepared[q * query_bytes]);
  });
  count(name + " scan_tile", [&] {
    kernels.scan_tile(prepared.data(), n_queries, tile.data(), n_codes, n_bytes, limits.data(), hits.data());
  });
}

void count_search_of(const KernelTable& kernels, const std::string& name, const Workload& work) {
  constexpr size_t k = 10;
  std::vector<int32_t> distances(work.asked.n_codes * k);
  std::vector<int64_t> rows(work.asked.n_codes * k);
  count(name + " k_nearest",
        [&] { scan_k_nearest(kernels, work.stored, {}, work.asked, k, 1, distances.data(), rows.data()); });
}

template <class Value>
void count_pack_of(bool (*pack)(const Value*, size_t, uint8_t*), const std::string& name) {
  constexpr size_t kBits = 1000;
  std::vector<uint8_t> code((kBits + 7) / 8);
  std::vector<Value> values(kBits);
  std::mt19937_64 random(3);
  for (Value& value : values) value = static_cast<Value>(random() % 3);
  count(name, [&] { pack(values.data(), kBits, code.data()); });
}

}  // namespace

int main() {
  for (Isa isa : supported_isas()) {
    const KernelTable& kernels = kernel_table(isa);
    const std::string name = isa_name(isa);
    for (size_t n_bytes : {4, 8, 16, 32, 64}) {
      const Workload work(4096, 32, n_bytes);
      const std::string wide = name + " " + std::to_string(8 * n_bytes);
      count_rows_of(kernels, wide, work);
      count_tiles_of(kernels, wide, work);
      count_search_of(kernels, wide, work);
    }
    count_pack_of(kernels.pack_float32, name + " pack_float32");
    count_pack_of(kernels.pack_float16, name + " pack_float16");
    count_pack_of(kernels.pack_bytes, name + " pack_bytes");
  }
}
