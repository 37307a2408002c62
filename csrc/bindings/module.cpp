// The module, and with it every binding as one translation unit: pybind11's headers and templates take so much of the
// compiler's time that the twelve files take three times as long one by one.
#include "bindings/arrays.hpp"
#include "bindings/codes.cpp"
#include "bindings/far.cpp"
#include "bindings/funnel.cpp"
#include "bindings/jaccard.cpp"
#include "bindings/join.cpp"
#include "bindings/merge.cpp"
#include "bindings/mih.cpp"
#include "bindings/parts.cpp"
#include "bindings/scan.cpp"
#include "bindings/stored.cpp"
#include "bindings/vectors.cpp"
#include "cpu/isa.hpp"

namespace hashkit::bindings {

static std::vector<std::string> supported_isa_names() {
  std::vector<std::string> names;
  for (Isa isa : supported_isas()) names.emplace_back(isa_name(isa));
  return names;
}

PYBIND11_MODULE(_native, module, py::mod_gil_not_used()) {
  module.doc() =
      "The native core of hashkit: kernels, scans and tables. Private: hashkit's own modules are its only callers.";
  module.def("supported_isas", &supported_isa_names,
             "Names of the instruction sets that this machine runs, least preferred first.");
  module.def(
      "default_isa", [] { return std::string(isa_name(default_isa())); },
      "Name of the instruction set in use: what HASHKIT_ISA named when it was first needed, else the most preferred.");
  module.def(
      "force_isa", [](const std::optional<std::string>& name) { force_isa(name ? name->c_str() : nullptr); },
      py::arg("name"), "For tests: as if HASHKIT_ISA had had this value, or none.");
  bind_codes(module);
  bind_far(module);
  bind_funnel(module);
  bind_jaccard(module);
  bind_join(module);
  bind_merge(module);
  bind_mih(module);
  bind_parts(module);
  bind_scan(module);
  bind_stored(module);
  bind_vectors(module);
}

}  // namespace hashkit::bindings
