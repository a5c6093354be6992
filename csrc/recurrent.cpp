// The ops for LSTM and GRU on a CPU: checks, memory, products of all steps at once, threads. The
// computation is in cpu/recurrent.inl.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "common/tensors.h"
#include "cpu/kernels.h"
#include "products.h"

namespace torchkeras {
namespace {

// Multiplications that a thread is worth.
constexpr int64_t kGrain = 1 << 20;

// Memory for numbers of a tensor's dtype, at the border of a cache line.
class Scratch {
 public:
  Scratch(DType dtype, int64_t count)
      : bytes_(new char[count * (dtype == DType::kFloat64 ? 8 : 4) + kLine]) {}
  void* get() const {
    void* place = bytes_.get();
    size_t room = kLine;
    return std::align(kLine, 0, place, room);
  }

 private:
  static constexpr size_t kLine = 64;
  std::unique_ptr<char[]> bytes_;
};

// What both ops ask of the kernels and the mask; `batch` and `steps` are those of the inputs.
Recurrence recurrence_of(const Tensor& kernel, const Tensor& recurrent,
                         const std::optional<Tensor>& mask, bool zero_output, int64_t batch,
                         int64_t steps) {
  const DType dtype = dtype_of(kernel, "kernel");
  STD_TORCH_CHECK(dtype == DType::kFloat32 || dtype == DType::kFloat64,
                  "`kernel` must be float32 or float64. Received: ", name_of(kernel.scalar_type()),
                  ". Cast it first.");
  STD_TORCH_CHECK(kernels().recurrent_forward != nullptr,
                  "This op needs a CPU with AVX2. Use torch's own functions.");
  check_rank(kernel, "kernel", 2);
  check_rank(recurrent, "recurrent_kernel", 2);
  check_like(recurrent, "recurrent_kernel", kernel, "kernel");
  const int64_t units = recurrent.size(0), cols = recurrent.size(1);
  STD_TORCH_CHECK(units > 0 && (cols == 4 * units || cols == 3 * units),
                  "`recurrent_kernel` must have the shape (units, 4 * units) or (units, 3 * units). "
                  "Received: ", shape_of(recurrent), ". Check which tensors belong together.");
  check_sizes(kernel, "kernel", {kernel.size(0), cols});
  STD_TORCH_CHECK(steps > 0, "There must be a step. Received: sequences without any.");
  if (mask.has_value()) {
    check_sizes(*mask, "mask", {batch, steps});
    STD_TORCH_CHECK(mask->scalar_type() == ScalarType::Bool, "`mask` must be bool. Received: ",
                    name_of(mask->scalar_type()), ". Cast it first.");
    check_device(*mask, "mask", kernel, "kernel");
  }
  return {dtype, cols == 4 * units, zero_output, batch, steps, kernel.size(0), units,
          nullptr, nullptr};
}

// The mask as the kernels read it; holds what `Recurrence` points to.
struct Mask {
  std::optional<Tensor> numbers;
  std::vector<int64_t> first;

  Mask(Recurrence& r, const std::optional<Tensor>& mask) {
    if (!mask.has_value()) return;
    numbers = packed(*mask);
    r.mask = static_cast<const uint8_t*>(numbers->const_data_ptr());
    first.resize(r.batch);
    for (int64_t row = 0; row < r.batch; ++row) {
      const uint8_t* const from = r.mask + row * r.steps;
      first[row] = std::find_if(from, from + r.steps, [](uint8_t here) { return here != 0; }) - from;
    }
    r.first = first.data();
  }
};

void check_state(const Tensor& t, const char* name, const Recurrence& r, const Tensor& kernel) {
  check_like(t, name, kernel, "kernel");
  check_sizes(t, name, {r.batch, r.units});
}

int64_t grain_of(const Recurrence& r) {
  const int64_t of_a_row = r.steps * 4 * r.units * (r.features + r.units);
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, of_a_row));
}

const void* data_of(const std::optional<Tensor>& t) {
  return t.has_value() ? t->const_data_ptr() : nullptr;
}

// Where each step of a sequence can be read as it lies, else a copy.
Tensor with_rows(const Tensor& t) {
  return t.stride(2) == 1 || t.size(2) == 1 ? t : torch::stable::contiguous(t);
}

