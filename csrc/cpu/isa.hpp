// The instruction sets that hashkit has kernels for, and those that this machine supports.
#pragma once

#include <string>
#include <vector>

namespace hashkit {

// In ascending order of preference: the last supported one is used unless HASHKIT_ISA names another.
enum class Isa { kPortable, kPopcnt, kNeon, kAvx2, kAvx512bw, kAvx512 };

const char* isa_name(Isa isa) noexcept;

// The instruction sets that this machine supports, least preferred first; always contains kPortable.
std::vector<Isa> supported_isas();

// The instruction set of a name. Throws std::invalid_argument if it is unknown or not supported by this machine.
Isa isa_from_name(const std::string& name);

// The instruction set that HASHKIT_ISA named at the first call, else the most preferred supported one; force_isa
// overrides both. The environment is read once, because another thread may change it later.
Isa default_isa();

// Makes default_isa() behave as if HASHKIT_ISA had this value; null stands for unset. For tests.
void force_isa(const char* name);

}  // namespace hashkit
