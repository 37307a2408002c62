// Names and choice of instruction sets.
#include <algorithm>

#include "check.hpp"
#include "kernels/kernel_table.hpp"

using namespace hashkit;

namespace {

// As if HASHKIT_ISA were set, for one scope.
class Forced {
 public:
  explicit Forced(const char* name) { force_isa(name); }
  ~Forced() { force_isa(std::getenv("HASHKIT_ISA")); }
};

}  // namespace

TEST(cpu_portable_is_always_there) {
  const auto isas = supported_isas();
  CHECK(!isas.empty() && isas.front() == Isa::kPortable);
}

TEST(cpu_every_supported_name_is_found_again) {
  for (Isa isa : supported_isas()) {
    CHECK(isa_from_name(isa_name(isa)) == isa, isa_name(isa));
    const Forced forced(isa_name(isa));
    CHECK(default_isa() == isa, isa_name(isa));
  }
}

TEST(cpu_default_is_the_most_preferred) {
  for (const char* name : {static_cast<const char*>(nullptr), ""}) {
    const Forced nothing(name);
    CHECK(default_isa() == supported_isas().back());
  }
}

TEST(cpu_bad_names_are_refused) {
  CHECK_THROWS(isa_from_name("avx9"), std::invalid_argument, "unknown instruction set 'avx9'");
  CHECK_THROWS(isa_from_name("AVX2"), std::invalid_argument,
               "known are portable, popcnt, neon, avx2, avx512bw, avx512");
  CHECK_THROWS(force_isa("avx9"), std::invalid_argument, "HASHKIT_ISA: unknown");
}

TEST(cpu_unsupported_names_are_refused) {
  const auto isas = supported_isas();
  for (Isa isa : {Isa::kPopcnt, Isa::kNeon, Isa::kAvx2, Isa::kAvx512}) {
    if (std::find(isas.begin(), isas.end(), isa) != isas.end()) continue;
    CHECK_THROWS(isa_from_name(isa_name(isa)), std::invalid_argument, "is not supported by this machine");
  }
}
