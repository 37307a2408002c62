// Names and choice of instruction sets.
#include <algorithm>

#include "check.hpp"
#include "kernels/kernel_table.hpp"

using namespace hashkit;

namespace {

// HASHKIT_ISA set for one scope.
class Forced {
 public:
  explicit Forced(const char* name) {
    const char* before = std::getenv("HASHKIT_ISA");
    had_ = before != nullptr;
    if (had_) before_ = before;
    setenv("HASHKIT_ISA", name, 1);
  }
  ~Forced() {
    if (had_) {
      setenv("HASHKIT_ISA", before_.c_str(), 1);
    } else {
      unsetenv("HASHKIT_ISA");
    }
  }

 private:
  bool had_;
  std::string before_;
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
  const Forced nothing("");
  CHECK(default_isa() == supported_isas().back());
}

TEST(cpu_bad_names_are_refused) {
  CHECK_THROWS(isa_from_name("avx9"), std::invalid_argument, "unknown instruction set 'avx9'");
  CHECK_THROWS(isa_from_name("AVX2"), std::invalid_argument,
               "hashkit knows portable, popcnt, neon, avx2, avx512bw, avx512");
  const Forced forced("avx9");
  CHECK_THROWS(default_isa(), std::invalid_argument, "HASHKIT_ISA: unknown");
}

TEST(cpu_unsupported_names_are_refused) {
  const auto isas = supported_isas();
  for (Isa isa : {Isa::kPopcnt, Isa::kNeon, Isa::kAvx2, Isa::kAvx512}) {
    if (std::find(isas.begin(), isas.end(), isa) != isas.end()) continue;
    CHECK_THROWS(isa_from_name(isa_name(isa)), std::invalid_argument, "is not supported by this machine");
  }
}
