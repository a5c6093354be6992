// The ops of torchkeras on CUDA, for torch's dispatcher: checks, memory, matrix products, the
// current device and stream. Their schemas are in ../ops.cpp, the computation is in epilogue.cu.
//
// This file uses torch's stable ABI only, so one binary works with torch 2.10 and every later one.

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cuda.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/shim_utils.h>

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "../common/tensors.h"
#include "epilogue.h"

namespace torchkeras {
namespace cuda {
namespace {

using torch::stable::accelerator::DeviceGuard;

// Checks

// Of the first tensor of an op; the others must be on its device.
void check_on_gpu(const Tensor& t, const char* name) {
  STD_TORCH_CHECK(t.is_cuda(), "`", name, "` must be on a GPU, as another tensor is. Received: a "
                  "tensor on ", device_of(t), ". Move them to one device first.");
}

void check_launch(cudaError_t error) {
  STD_TORCH_CHECK(error == cudaSuccess, "A kernel of torchkeras must start on the GPU. Received: ",
                  cudaGetErrorString(error),
                  ". With CUDA_LAUNCH_BLOCKING=1 an error shows where it arises; if this one "
                  "persists, set TORCHKERAS_KERNELS=off.");
}

// Matrix products. torch's shim runs its CUDA kernels without its dispatcher, so autocast, which
// would change the dtype, has no say in them; and it takes the numbers beta and alpha, which the
// dispatcher's stable interface does not.

Tensor product(const Tensor& a, const Tensor& b) {
  const Tensor out = empty(a, {a.size(0), b.size(1)});
  TORCH_ERROR_CODE_CHECK(aoti_torch_cuda_mm_out(out.get(), a.get(), b.get()));
  return out;
}

// a @ b + bias, the bias added by the product's kernel where the library has one that does.
Tensor product_with_bias(const Tensor& a, const Tensor& b, const Tensor& bias) {
  const Tensor out = empty(a, {a.size(0), b.size(1)});
  TORCH_ERROR_CODE_CHECK(
      aoti_torch_cuda_addmm_out(out.get(), bias.get(), a.get(), b.get(), 1.0, 1.0));
  return out;
}

// relu(a @ b + bias), all in the product's kernel likewise.
Tensor product_with_bias_and_relu(const Tensor& a, const Tensor& b, const Tensor& bias) {
  AtenTensorHandle handle = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_cuda__addmm_activation(
      bias.get(), a.get(), b.get(), 1.0, 1.0, /*use_gelu=*/0, &handle));
  const Tensor out = Tensor(handle);
  // This one torch allocated: other code relies on what it is.
  check_like(out, "product", a, "x");
  check_sizes(out, "product", {a.size(0), b.size(1)});
  return packed(out);
}

// Epilogues

bool drops(double rate, const std::optional<Tensor>& seed) {
  return rate > 0.0 && seed.has_value();
}

// An epilogue and the seed that it points to; the device of `model` must be the current one.
struct Call {
  Epilogue epilogue;
  Tensor seed;

  Call(const Tensor& model, DType dtype, Activation activation, int64_t rows, int64_t cols,
       double rate, const std::optional<Tensor>& given)
      : seed(drops(rate, given) ? packed(*given) : model) {
    const bool active = drops(rate, given);
    const int device = model.get_device_index();
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device, &stream));
    int count = 0;
    check_launch(multiprocessors(device, &count));
    epilogue = {dtype,
                activation,
                rows,
                cols,
                rate,
                active ? static_cast<const int64_t*>(seed.const_data_ptr()) : nullptr,
                active && seed.numel() == 2,
                count,
                static_cast<cudaStream_t>(stream)};
  }
};

// y and pre of a contiguous z; `z_is_ours`: its memory may become one of theirs.
std::tuple<Tensor, Tensor> finish(const Tensor& z, const std::optional<Tensor>& bias,
                                  Activation activation, double rate,
                                  const std::optional<Tensor>& seed, bool z_is_ours) {
  const int64_t rows = z.size(0), cols = z.size(1);
  const bool keeps = needs_preactivation(activation);
  const Call call(z, dtype_of(z, "z"), activation, rows, cols, rate, seed);
  const Tensor b = bias.has_value() ? packed(*bias) : z;
  // Without a bias our z is the sum already.
  const bool sum_is_there = z_is_ours && !bias.has_value();
  const Tensor pre = !keeps ? empty(z, {0}) : (z_is_ours ? z : empty(z, {rows, cols}));
  const Tensor y = z_is_ours && !keeps ? z : empty(z, {rows, cols});
  check_launch(forward(call.epilogue, z.const_data_ptr(),
                       bias.has_value() ? b.const_data_ptr() : nullptr, y.mutable_data_ptr(),
                       keeps && !sum_is_there ? pre.mutable_data_ptr() : nullptr));
  return {y, pre};
}

