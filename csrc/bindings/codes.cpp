#include "bindings/arrays.hpp"
#include "core/packing.hpp"

namespace hashkit::bindings {
namespace {

// Stored: the type in numpy; Value: the type that the kernel reads, of the same size.
template <class Value, class Stored>
py::array_t<uint8_t> pack(const Array<Stored>& values, ThreadCount n_threads, const std::string& isa) {
  static_assert(sizeof(Value) == sizeof(Stored), "the kernel reads the array's own bytes");
  require(values.ndim() == 2 && values.shape(1) >= 1, "values must have two dimensions and at least one column");
  const KernelTable& kernels = kernels_named(isa);
  const auto n_rows = static_cast<size_t>(values.shape(0)), n_bits = static_cast<size_t>(values.shape(1));
  py::array_t<uint8_t> codes({n_rows, (n_bits + 7) / 8});
  const auto* from = reinterpret_cast<const Value*>(values.data());
  uint8_t* to = codes.mutable_data();
  const auto first_nan = without_gil([&] { return pack_rows(kernels, from, n_rows, n_bits, n_threads, to); });
  if (first_nan != n_rows)
    throw py::value_error("values must be numbers, row " + std::to_string(first_nan) + " has NaN");
  return codes;
}

py::array_t<bool> unpack(const Array<uint8_t>& codes, size_t n_bits, ThreadCount n_threads) {
  require(codes.ndim() == 2 && static_cast<size_t>(codes.shape(1)) == (n_bits + 7) / 8, "codes must hold n_bits");
  const auto n_rows = static_cast<size_t>(codes.shape(0));
  py::array_t<bool> bits({n_rows, n_bits});
  const uint8_t* from = codes.data();
  auto* to = reinterpret_cast<uint8_t*>(bits.mutable_data());
  without_gil([&] { unpack_rows(from, n_rows, n_bits, n_threads, to); });
  return bits;
}

py::array_t<uint16_t> hamming_distances(const Array<uint8_t>& a, const Array<uint8_t>& b, ThreadCount n_threads,
                                        const std::string& isa) {
  const CodesView left = view_codes(a), right = view_codes(b);
  require(left.n_bytes == right.n_bytes, "codes must have equal widths");
  const KernelTable& kernels = kernels_named(isa);
  py::array_t<uint16_t> distances({left.n_codes, right.n_codes});
  uint16_t* to = distances.mutable_data();
  without_gil([&] { all_distances(kernels, left, right, n_threads, to); });
  return distances;
}

}  // namespace

static void bind_codes(py::module_& module) {
  const auto threads = py::arg("n_threads");
  const auto isa = py::arg("isa") = "";
  module.def("pack_float32", &pack<float, float>, py::arg("values").noconvert(), threads, isa,
             "Packed codes of float32 values (n, n_bits): bit = 1 where the value is > 0; NaN is refused.");
  module.def("pack_float16", &pack<uint16_t, uint16_t>, py::arg("half_bits").noconvert(), threads, isa,
             "The same of float16 values, given as a uint16 view.");
  module.def("pack_bool", &pack<uint8_t, bool>, py::arg("bits").noconvert(), threads, isa,
             "The same of bool values: bit = 1 where the value is True.");
  module.def("unpack", &unpack, py::arg("codes").noconvert(), py::arg("n_bits"), threads,
             "The bits of packed codes as bool (n, n_bits).");
  module.def("hamming_distances", &hamming_distances, py::arg("a").noconvert(), py::arg("b").noconvert(), threads, isa,
             "Distances between every row of a and every row of b, uint16.");
}

}  // namespace hashkit::bindings
