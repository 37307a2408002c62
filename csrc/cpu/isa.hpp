// The instruction sets that hashkit has kernels for, and which of them this machine runs.
#pragma once

#include <string>
#include <vector>

namespace hashkit {

// In order of preference, the last supported one is used unless HASHKIT_ISA names another.
enum class Isa { kPortable, kPopcnt, kNeon, kAvx2, kAvx512bw, kAvx512 };

const char* isa_name(Isa isa) noexcept;

// Every instruction set that this machine runs, least preferred first; kPortable is always there.
std::vector<Isa> supported_isas();

// The one of that name. Throws std::invalid_argument if the name is unknown or this machine does not run it.
Isa isa_from_name(const std::string& name);

// What HASHKIT_ISA named when this was first called, else the most preferred supported one; or what force_isa says. The
// environment is not read again: another thread may be changing it.
Isa default_isa();

// Lets default_isa() give what HASHKIT_ISA would make it give if it had this value, as null if it were not set. For
// tests.
void force_isa(const char* name);

}  // namespace hashkit