std::tuple<Tensor, Tensor> dense_act_dropout(Tensor x, Tensor kernel, std::optional<Tensor> bias,
                                             int64_t activation, double rate,
                                             std::optional<Tensor> seed) {
  const Activation function = activation_of(activation);
  check_on_gpu(x, "x");
  check_dense(x, kernel, bias, rate, seed);
  const DeviceGuard guard(x.get_device_index());
  const bool nothing_after = !drops(rate, seed) && function == Activation::kNone;
  if (!bias.has_value()) {
    const Tensor z = product(x, kernel);
    if (nothing_after) return {z, empty(x, {0})};
    return finish(z, bias, function, rate, seed, true);
  }
  if (nothing_after) return {product_with_bias(x, kernel, *bias), empty(x, {0})};
  if (!drops(rate, seed) && function == Activation::kRelu) {
    return {product_with_bias_and_relu(x, kernel, *bias), empty(x, {0})};
  }
  // Where the sum is kept, the product's kernel adds the bias: one tensor less to write. In the
  // half types a sum that the product's kernel makes is rounded once, not twice.
  if (needs_preactivation(function) || x.element_size() == 2) {
    return finish(product_with_bias(x, kernel, *bias), std::nullopt, function, rate, seed, true);
  }
  return finish(product(x, kernel), bias, function, rate, seed, true);
}

std::tuple<Tensor, Tensor> bias_act_dropout(Tensor z, std::optional<Tensor> bias,
                                            int64_t activation, double rate,
                                            std::optional<Tensor> seed) {
  const Activation function = activation_of(activation);
  check_on_gpu(z, "z");
  check_sum(z, bias, rate, seed);
  const DeviceGuard guard(z.get_device_index());
  return finish(packed(z), bias, function, rate, seed, false);
}

// gz and gbias. gz is gy itself where `may_alias` and there is nothing to compute.
std::tuple<Tensor, Tensor> start_backward(const Tensor& gy, const Tensor& y, const Tensor& pre,
                                          Activation activation, double rate,
                                          const std::optional<Tensor>& seed, bool need_z,
                                          bool need_bias, bool may_alias) {
  const Tensor g = packed(gy);
  const int64_t rows = g.size(0), cols = g.size(1);
  const bool from_pre = needs_preactivation(activation);
  const Tensor value = activation == Activation::kNone ? g : packed(from_pre ? pre : y);
  const Call call(g, dtype_of(g, "gy"), activation, rows, cols, rate, seed);
  const Epilogue& e = call.epilogue;
  const bool same = may_alias && activation == Activation::kNone && !drops(rate, seed);
  const bool writes = need_z && !same;
  const Tensor gz = writes ? empty(g, {rows, cols}) : g;
  const Tensor gbias = empty(g, {need_bias ? cols : 0});
  if (!writes && !need_bias) return {gz, gbias};
  const ScalarType wide = e.dtype == DType::kFloat64 ? ScalarType::Double : ScalarType::Float;
  const Tensor partial = empty(g, {need_bias ? partial_sums(e) : 0}, wide);
  check_launch(backward(e, g.const_data_ptr(), value.const_data_ptr(), value.const_data_ptr(),
                        writes ? gz.mutable_data_ptr() : nullptr,
                        need_bias ? gbias.mutable_data_ptr() : nullptr,
                        partial.mutable_data_ptr()));
  return {gz, gbias};
}

std::tuple<Tensor, Tensor> bias_act_dropout_backward(Tensor gy, Tensor y, Tensor pre,
                                                     int64_t activation, double rate,
                                                     std::optional<Tensor> seed, bool need_bias) {
  const Activation function = activation_of(activation);
  check_on_gpu(gy, "gy");
  check_sum_backward(gy, y, pre, function, rate, seed);
  const DeviceGuard guard(gy.get_device_index());
  return start_backward(gy, y, pre, function, rate, seed, true, need_bias, false);
}

std::tuple<Tensor, Tensor, Tensor> dense_act_dropout_backward(
    Tensor gy, Tensor x, Tensor kernel, Tensor y, Tensor pre, int64_t activation, double rate,
    std::optional<Tensor> seed, bool need_x, bool need_kernel, bool need_bias) {
  const Activation function = activation_of(activation);
  check_on_gpu(gy, "gy");
  check_dense_backward(gy, x, kernel, y, pre, function, rate, seed);
  const DeviceGuard guard(gy.get_device_index());
  const auto [gz, gbias] = start_backward(gy, y, pre, function, rate, seed, need_x || need_kernel,
                                          need_bias, true);
  return {need_x ? product(gz, transposed(kernel)) : empty(gy, {0}),
          need_kernel ? product(transposed(x), gz) : empty(gy, {0}), gbias};
}

Tensor dropout(Tensor x, double rate, Tensor seed) {
  const DType dtype = dtype_of(x, "x");
  check_on_gpu(x, "x");
  check_dropout(rate, seed, x, "x");
  const DeviceGuard guard(x.get_device_index());
  const Tensor from = packed(x), y = empty_like_of(x);
  const Call call(x, dtype, Activation::kNone, x.numel(), 1, rate, seed);
  check_launch(forward(call.epilogue, from.const_data_ptr(), nullptr, y.mutable_data_ptr(),
                       nullptr));
  return y;
}

}  // namespace
}  // namespace cuda
}  // namespace torchkeras

STABLE_TORCH_LIBRARY_IMPL(torchkeras, CUDA, m) {
  m.impl("dense_act_dropout", TORCH_BOX(&torchkeras::cuda::dense_act_dropout));
  m.impl("dense_act_dropout_backward", TORCH_BOX(&torchkeras::cuda::dense_act_dropout_backward));
  m.impl("bias_act_dropout", TORCH_BOX(&torchkeras::cuda::bias_act_dropout));
  m.impl("bias_act_dropout_backward", TORCH_BOX(&torchkeras::cuda::bias_act_dropout_backward));
  m.impl("dropout", TORCH_BOX(&torchkeras::cuda::dropout));
}
