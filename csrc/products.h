// Matrix products of torch's, on a CPU, by its op or by oneDNN, whichever is faster.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/shim_utils.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "common/tensors.h"
#include "cpu/kernels.h"

namespace torchkeras {

inline Tensor call_mm(const Tensor& a, const Tensor& b) {
  std::array<StableIValue, 2> stack{torch::stable::detail::from(a), torch::stable::detail::from(b)};
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::mm", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}

// a @ b + bias, rounded once.
inline Tensor call_linear(const Tensor& a, const Tensor& b, const Tensor& bias) {
  using torch::stable::detail::from;
  std::array<StableIValue, 3> stack{from(a), from(transposed(b)),
                                    from(std::optional<Tensor>(bias))};
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::linear", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}

// a @ b by oneDNN: torch keeps it behind this private op, which multiplies by a transposed weight.
inline Tensor call_onednn(const Tensor& a, const Tensor& b) {
  using torch::stable::detail::from;
  const Tensor weight = transposed(b);
  const std::vector<std::optional<double>> no_scalars;
  std::array<StableIValue, 6> stack{
      from(a),
      from(weight),
      from(std::optional<Tensor>()),
      from(std::string("none")),
      from(torch::headeronly::HeaderOnlyArrayRef<std::optional<double>>(no_scalars)),
      from(std::optional<std::string>())};
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("mkldnn::_linear_pointwise", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}

// Whether the private op exists and multiplies; tried once.
inline bool onednn_works() {
  static const bool works = [] {
    try {
      const int64_t sizes[2] = {2, 2}, strides[2] = {2, 1};
      AtenTensorHandle handle = nullptr;
      TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
          2, sizes, strides, aoti_torch_dtype_float32(), aoti_torch_device_type_cpu(), 0, &handle));
      const Tensor a(handle);
      const float numbers[4] = {1, 2, 3, 4};
      std::memcpy(a.mutable_data_ptr(), numbers, sizeof numbers);
      const Tensor product = call_onednn(a, a);
      if (product.scalar_type() != ScalarType::Float || product.numel() != 4) return false;
      const auto* p = static_cast<const float*>(product.const_data_ptr());
      return p[0] == 7 && p[1] == 10 && p[2] == 15 && p[3] == 22;
    } catch (...) {
      return false;
    }
  }();
  return works;
}

// Fixed by the CPU and the sizes, so that results do not change between runs. TORCHKERAS_GEMM
// (mkl or onednn) overrides it.
inline bool takes_onednn(int64_t m, int64_t k, int64_t n, bool inner_is_batch) {
  static const char* const wanted = std::getenv("TORCHKERAS_GEMM");
  static const bool forced = wanted && std::strcmp(wanted, "onednn") == 0;
  static const bool forbidden = wanted && std::strcmp(wanted, "mkl") == 0;
  if (forbidden) return false;
  if (forced) return onednn_works();
  const double least = least_onednn_flops();
  const bool profits = least > 0 && 2.0 * m * k * n >= least;
  return profits && (!inner_is_batch || prefers_onednn_over_batches()) && onednn_works();
}

// `result`, a product of `a` and something, if it is what it should be.
inline Tensor checked(const Tensor& result, const Tensor& a, int64_t m, int64_t n) {
  // Under autocast torch's own op may return another dtype than it was given.
  STD_TORCH_CHECK(result.scalar_type() == a.scalar_type(),
                  "A matrix product must keep its dtype here. Received: ",
                  name_of(result.scalar_type()), " from ", name_of(a.scalar_type()),
                  ". Call this op with autocast turned off, as torchkeras.kernels does.");
  check_sizes(result, "product", {m, n});
  return packed(result);
}

// a @ b, contiguous, a tensor of its own.
inline Tensor product(const Tensor& a, const Tensor& b, bool inner_is_batch = false) {
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  const bool onednn = a.scalar_type() == ScalarType::Float && m > 0 && k > 0 && n > 0 &&
                      takes_onednn(m, k, n, inner_is_batch);
  return checked(onednn ? call_onednn(a, b) : call_mm(a, b), a, m, n);
}

}  // namespace torchkeras
