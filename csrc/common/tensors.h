// What the ops of every device ask of their tensors, in words for the user, and the tensors they
// make. The one header with torch's (stable) interface, for ../ops.cpp and ../cuda/bindings.cpp.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/shim_utils.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "activation.h"
#include "dtype.h"

namespace torchkeras {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Words

inline std::string shape_of(const int64_t* sizes, int64_t rank) {
  std::string text = "(";
  for (int64_t i = 0; i < rank; ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + ")";
}

inline std::string shape_of(const Tensor& t) { return shape_of(t.sizes().data(), t.dim()); }

inline std::string device_of(const Tensor& t) {
  if (t.is_cpu()) return "cpu";
  return t.is_cuda() ? "cuda:" + std::to_string(t.get_device_index()) : "another one";
}

inline const char* name_of(ScalarType type) { return torch::headeronly::toString(type); }

// Checks of one tensor or number

inline DType dtype_of(const Tensor& t, const char* name) {
  switch (t.scalar_type()) {
    case ScalarType::Float: return DType::kFloat32;
    case ScalarType::Double: return DType::kFloat64;
    case ScalarType::BFloat16: return DType::kBFloat16;
    case ScalarType::Half: return DType::kFloat16;
    default: break;
  }
  STD_TORCH_CHECK(false, "`", name, "` must be float32, float64, bfloat16 or float16. Received: ",
                  name_of(t.scalar_type()), ". Cast it first.");
}

inline void check_rank(const Tensor& t, const char* name, int64_t rank) {
  STD_TORCH_CHECK(t.dim() == rank, "`", name, "` must have rank ", rank, ". Received: ", name,
                  " of shape ", shape_of(t), ". Flatten its leading axes.");
}

inline void check_device(const Tensor& t, const char* name, const Tensor& model,
                         const char* model_name) {
  const bool same = t.is_cpu() == model.is_cpu() && t.is_cuda() == model.is_cuda() &&
                    t.get_device_index() == model.get_device_index();
  STD_TORCH_CHECK(same, "`", name, "` must be on the device of `", model_name, "`, ",
                  device_of(model), ". Received: a tensor on ", device_of(t),
                  ". Move it there first.");
}

inline void check_like(const Tensor& t, const char* name, const Tensor& model,
                       const char* model_name) {
  STD_TORCH_CHECK(t.scalar_type() == model.scalar_type(), "`", name, "` must have the dtype of `",
                  model_name, "`, ", name_of(model.scalar_type()), ". Received: ",
                  name_of(t.scalar_type()), ". Cast it first.");
  check_device(t, name, model, model_name);
}

inline void check_sizes(const Tensor& t, const char* name, std::initializer_list<int64_t> expected) {
  const auto sizes = t.sizes();
  STD_TORCH_CHECK(std::equal(sizes.begin(), sizes.end(), expected.begin(), expected.end()), "`",
                  name, "` must have the shape ", shape_of(expected.begin(), expected.size()),
                  ". Received: ", shape_of(t), ". Check which tensors belong together.");
}

inline Activation activation_of(int64_t code) {
  STD_TORCH_CHECK(code >= 0 && code < kActivationCount, "`activation` must be from 0 to ",
                  kActivationCount - 1, ". Received: ", code,
                  ". See torchkeras/kernels/activation_codes.py.");
  return static_cast<Activation>(code);
}

// Checks of the arguments of an op

// `seed` is [seed] or [seed, draw].
inline void check_dropout(double rate, const std::optional<Tensor>& seed, const Tensor& model,
                          const char* model_name) {
  STD_TORCH_CHECK(rate >= 0.0 && rate <= 1.0,
                  "`rate` must be from 0 to 1, the fraction to drop. Received: rate=", rate,
                  ". Correct it.");
  if (!seed.has_value()) return;
  STD_TORCH_CHECK(
      seed->scalar_type() == ScalarType::Long && (seed->numel() == 1 || seed->numel() == 2),
      "`seed` must be an int64 tensor of one or two numbers. Received: a tensor of ",
      seed->numel(), " elements, ", name_of(seed->scalar_type()), ". Draw it with torch.randint.");
  check_device(*seed, "seed", model, model_name);
}

inline void check_bias(const std::optional<Tensor>& bias, const Tensor& model,
                       const char* model_name, int64_t cols) {
  if (!bias.has_value()) return;
  check_like(*bias, "bias", model, model_name);
  check_sizes(*bias, "bias", {cols});
}

// Of dense_act_dropout.
inline void check_dense(const Tensor& x, const Tensor& kernel, const std::optional<Tensor>& bias,
                        double rate, const std::optional<Tensor>& seed) {
  dtype_of(x, "x");
  check_rank(x, "x", 2);
  check_rank(kernel, "kernel", 2);
  check_like(kernel, "kernel", x, "x");
  check_sizes(kernel, "kernel", {x.size(1), kernel.size(1)});
  check_bias(bias, x, "x", kernel.size(1));
  check_dropout(rate, seed, x, "x");
}

// Of bias_act_dropout.
inline void check_sum(const Tensor& z, const std::optional<Tensor>& bias, double rate,
                      const std::optional<Tensor>& seed) {
  dtype_of(z, "z");
  check_rank(z, "z", 2);
  check_bias(bias, z, "z", z.size(1));
  check_dropout(rate, seed, z, "z");
}

// Of bias_act_dropout_backward. Of y and pre only the one that the derivative is computed from is
// read, if any.
inline void check_sum_backward(const Tensor& gy, const Tensor& y, const Tensor& pre,
                               Activation activation, double rate,
                               const std::optional<Tensor>& seed) {
  dtype_of(gy, "gy");
  check_rank(gy, "gy", 2);
  check_dropout(rate, seed, gy, "gy");
  if (activation == Activation::kNone) return;
  const bool from_pre = needs_preactivation(activation);
  check_like(from_pre ? pre : y, from_pre ? "pre" : "y", gy, "gy");
  check_sizes(from_pre ? pre : y, from_pre ? "pre" : "y", {gy.size(0), gy.size(1)});
}

// Of dense_act_dropout_backward.
inline void check_dense_backward(const Tensor& gy, const Tensor& x, const Tensor& kernel,
                                 const Tensor& y, const Tensor& pre, Activation activation,
                                 double rate, const std::optional<Tensor>& seed) {
  check_rank(x, "x", 2);
  check_rank(kernel, "kernel", 2);
  check_like(x, "x", gy, "gy");
  check_like(kernel, "kernel", gy, "gy");
  check_sizes(kernel, "kernel", {x.size(1), kernel.size(1)});
  check_sizes(gy, "gy", {x.size(0), kernel.size(1)});
  check_sum_backward(gy, y, pre, activation, rate, seed);
}

// Memory

// An uninitialized contiguous tensor on the device of `model`.
inline Tensor empty(const Tensor& model, const int64_t* sizes, int64_t rank, ScalarType type) {
  std::vector<int64_t> strides(rank);
  int64_t stride = 1;
  for (int64_t i = rank; i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(sizes[i], 1);
  }
  int32_t device_type = 0;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(model.get(), &device_type));
  const int32_t dtype = torch::stable::detail::to<int32_t>(torch::stable::detail::from(type));
  AtenTensorHandle handle = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(rank, sizes, strides.data(), dtype, device_type,
                                                  model.get_device_index(), &handle));
  return Tensor(handle);
}

inline Tensor empty(const Tensor& model, std::initializer_list<int64_t> sizes, ScalarType type) {
  return empty(model, sizes.begin(), static_cast<int64_t>(sizes.size()), type);
}

inline Tensor empty(const Tensor& model, std::initializer_list<int64_t> sizes) {
  return empty(model, sizes, model.scalar_type());
}

inline Tensor empty_like_of(const Tensor& model) {
  return empty(model, model.sizes().data(), model.dim(), model.scalar_type());
}

inline Tensor packed(const Tensor& t) {
  return t.is_contiguous() ? t : torch::stable::contiguous(t);
}

inline Tensor transposed(const Tensor& t) { return torch::stable::transpose(t, 0, 1); }

}  // namespace torchkeras