// A copy of a state, or zeros.
Tensor state_of(const std::optional<Tensor>& given, const Recurrence& r, const Tensor& kernel) {
  const Tensor made = empty(kernel, {r.batch, r.units});
  const int64_t bytes = r.batch * r.units * (r.dtype == DType::kFloat64 ? 8 : 4);
  if (given.has_value()) {
    std::memcpy(made.mutable_data_ptr(), packed(*given).const_data_ptr(), bytes);
  } else {
    std::memset(made.mutable_data_ptr(), 0, bytes);
  }
  return made;
}

using Forward = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

Forward recurrent_steps(Tensor x, Tensor h, std::optional<Tensor> c, Tensor kernel,
                        Tensor recurrent, std::optional<Tensor> bias, std::optional<Tensor> mask,
                        bool zero_output, bool keeps) {
  check_rank(x, "x", 3);
  Recurrence r = recurrence_of(kernel, recurrent, mask, zero_output, x.size(0), x.size(1));
  check_like(x, "x", kernel, "kernel");
  check_sizes(x, "x", {r.batch, r.steps, r.features});
  check_state(h, "h", r, kernel);
  STD_TORCH_CHECK(c.has_value() == r.is_lstm, "`c` must be given for four gates, and for four alone. "
                  "Received: a recurrent kernel of shape ", shape_of(recurrent),
                  c.has_value() ? " with `c`." : " without.", " Check which tensors belong together.");
  if (c.has_value()) check_state(*c, "c", r, kernel);
  if (bias.has_value()) {
    check_like(*bias, "bias", kernel, "kernel");
    if (r.is_lstm) {
      check_sizes(*bias, "bias", {4 * r.units});
    } else {
      check_sizes(*bias, "bias", {2, 3 * r.units});
    }
  }
  const Mask held(r, mask);
  const int64_t inner = r.features + r.units;
  const Scratch weights(r.dtype, kernels().recurrent_width(r) * 4 * (inner + 1));
  const Tensor w = packed(kernel), u = packed(recurrent), from = with_rows(x);
  const Tensor b = bias.has_value() ? packed(*bias) : w;
  kernels().pack_recurrent(r, w.const_data_ptr(), u.const_data_ptr(),
                           bias.has_value() ? b.const_data_ptr() : nullptr, weights.get(), nullptr);
  const int64_t slots = keeps ? r.steps : 2;
  const Tensor inputs = empty(kernel, {slots * r.batch, input_width(r)});
  const Tensor cells = empty(kernel, {r.is_lstm ? slots * r.batch : 0, r.units});
  const Tensor gates = empty(kernel, {keeps ? r.steps * r.batch : 0, 4 * r.units});
  const Tensor outputs = empty(kernel, {r.batch, r.steps, r.units});
  const Tensor last_h = empty(kernel, {r.batch, r.units});
  const Tensor last_c = empty(kernel, {r.is_lstm ? r.batch : 0, r.units});
  const Tensor first_h = packed(h), first_c = packed(c.has_value() ? *c : h);
  RecurrentForward f;
  f.packed = weights.get();
  f.h = first_h.const_data_ptr();
  f.c = first_c.const_data_ptr();
  f.x = from.const_data_ptr();
  f.x_batch_stride = from.stride(0);
  f.x_step_stride = from.stride(1);
  f.inputs = inputs.mutable_data_ptr();
  f.cells = cells.mutable_data_ptr();
  f.gates = keeps ? gates.mutable_data_ptr() : nullptr;
  f.outputs = outputs.mutable_data_ptr();
  f.last_h = last_h.mutable_data_ptr();
  f.last_c = last_c.mutable_data_ptr();
  torch::stable::parallel_for(0, r.batch, grain_of(r), [&](int64_t begin, int64_t end) {
    kernels().recurrent_forward(r, f, begin, end);
  });
  if (keeps) return {outputs, last_h, last_c, inputs, cells, gates};
  return {outputs, last_h, last_c, empty(kernel, {0}), empty(kernel, {0}), empty(kernel, {0})};
}

