// Encoders of vectors, and whole searches through them.
#include <cstring>
#include <memory>

#include "bindings/vector_views.hpp"
#include "vectors/encoder.hpp"
#include "vectors/funnel.hpp"

namespace hashkit::bindings {
namespace {

using Bytes = Array<uint8_t>;
using Floats = Array<float>;

// What was learned, as native code reads it: copies, all of them small beside what they encode.
class VectorEncoder {
 public:
  VectorEncoder(const std::string& metric, const Floats& center, size_t n_bits, const std::optional<Bytes>& signs,
                const MaybeFloats& matrix, const MaybeFloats& offsets)
      : center_(padded_dims(static_cast<size_t>(center.size()))), offsets_(n_bits) {
    const auto n_dims = static_cast<size_t>(center.size());
    require(n_dims > 0 && n_bits > 0 && n_bits <= 8 * kMaxBytes, "center and n_bits must not be empty");
    require(signs.has_value() != matrix.has_value(), "signs or matrix must be given, not both");
    std::memcpy(center_.data(), center.data(), n_dims * sizeof(float));
    if (signs) {
      require(n_bits >= kLeastRotated && n_bits >= n_dims, "a rotation must have as many bits as values, and 256");
      require(static_cast<size_t>(signs->size()) == kRotationRounds * ((n_bits + 7) / 8), "signs must have four rows");
      rotation_ = rotation_factors(signs->data(), n_bits);
    } else {
      require(static_cast<size_t>(matrix->size()) == n_bits * center_.size(), "matrix must have a row for each bit");
      matrix_.assign(matrix->data(), matrix->data() + matrix->size());
    }
    view_ = {metric_named(metric),
             n_dims,
             n_bits,
             center_.data(),
             offsets_.data(),
             signs ? rotation_.data() : nullptr,
             {matrix_.data(), n_bits, center_.size()}};
    require(!offsets || static_cast<size_t>(offsets->size()) == n_bits, "offsets must have one for each bit");
    std::vector<float> projected(n_bits);
    if (offsets) {
      projected.assign(offsets->data(), offsets->data() + n_bits);
    } else {
      Encoder(vector_kernels(default_isa()), view_).project(center_.data(), 1, projected.data());
    }
    offsets_ = projected;
    view_.offsets = offsets_.data();
  }
  VectorEncoder(const VectorEncoder&) = delete;
  VectorEncoder& operator=(const VectorEncoder&) = delete;

  const EncoderView& view() const noexcept { return view_; }

 private:
  std::vector<float> center_, offsets_, rotation_, matrix_;
  EncoderView view_{};
};

template <class Value>
Value* out_of(Array<Value>& array, size_t n_rows, size_t n_columns, const char* message) {
  require(array.ndim() == 2 && static_cast<size_t>(array.shape(0)) == n_rows &&
              static_cast<size_t>(array.shape(1)) == n_columns,
          message);
  return array.mutable_data();
}

int64_t encode(const VectorEncoder& encoder, const Bytes& vectors, const std::string& type,
               const MaybeFloats& row_scales, const MaybeFloats& column_scales, size_t first, Bytes codes,
               Floats factors, std::optional<Floats> units, ThreadCount n_threads, const std::string& isa) {
  const VectorRows rows = view_vectors(vectors, type_named(type), row_scales, column_scales);
  const EncoderView& view = encoder.view();
  const auto n = static_cast<size_t>(codes.shape(0));
  require(rows.n_dims == view.n_dims, "vectors must have the dimensions of the encoder");
  require(first <= rows.n_rows && n <= rows.n_rows - first, "codes must not be more than rows");
  uint8_t* to_codes = out_of(codes, n, (view.n_bits + 7) / 8, "codes must have the bits of the encoder");
  float* to_factors = out_of(factors, n, 2, "factors must have two values for each code");
  float* to_units = units ? out_of(*units, n, view.n_dims, "units must have the shape of the rows") : nullptr;
  const Encoder native(vector_kernels_named(isa), view);
  return without_gil([&] {
    return encode_rows(native, kernels_named(isa), rows, first, first + n, n_threads, to_codes, to_factors, to_units);
  });
}

size_t check_queries(const Floats& queries, size_t n_dims) {
  require(queries.ndim() == 2 && static_cast<size_t>(queries.shape(1)) == n_dims,
          "queries must have the dimensions of the encoder");
  return static_cast<size_t>(queries.shape(0));
}

py::tuple prepare(const VectorEncoder& encoder, const Floats& queries, ThreadCount n_threads, const std::string& isa) {
  const EncoderView& view = encoder.view();
  const size_t n = check_queries(queries, view.n_dims), n_bytes = (view.n_bits + 7) / 8;
  py::array_t<uint8_t> codes({n, n_bytes});
  py::array_t<float> values({n, view.n_bits});
  py::array_t<float> terms(static_cast<py::ssize_t>(n));
  uint8_t* to_codes = codes.mutable_data();
  float *to_values = values.mutable_data(), *to_terms = terms.mutable_data();
  const float* of = queries.data();
  const Encoder native(vector_kernels_named(isa), view);
  const KernelTable& packing = kernels_named(isa);
  without_gil([&] {
    parallel_for((n + kEncodedPerTask - 1) / kEncodedPerTask, n_threads, [&](size_t task) {
      const size_t first = task * kEncodedPerTask, last = std::min(first + kEncodedPerTask, n);
      std::vector<float> units((last - first) * padded_dims(view.n_dims));
      native.take_queries(of + first * view.n_dims, last - first, units.data(), to_terms + first);
      native.project(units.data(), last - first, to_values + first * view.n_bits);
      for (size_t q = first; q < last; ++q) {
        packing.pack_float32(to_values + q * view.n_bits, view.n_bits, to_codes + q * n_bytes);
      }
    });
  });
  return py::make_tuple(std::move(codes), std::move(values), std::move(terms));
}

// What is searched, and the arrays that it lies in.
class VectorFunnel {
 public:
  VectorFunnel(std::shared_ptr<VectorEncoder> encoder, Bytes codes, Floats factors, std::optional<Bytes> vectors,
               const std::string& type, MaybeFloats row_scales, MaybeFloats column_scales,
               std::optional<Array<int64_t>> ids, std::optional<std::shared_ptr<BlockChecks>> checks)
      : encoder_(std::move(encoder)),
        codes_(std::move(codes)),
        factors_(std::move(factors)),
        vectors_(std::move(vectors)),
        row_scales_(std::move(row_scales)),
        column_scales_(std::move(column_scales)),
        ids_(std::move(ids)),
        checks_(std::move(checks)) {
    const FactoredCodes stored = view_factored(codes_, factors_);
    require(stored.n_bytes == (encoder_->view().n_bits + 7) / 8, "codes must have the bits of the encoder");
    require(!ids_ || static_cast<size_t>(ids_->size()) == stored.n_rows, "ids must have one for each code");
    if (vectors_) {
      rows_ = view_vectors(*vectors_, type_named(type), row_scales_, column_scales_);
      require(rows_->n_dims == encoder_->view().n_dims && rows_->n_rows == stored.n_rows,
              "vectors must have a row for each code");
    }
    data_ = {encoder_->view(), stored, rows_ ? &*rows_ : nullptr, checks_ ? checks_->get() : nullptr,
             ids_ ? ids_->data() : nullptr};
  }
  VectorFunnel(const VectorFunnel&) = delete;
  VectorFunnel& operator=(const VectorFunnel&) = delete;

