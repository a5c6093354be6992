// The ops of torchkeras for torch's dispatcher, and their CPU implementation: checks, memory, the
// choice of the matrix product, threads. The computation is in cpu/, which knows nothing of torch.
//
// This file uses torch's stable ABI only, so one binary works with torch 2.10 and every later one.

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/shim_utils.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "common/tensors.h"
#include "cpu/denormals.h"
#include "cpu/kernels.h"
#include "cpu/vector_math.h"
#include "products.h"

namespace torchkeras {
namespace {

// Counted up when a schema or its meaning changes; torchkeras/kernels/loader.py expects this one.
constexpr int64_t kVersion = 4;

// Dropout

// The dropout that `rate` and `seed` ask for.
Dropout dropout_of(double rate, const std::optional<Tensor>& seed) {
  if (rate == 0.0 || !seed.has_value()) return no_dropout();
  const Tensor numbers = packed(*seed);
  const auto* n = static_cast<const int64_t*>(numbers.const_data_ptr());
  return make_dropout(rate, static_cast<uint64_t>(n[0]),
                      numbers.numel() == 2 ? static_cast<uint32_t>(n[1]) : 0u);
}

// Whether `matmul_narrow` is the way: never slower than MKL on Intel, and up to five times faster on
// AMD.
bool is_narrow(const Tensor& a, int64_t inner, int64_t cols) {
  return a.scalar_type() == ScalarType::Float && cols >= 2 && cols <= kNarrow && inner > 0 &&
         kernels().matmul_narrow != nullptr;
}

constexpr int64_t kGrain = 32768;  // elements, or multiplications by a row, that a thread is worth

// a @ b for a matrix b with `cols` <= kNarrow columns.
Tensor narrow_product(const Tensor& a, const Tensor& b) {
  const int64_t m = a.size(0), inner = a.size(1), cols = b.size(1);
  const Tensor factor = packed(b);
  const auto* from = static_cast<const float*>(factor.const_data_ptr());
  const Tensor out = empty(a, {m, cols});
  const auto* numbers = static_cast<const float*>(a.const_data_ptr());
  auto* to = static_cast<float*>(out.mutable_data_ptr());
  torch::stable::parallel_for(0, m, std::max<int64_t>(8, kGrain / inner),
                              [&](int64_t begin, int64_t end) {
    kernels().matmul_narrow(numbers, a.stride(0), a.stride(1), from, to, inner, cols,
                            begin, end);
  });
  return out;
}

// Epilogues

// Without a bias the shape does not matter: one long row makes full tiles.
Epilogue epilogue_of(DType dtype, Activation activation, const Dropout& dropout, int64_t rows,
                     int64_t cols, bool by_column) {
  if (!by_column) return {dtype, activation, dropout, 1, rows * cols};
  return {dtype, activation, dropout, rows, cols};
}

void run_forward(const Epilogue& e, const void* z, const void* bias, void* y, void* pre) {
  if (e.rows * e.cols == 0) return;
  torch::stable::parallel_for(0, tiles(e.rows, e.cols), kGrain / kTile,
                              [&](int64_t begin, int64_t end) {
    kernels().forward(e, z, bias, y, pre, begin, end);
  });
}

void run_backward(const Epilogue& e, const void* gy, const void* y, const void* pre, void* gz) {
  if (e.rows * e.cols == 0) return;
  torch::stable::parallel_for(0, tiles(e.rows, e.cols), kGrain / kTile,
                              [&](int64_t begin, int64_t end) {
    kernels().backward(e, gy, y, pre, gz, nullptr, begin, end);
  });
}

// As run_backward, and returns the sums of gz over the rows, in the dtype of `model`. The rows are
// cut into strips whose number depends on the shape alone, each strip is summed by one thread, and
// the strips in their order: the same result for every number of threads.
template <class T>
Tensor run_backward_with_sums(const Epilogue& e, const void* gy, const void* y, const void* pre,
                              void* gz, const Tensor& model) {
  const int64_t n = e.rows * e.cols == 0 ? 0 : tiles(e.rows, e.cols);
  const int64_t strips = std::clamp<int64_t>(std::min(n / 16, e.rows / 8), 1, 64);
  std::vector<T> sums(strips * e.cols, T(0));
  torch::stable::parallel_for(0, strips, std::max<int64_t>(1, kGrain / kTile * strips / std::max<int64_t>(n, 1)),
                              [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      kernels().backward(e, gy, y, pre, gz, sums.data() + s * e.cols, n * s / strips,
                         n * (s + 1) / strips);
    }
  });
  for (int64_t s = 1; s < strips; ++s) {
    for (int64_t c = 0; c < e.cols; ++c) sums[c] += sums[s * e.cols + c];
  }
  const Tensor result = empty(model, {e.cols});
  if (e.dtype == DType::kFloat32 || e.dtype == DType::kFloat64) {
    std::memcpy(result.mutable_data_ptr(), sums.data(), e.cols * sizeof(T));
    return result;
  }
  const bool brain = e.dtype == DType::kBFloat16;
  auto* to = static_cast<uint16_t*>(result.mutable_data_ptr());
  for (int64_t c = 0; c < e.cols; ++c) {
    const float sum = static_cast<float>(sums[c]);
    to[c] = brain ? bfloat16_of_float(sum) : float16_of_float(sum);
  }
  return result;
}

// Ops

std::tuple<Tensor, Tensor> finish(const Tensor& z, const std::optional<Tensor>& bias,
                                  Activation activation, const Dropout& dropout, bool z_is_ours) {
  const int64_t rows = z.size(0), cols = z.size(1);
  const Epilogue e =
      epilogue_of(dtype_of(z, "z"), activation, dropout, rows, cols, bias.has_value());
  const Tensor b = bias.has_value() ? packed(*bias) : z;
  const bool keeps = needs_preactivation(activation);
  const Tensor pre = !keeps ? empty(z, {0}) : (z_is_ours ? z : empty(z, {rows, cols}));
  const Tensor y = z_is_ours && !keeps ? z : empty(z, {rows, cols});
  run_forward(e, z.const_data_ptr(), bias.has_value() ? b.const_data_ptr() : nullptr,
              y.mutable_data_ptr(), keeps ? pre.mutable_data_ptr() : nullptr);
  return {y, pre};
}

std::tuple<Tensor, Tensor> dense_act_dropout(Tensor x, Tensor kernel, std::optional<Tensor> bias,
                                             int64_t activation, double rate,
                                             std::optional<Tensor> seed) {
  const Activation function = activation_of(activation);
  check_dense(x, kernel, bias, rate, seed);
  const Dropout dropout = dropout_of(rate, seed);
  if (is_narrow(x, x.size(1), kernel.size(1))) {
    return finish(narrow_product(x, kernel), bias, function, dropout, true);
  }
  const bool half = x.scalar_type() == ScalarType::BFloat16 || x.scalar_type() == ScalarType::Half;
  if (half && bias.has_value()) {  // the sum would be rounded twice
    const Tensor z = checked(call_linear(x, kernel, *bias), x, x.size(0), kernel.size(1));
    return finish(z, std::nullopt, function, dropout, true);
  }
  return finish(product(x, kernel), bias, function, dropout, true);
}

std::tuple<Tensor, Tensor> bias_act_dropout(Tensor z, std::optional<Tensor> bias,
                                            int64_t activation, double rate,
                                            std::optional<Tensor> seed) {
  const Activation function = activation_of(activation);
  check_sum(z, bias, rate, seed);
  return finish(packed(z), bias, function, dropout_of(rate, seed), false);
}

// `may_alias`: whether gz may be gy itself, where there is nothing to compute.
std::tuple<Tensor, Tensor> start_backward(const Tensor& gy, const Tensor& y, const Tensor& pre,
                                          Activation activation, const Dropout& dropout,
                                          bool need_bias, bool may_alias) {
  const Tensor kept = needs_preactivation(activation) ? pre : y;
  const Tensor g = packed(gy), values = packed(kept);
  const int64_t rows = g.size(0), cols = g.size(1);
  const Epilogue e = epilogue_of(dtype_of(g, "gy"), activation, dropout, rows, cols, need_bias);
  const bool nothing = may_alias && activation == Activation::kNone && !dropout.active;
  const Tensor gz = nothing ? g : empty(g, {rows, cols});
  void* to = nothing ? nullptr : gz.mutable_data_ptr();
  const void* from = activation == Activation::kNone ? nullptr : values.const_data_ptr();
  if (!need_bias) {
    if (to) run_backward(e, g.const_data_ptr(), from, from, to);
    return {gz, empty(g, {0})};
  }
  auto* run = e.dtype == DType::kFloat64 ? run_backward_with_sums<double>
                                         : run_backward_with_sums<float>;
  return {gz, run(e, g.const_data_ptr(), from, from, to, g)};
}

std::tuple<Tensor, Tensor> bias_act_dropout_backward(Tensor gy, Tensor y, Tensor pre,
                                                     int64_t activation, double rate,
                                                     std::optional<Tensor> seed, bool need_bias) {
  const Activation function = activation_of(activation);
  check_sum_backward(gy, y, pre, function, rate, seed);
  return start_backward(gy, y, pre, function, dropout_of(rate, seed), need_bias, false);
}

std::tuple<Tensor, Tensor, Tensor> dense_act_dropout_backward(
    Tensor gy, Tensor x, Tensor kernel, Tensor y, Tensor pre, int64_t activation, double rate,
    std::optional<Tensor> seed, bool need_x, bool need_kernel, bool need_bias) {
  const Activation function = activation_of(activation);
  check_dense_backward(gy, x, kernel, y, pre, function, rate, seed);
  const auto [gz, gbias] =
      start_backward(gy, y, pre, function, dropout_of(rate, seed), need_bias, true);
  // Two tensors for what is not asked for: results must not share their memory.
  const Tensor gx = need_x ? product(gz, transposed(kernel)) : empty(gy, {0});
  Tensor gkernel = empty(gy, {0});
  if (need_kernel) {
    const Tensor xt = transposed(x);
    const bool narrow = is_narrow(x, x.size(0), kernel.size(1));
    gkernel = narrow ? narrow_product(xt, gz) : product(xt, gz, true);
  }
  return {gx, gkernel, gbias};
}

Tensor dropout(Tensor x, double rate, Tensor seed) {
  const DType dtype = dtype_of(x, "x");
  check_dropout(rate, seed, x, "x");
  const Tensor from = packed(x), y = empty_like_of(x);
  const Epilogue e = {dtype, Activation::kNone, dropout_of(rate, seed), 1, x.numel()};
  run_forward(e, from.const_data_ptr(), nullptr, y.mutable_data_ptr(), nullptr);
  return y;
}

// Denormal numbers

// In each thread that torch computes with: numbers too small for float32's full precision count as
// zero from now on, or again as they did before. Arithmetic with them costs a hundred times more,
// and the running averages of weights that no longer change end there.
void flush_denormals(bool on) {
  torch::stable::parallel_for(0, torch::stable::get_num_threads(), 1, [&](int64_t, int64_t) {
    static thread_local uint64_t before = 0;
    if (on) {
      before = denormal_mode();
      set_denormal_mode(before | kFlushes);
    } else {
      set_denormal_mode(before);
    }
  });
}

int64_t version() { return kVersion; }

// 0: base, 1: AVX2, 2: AVX-512; from how many operations products go to oneDNN, 0 for never; and
// whether MKL is slow on this CPU.
std::tuple<int64_t, double, bool> cpu() {
  const int64_t isa = std::strcmp(kernels().name, "avx512") == 0
                          ? 2
                          : (std::strcmp(kernels().name, "avx2") == 0 ? 1 : 0);
  const bool forced = takes_onednn(1, 1, 1, false);
  const bool any = takes_onednn(1 << 20, 1 << 20, 1 << 20, false);
  return {isa, forced ? 1.0 : (any ? least_onednn_flops() : 0.0), mkl_is_slow()};
}

}  // namespace
}  // namespace torchkeras