// A GRU's kernel with the blocks of the four sums, of which the third takes no inputs.
Tensor spread(const Recurrence& r, const Tensor& kernel) {
  const Tensor from = packed(kernel), made = empty(kernel, {r.features, 4 * r.units});
  const int64_t block = r.units * (r.dtype == DType::kFloat64 ? 8 : 4);
  for (int64_t row = 0; row < r.features; ++row) {
    char* const to = static_cast<char*>(made.mutable_data_ptr()) + row * 4 * block;
    const char* const given = static_cast<const char*>(from.const_data_ptr()) + row * 3 * block;
    std::memcpy(to, given, 2 * block);
    std::memset(to + 2 * block, 0, block);
    std::memcpy(to + 3 * block, given + 2 * block, block);
  }
  return made;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> recurrent_steps_backward(
    std::optional<Tensor> grad_outputs, std::optional<Tensor> grad_h, std::optional<Tensor> grad_c,
    Tensor kernel, Tensor recurrent, std::optional<Tensor> mask, Tensor inputs, Tensor cells,
    Tensor gates, int64_t steps, bool zero_output, bool need_x) {
  check_rank(inputs, "inputs", 2);
  const int64_t rows = inputs.size(0);
  Recurrence r = recurrence_of(kernel, recurrent, mask, zero_output,
                               steps > 0 ? rows / steps : 0, steps);
  check_like(inputs, "inputs", kernel, "kernel");
  check_sizes(inputs, "inputs", {r.batch * steps, input_width(r)});
  check_like(cells, "cells", kernel, "kernel");
  check_sizes(cells, "cells", {r.is_lstm ? rows : 0, r.units});
  check_like(gates, "gates", kernel, "kernel");
  check_sizes(gates, "gates", {rows, 4 * r.units});
  if (grad_outputs.has_value()) {
    check_like(*grad_outputs, "grad_outputs", kernel, "kernel");
    check_sizes(*grad_outputs, "grad_outputs", {r.batch, r.steps, r.units});
    grad_outputs = with_rows(*grad_outputs);
  }
  if (grad_h.has_value()) check_state(*grad_h, "grad_h", r, kernel);
  if (!r.is_lstm) grad_c = std::nullopt;
  if (grad_c.has_value()) check_state(*grad_c, "grad_c", r, kernel);
  const Mask held(r, mask);
  const Scratch weights(r.dtype, kernels().recurrent_width(r) * 4 * r.units);
  const Tensor w = packed(kernel), u = packed(recurrent);
  kernels().pack_recurrent(r, w.const_data_ptr(), u.const_data_ptr(), nullptr, nullptr,
                           weights.get());
  const Tensor in = packed(inputs), before = packed(cells), had = packed(gates);
  const Tensor sums = empty(kernel, {rows, 4 * r.units});
  const Tensor first_h = state_of(grad_h, r, kernel);
  const Tensor first_c = r.is_lstm ? state_of(grad_c, r, kernel) : empty(kernel, {0, r.units});
  RecurrentBackward b;
  b.packed = weights.get();
  b.inputs = in.const_data_ptr();
  b.cells = before.const_data_ptr();
  b.gates = had.const_data_ptr();
  b.grad_outputs = data_of(grad_outputs);
  b.outputs_batch_stride = grad_outputs.has_value() ? grad_outputs->stride(0) : 0;
  b.outputs_step_stride = grad_outputs.has_value() ? grad_outputs->stride(1) : 0;
  b.sums = sums.mutable_data_ptr();
  b.grad_h = first_h.mutable_data_ptr();
  b.grad_c = first_c.mutable_data_ptr();
  torch::stable::parallel_for(0, r.batch, grain_of(r), [&](int64_t begin, int64_t end) {
    kernels().recurrent_backward(r, b, begin, end);
  });
  const Tensor of_kernels = product(transposed(in), sums, true);
  const Tensor of_x = need_x ? product(sums, transposed(r.is_lstm ? kernel : spread(r, kernel)))
                             : empty(kernel, {0});
  return {of_x, first_h, first_c, of_kernels};
}

}  // namespace
}  // namespace torchkeras

STABLE_TORCH_LIBRARY_FRAGMENT(torchkeras, m) {
  m.def(
      "recurrent_steps(Tensor x, Tensor h, Tensor? c, Tensor kernel, Tensor recurrent_kernel, "
      "Tensor? bias, Tensor? mask, bool zero_output, bool keeps) -> (Tensor, Tensor, Tensor, "
      "Tensor, Tensor, Tensor)");
  m.def(
      "recurrent_steps_backward(Tensor? grad_outputs, Tensor? grad_h, Tensor? grad_c, "
      "Tensor kernel, Tensor recurrent_kernel, Tensor? mask, Tensor inputs, Tensor cells, "
      "Tensor gates, int steps, bool zero_output, bool need_x) -> (Tensor, Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(torchkeras, CPU, m) {
  m.impl("recurrent_steps", TORCH_BOX(&torchkeras::recurrent_steps));
  m.impl("recurrent_steps_backward", TORCH_BOX(&torchkeras::recurrent_steps_backward));
}