  py::tuple query(const Floats& queries, size_t k, bool by_codes, size_t n_candidates, size_t n_rescored, float slack,
                  const std::optional<Array<int64_t>>& candidates, ThreadCount n_threads,
                  const std::string& isa) const {
    const size_t n = check_queries(queries, data_.encoder.n_dims);
    const FunnelPlan plan{by_codes, n_candidates, n_rescored, slack};
    const FunnelSizes sizes(data_, plan, k);
    const int64_t* given = nullptr;
    if (candidates) {
      require(check_candidates(*candidates, n, data_.codes.n_rows) == sizes.n_candidates,
              "candidates must be as many as the plan has");
      given = candidates->data();
    }
    py::array_t<float> scores({n, sizes.k});
    py::array_t<int64_t> ids({n, sizes.k});
    float* to_scores = scores.mutable_data();
    int64_t* to_ids = ids.mutable_data();
    const FunnelKernels kernels{vector_kernels_named(isa), kernels_named(isa)};
    const FunnelOutcome outcome = without_gil([&] {
      return search_funnel(kernels, data_, plan, sizes, queries.data(), n, given, n_threads, to_scores, to_ids);
    });
    return py::make_tuple(std::move(scores), std::move(ids), outcome.query, outcome.row);
  }

 private:
  std::shared_ptr<VectorEncoder> encoder_;
  Bytes codes_;
  Floats factors_;
  std::optional<Bytes> vectors_;
  MaybeFloats row_scales_, column_scales_;
  std::optional<Array<int64_t>> ids_;
  std::optional<std::shared_ptr<BlockChecks>> checks_;
  std::optional<VectorRows> rows_;
  FunnelData data_{};
};

}  // namespace

static void bind_funnel(py::module_& module) {
  const auto named = [](const char* name) { return py::arg(name).noconvert(); };
  const auto threads = py::arg("n_threads");
  const auto isa = py::arg("isa") = "";
  py::class_<VectorEncoder, std::shared_ptr<VectorEncoder>>(module, "VectorEncoder",
                                                            "What turns vectors into codes with factors.")
      .def(py::init<const std::string&, const Floats&, size_t, const std::optional<Bytes>&, const MaybeFloats&,
                    const MaybeFloats&>(),
           py::arg("metric"), named("center"), py::arg("n_bits"), named("signs"), named("matrix"), named("offsets"))
      .def("encode", &encode, named("vectors"), py::arg("type"), named("row_scales"), named("column_scales"),
           py::arg("first"), named("codes"), named("factors"), named("units"), threads, isa,
           "Fill in codes, factors and, unless None, the rows as they are compared, from row `first` on; a row that "
           "is not finite, or -1.")
      .def("prepare", &prepare, named("queries"), threads, isa,
           "(codes, values, terms) of queries: packed signs, projections, and what turns estimates into scores.");
  py::class_<VectorFunnel>(module, "VectorFunnel", "Codes, factors and vectors that are searched in one call.")
      .def(
          py::init<std::shared_ptr<VectorEncoder>, Bytes, Floats, std::optional<Bytes>, const std::string&, MaybeFloats,
                   MaybeFloats, std::optional<Array<int64_t>>, std::optional<std::shared_ptr<BlockChecks>>>(),
          py::arg("encoder"), named("codes"), named("factors"), named("vectors"), py::arg("type"), named("row_scales"),
          named("column_scales"), named("ids"), py::arg("checks"))
      .def("query", &VectorFunnel::query, named("queries"), py::arg("k"), py::arg("by_codes"), py::arg("n_candidates"),
           py::arg("n_rescored"), py::arg("slack"), named("candidates"), threads, isa,
           "(scores, ids, query, row) of the k best of each query; query is one that is not finite, row one whose "
           "score is not, or -1.");
}

}  // namespace hashkit::bindings
