// The CUDA kernels, without torch: device pointers, sizes and a stream.
//
// What follows a matrix product in one pass over memory: y = dropout(activation(z + bias)), and its
// gradient. Tensors are matrices of `rows * cols` contiguous elements. Nothing here waits for the
// device or reads its memory on the host, so that a CUDA graph can hold all of it.
#pragma once

#include <cstdint>

#include "../common/activation.h"
#include "../common/dtype.h"
#include "../common/philox.h"

#if defined(TK_CPU_EMULATE)
// A test compiles the kernels as plain C++: the same arithmetic, one thread after the other.
using cudaStream_t = void*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
inline const char* cudaGetErrorString(cudaError_t) { return ""; }
#else
#include <cuda_runtime_api.h>
#endif

namespace torchkeras {
namespace cuda {

struct Epilogue {
  DType dtype;
  Activation activation;
  int64_t rows;
  int64_t cols;
  double rate;          // of the dropout
  const int64_t* seed;  // on the device: [seed] or [seed, draw]; null: no dropout
  bool has_draw;
  int multiprocessors;  // of the device
  cudaStream_t stream;  // of the device, which must be the current one
};

cudaError_t multiprocessors(int device, int* count);

// y = dropout(activation(z + bias)). `bias` may be null. `pre`, if not null, receives z + bias.
// y may be z, and pre may be z, but not both.
cudaError_t forward(const Epilogue&, const void* z, const void* bias, void* y, void* pre);

// How many numbers of workspace `backward` needs for `gbias`; double for float64, else float.
int64_t partial_sums(const Epilogue&);

// gz, the gradient of z + bias, from that of y, and either y or pre (see activation.h; the other
// one is not read). `gbias`, if not null, receives its sums over the rows, added in an order that
// the sizes and the device determine; `partial` is the workspace for it. gz may be null then.
cudaError_t backward(const Epilogue&, const void* gy, const void* y, const void* pre, void* gz,
                     void* gbias, void* partial);

}  // namespace cuda
}  // namespace torchkeras
