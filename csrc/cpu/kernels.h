// The CPU kernels, without torch: pointers, sizes, and one table of functions per instruction set.
//
// Everything works on tiles, pieces of about a thousand elements that stay in the first cache
// while one simple loop after another passes over them: read, add the bias, activate, drop, write.
// A tensor of `rows * cols` contiguous elements is cut into `tiles(...)` of them; a call computes
// the tiles [begin, end), so that the caller decides about threads.
#pragma once

#include <cstdint>

#include "../common/activation.h"
#include "../common/dtype.h"
#include "../common/philox.h"

namespace torchkeras {

struct Epilogue {
  DType dtype;
  Activation activation;
  Dropout dropout;
  int64_t rows;
  int64_t cols;
};

constexpr int64_t kTile = 1024;
constexpr int64_t kNarrow = 16;  // the most columns of a `matmul_narrow`

// Of how many tiles a tensor consists: whole rows where several fit into one, else parts of one.
inline int64_t rows_per_tile(int64_t cols) { return cols > 0 && cols <= kTile / 2 ? kTile / cols : 1; }
inline int64_t tiles_per_row(int64_t cols) { return cols <= kTile / 2 ? 1 : (cols + kTile - 1) / kTile; }
inline int64_t tiles(int64_t rows, int64_t cols) {
  const int64_t each = rows_per_tile(cols);
  return (rows + each - 1) / each * tiles_per_row(cols);
}

// An LSTM or a GRU over the steps of a sequence. Each unit has four sums: an LSTM's gates i, f, g, o,
// or a GRU's z and r and the two products whose sum, the first one times r, makes n: that with the
// state and that with the input.
struct Recurrence {
  DType dtype;  // float32 or float64
  bool is_lstm;
  bool zero_output;  // whether outputs of steps left out are zero, not those of the step before
  int64_t batch, steps, features, units;
  const uint8_t* mask;   // (batch, steps), 0 for steps to leave out; or null
  const int64_t* first;  // (batch), the first step that is not left out; null without a mask
};

// Of a row of `inputs`: the input, the state before, and a 1, by which the product of all rows with
// the gradients of the sums has the gradients of both kernels and of the biases.
inline int64_t input_width(const Recurrence& r) { return r.features + r.units + 1; }

// What the forward pass reads and writes. Where `gates` is null nothing is kept for the gradient,
// and `inputs` and `cells` have room for two steps.
struct RecurrentForward {
  const void* packed;
  const void *h, *c;  // (batch, units); c of an LSTM alone, as all named after cells
  const void* x;
  int64_t x_batch_stride, x_step_stride;
  void* inputs;   // (steps, batch, input_width)
  void* cells;    // (steps, batch, units), before
  void* gates;    // (steps, batch, 4, units), what the sums became; a GRU's third is the product
  void* outputs;  // (batch, steps, units), or null
  void *last_h, *last_c;
};

// And the backward pass. `grad_h` and `grad_c` hold the gradients of the last states at first, and
// those of the first states in the end.
struct RecurrentBackward {
  const void* packed;
  const void *inputs, *cells, *gates;
  const void* grad_outputs;  // or null
  int64_t outputs_batch_stride, outputs_step_stride;
  void* sums;  // (steps, batch, 4, units), the gradients of the sums
  void *grad_h, *grad_c;
};

struct Kernels {
  const char* name;

  // y = dropout(activation(z + bias)). `bias` may be null. `pre`, if not null, receives z + bias.
  // y may be z, and pre may be z, but not both.
  void (*forward)(const Epilogue&, const void* z, const void* bias, void* y, void* pre,
                  int64_t begin, int64_t end);

  // gz, the gradient of z + bias, from that of y, and either y or pre (see activation.h; the other
  // one is not read). `column_sums`, if not null, has `cols` numbers (double for float64, else
  // float) to which the sums over the rows of these tiles are added. If gz is null nothing but these
  // sums of gy is computed.
  void (*backward)(const Epilogue&, const void* gy, const void* y, const void* pre, void* gz,
                   void* column_sums, int64_t begin, int64_t end);

  // out[m, n] = sum over k < inner of a[m * a_row + k * a_col] * b[k, n], for m in [begin, end).
  // `b` and `out` are contiguous with `cols` columns, from 2 to kNarrow. Null where registers are
  // small: there torch's product is the faster one.
  void (*matmul_narrow)(const float* a, int64_t a_row, int64_t a_col, const float* b, float* out,
                        int64_t inner, int64_t cols, int64_t begin, int64_t end);

  // The 16-bit numbers of `blocks` blocks, 8 each; room for 16 blocks more than that is needed.
  void (*random_halves)(uint64_t seed, uint32_t draw, uint64_t first_block, int64_t blocks,
                        uint16_t* out);

  // Of recurrent.inl; null where registers are small. The units rounded up to whole registers; the
  // kernels as they are read, (width, 4, features + units + 1) numbers forward and (width, blocks,
  // units) backward, of which either may be null; and both passes for the rows [begin, end).
  int64_t (*recurrent_width)(const Recurrence&);
  void (*pack_recurrent)(const Recurrence&, const void* kernel, const void* recurrent,
                         const void* bias, void* forward, void* backward);
  void (*recurrent_forward)(const Recurrence&, const RecurrentForward&, int64_t begin, int64_t end);
  void (*recurrent_backward)(const Recurrence&, const RecurrentBackward&, int64_t begin,
                             int64_t end);
};

extern const Kernels kBaseKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

// The table for this CPU, or the one that TORCHKERAS_ISA names (base, avx2, avx512), for tests.
const Kernels& kernels();

// From how many operations (2 m k n) on this CPU multiplies float32 matrices faster by oneDNN than
// by MKL; 0 where it never does. Measured on AMD with AVX-512: on Zen 5, whose registers are 512
// bits wide all through, oneDNN is twice as fast; on Zen 4 MKL reaches nine tenths of the peak.
double least_onednn_flops();

// Whether that holds too where the sum is over the batch, in the gradient of a kernel.
bool prefers_onednn_over_batches();

// Whether this is an AMD CPU: there MKL, made by Intel, is two to five times slower than it could be
// in products with few columns, and in tanh.
bool mkl_is_slow();

}  // namespace torchkeras
