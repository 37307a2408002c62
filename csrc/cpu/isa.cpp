#include "cpu/isa.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "cpu/target.hpp"

namespace hashkit {
namespace {

constexpr Isa kAll[] = {Isa::kPortable, Isa::kPopcnt, Isa::kNeon, Isa::kAvx2, Isa::kAvx512bw, Isa::kAvx512};

// No default: a new instruction set without a case here is an error (-Wswitch).
bool supported(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return true;
#if defined(HASHKIT_X86)
    // __builtin_cpu_supports also tests whether the operating system saves the wide registers.
    case Isa::kPopcnt:
      return __builtin_cpu_supports("popcnt");
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
    case Isa::kAvx512bw:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("popcnt");
    case Isa::kAvx512:
      return supported(Isa::kAvx512bw) && __builtin_cpu_supports("avx512vpopcntdq");
#else
    case Isa::kPopcnt:
    case Isa::kAvx2:
    case Isa::kAvx512bw:
    case Isa::kAvx512:
      return false;
#endif
#if defined(HASHKIT_ARM64)
    case Isa::kNeon:  // part of the 64-bit ARM baseline
      return true;
#else
    case Isa::kNeon:
      return false;
#endif
  }
  return false;
}

std::string join_names(const std::vector<Isa>& isas) {
  std::string text;
  for (Isa isa : isas) text += (text.empty() ? "" : ", ") + std::string(isa_name(isa));
  return text;
}

Isa isa_forced_by(const char* name) {
  if (name == nullptr || *name == '\0') return supported_isas().back();
  try {
    return isa_from_name(name);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("HASHKIT_ISA: ") + error.what());
  }
}

// Not initialized if HASHKIT_ISA is invalid: then every call throws.
std::atomic<Isa>& forced_isa() {
  static std::atomic<Isa> isa{isa_forced_by(std::getenv("HASHKIT_ISA"))};
  return isa;
}

}  // namespace

const char* isa_name(Isa isa) noexcept {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kPopcnt:
      return "popcnt";
    case Isa::kNeon:
      return "neon";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512bw:
      return "avx512bw";
    case Isa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (Isa isa : kAll) {
    if (supported(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa isa_from_name(const std::string& name) {
  for (Isa isa : kAll) {
    if (name != isa_name(isa)) continue;
    if (supported(isa)) return isa;
    throw std::invalid_argument("instruction set '" + name + "' is not supported by this machine, which runs " +
                                join_names(supported_isas()));
  }
  throw std::invalid_argument("unknown instruction set '" + name + "'; known are " +
                              join_names({std::begin(kAll), std::end(kAll)}));
}

void force_isa(const char* name) {
  forced_isa().store(isa_forced_by(name));
}

Isa default_isa() {
  return forced_isa().load(std::memory_order_relaxed);
}

}  // namespace hashkit