STABLE_TORCH_LIBRARY(torchkeras, m) {
  m.def(
      "dense_act_dropout(Tensor x, Tensor kernel, Tensor? bias, int activation, float rate, "
      "Tensor? seed) -> (Tensor, Tensor)");
  m.def(
      "dense_act_dropout_backward(Tensor gy, Tensor x, Tensor kernel, Tensor y, Tensor pre, "
      "int activation, float rate, Tensor? seed, bool need_x, bool need_kernel, bool need_bias) "
      "-> (Tensor, Tensor, Tensor)");
  m.def(
      "bias_act_dropout(Tensor z, Tensor? bias, int activation, float rate, Tensor? seed) -> "
      "(Tensor, Tensor)");
  m.def(
      "bias_act_dropout_backward(Tensor gy, Tensor y, Tensor pre, int activation, float rate, "
      "Tensor? seed, bool need_bias) -> (Tensor, Tensor)");
  m.def("dropout(Tensor x, float rate, Tensor seed) -> Tensor");
  m.def("flush_denormals(bool on) -> ()");
  m.def("version() -> int");
  m.def("cpu() -> (int, float, bool)");
}

STABLE_TORCH_LIBRARY_IMPL(torchkeras, CPU, m) {
  m.impl("dense_act_dropout", TORCH_BOX(&torchkeras::dense_act_dropout));
  m.impl("dense_act_dropout_backward", TORCH_BOX(&torchkeras::dense_act_dropout_backward));
  m.impl("bias_act_dropout", TORCH_BOX(&torchkeras::bias_act_dropout));
  m.impl("bias_act_dropout_backward", TORCH_BOX(&torchkeras::bias_act_dropout_backward));
  m.impl("dropout", TORCH_BOX(&torchkeras::dropout));
}

STABLE_TORCH_LIBRARY_IMPL(torchkeras, CompositeExplicitAutograd, m) {
  m.impl("flush_denormals", TORCH_BOX(&torchkeras::flush_denormals));
  m.impl("version", TORCH_BOX(&torchkeras::version));
  m.impl("cpu", TORCH_BOX(&torchkeras::cpu));
}
