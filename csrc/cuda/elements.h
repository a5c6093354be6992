// Elements as the CUDA kernels see them: number types, activations, and chunks of 8 elements, which
// are read and written as 16-byte vectors where they are whole and lie at a multiple of 16 bytes.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(TK_CPU_EMULATE)
#include <stdexcept>

#include "../cpu/vector_math.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include "../common/activation.h"
#include "../common/philox.h"

// Compilers for the host warn about a pragma that they do not know.
#if defined(__CUDA_ARCH__)
#define TK_UNROLL _Pragma("unroll")
#define TK_UNROLL_8 _Pragma("unroll 8")
#else
#define TK_UNROLL
#define TK_UNROLL_8
#endif

namespace torchkeras {
namespace cuda {
namespace {

constexpr int kChunk = kHalvesPerBlock;

// Number types: as stored, and as computed with

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

template <class T> struct ComputeOf { using Type = float; };
template <> struct ComputeOf<double> { using Type = double; };
template <class T> using Compute = typename ComputeOf<T>::Type;

TK_HD inline float read(float x) { return x; }
TK_HD inline double read(double x) { return x; }
TK_HD inline void write(float x, float& to) { to = x; }
TK_HD inline void write(double x, double& to) { to = x; }
#if defined(TK_CPU_EMULATE)
inline float read(BFloat16 x) { return float_of_bfloat16(x.bits); }
inline float read(Float16 x) { return float_of_float16(x.bits); }
inline void write(float x, BFloat16& to) { to.bits = bfloat16_of_float(x); }
inline void write(float x, Float16& to) { to.bits = float16_of_float(x); }
template <class T>
inline uint32_t pair_of(float low, float high) {
  T pair[2];
  write(low, pair[0]);
  write(high, pair[1]);
  return pair[0].bits | static_cast<uint32_t>(pair[1].bits) << 16;
}
#else
TK_HD inline float read(BFloat16 x) {
  return __bfloat162float(__nv_bfloat16(__nv_bfloat16_raw{x.bits}));
}
TK_HD inline float read(Float16 x) { return __half2float(__half(__half_raw{x.bits})); }
TK_HD inline void write(float x, BFloat16& to) {
  to.bits = __nv_bfloat16_raw(__float2bfloat16_rn(x)).x;
}
TK_HD inline void write(float x, Float16& to) { to.bits = __half_raw(__float2half_rn(x)).x; }
// Two numbers in a word, converted by one instruction.
template <class T> TK_HD inline uint32_t pair_of(float low, float high);
template <> TK_HD inline uint32_t pair_of<BFloat16>(float low, float high) {
  const __nv_bfloat162_raw pair(__floats2bfloat162_rn(low, high));
  return pair.x | static_cast<uint32_t>(pair.y) << 16;
}
template <> TK_HD inline uint32_t pair_of<Float16>(float low, float high) {
  const __half2_raw pair(__floats2half2_rn(low, high));
  return pair.x | static_cast<uint32_t>(pair.y) << 16;
}
#endif

struct Math {
  TK_HD static float exp(float x) { return ::expf(x); }
  TK_HD static float exp_of_negative(float x) { return ::expf(x); }
  TK_HD static float expm1(float x) { return ::expm1f(x); }
  TK_HD static float tanh(float x) { return ::tanhf(x); }
  TK_HD static float erf_plus_one(float x) { return 1.0f + ::erff(x); }
  TK_HD static float log1p(float x) { return ::log1pf(x); }
  TK_HD static double exp(double x) { return ::exp(x); }
  TK_HD static double exp_of_negative(double x) { return ::exp(x); }
  TK_HD static double expm1(double x) { return ::expm1(x); }
  TK_HD static double tanh(double x) { return ::tanh(x); }
  TK_HD static double erf_plus_one(double x) { return 1.0 + ::erf(x); }
  TK_HD static double log1p(double x) { return ::log1p(x); }
};

// Activations, chosen when compiling: each kernel has registers for its own only.

template <Activation A, class C>
TK_HD inline C activate(C x) {
  using F = ActivationOf<C, Math>;
  if constexpr (A == Activation::kRelu) return F::relu(x);
  else if constexpr (A == Activation::kSigmoid) return F::sigmoid(x);
  else if constexpr (A == Activation::kTanh) return F::tanh(x);
  else if constexpr (A == Activation::kGelu) return F::gelu(x);
  else if constexpr (A == Activation::kGeluTanh) return F::gelu_tanh(x);
  else if constexpr (A == Activation::kSilu) return F::silu(x);
  else if constexpr (A == Activation::kSoftplus) return F::softplus(x);
  else if constexpr (A == Activation::kElu) return F::elu(x);
  else if constexpr (A == Activation::kLeakyRelu) return F::leaky_relu(x);
  else return x;
}

// The gradient g times the slope at v: the value, or the sum where the slope needs that.
template <Activation A, class C>
TK_HD inline C chain(C g, C v) {
  using F = ActivationOf<C, Math>;
  // A product with the slope 0 would turn an infinite gradient into NaN.
  if constexpr (A == Activation::kRelu) return v <= C(0) ? C(0) : g;
  else if constexpr (A == Activation::kSigmoid) return g * F::sigmoid_slope(v);
  else if constexpr (A == Activation::kTanh) return g * F::tanh_slope(v);
  else if constexpr (A == Activation::kGelu) return g * F::gelu_slope(v);
  else if constexpr (A == Activation::kGeluTanh) return g * F::gelu_tanh_slope(v);
  else if constexpr (A == Activation::kSilu) return g * F::silu_slope(v);
  else if constexpr (A == Activation::kSoftplus) return g * F::softplus_slope(v);
  else if constexpr (A == Activation::kElu) return g * F::elu_slope(v);
  else if constexpr (A == Activation::kLeakyRelu) return g * F::leaky_relu_slope(v);
  else return g;
}

// Chunks

template <class T>
struct alignas(16) Chunk {
  T element[kChunk];

  TK_HD T at(int i) const { return element[i]; }
  TK_HD void set(int i, T x) { element[i] = x; }
  TK_HD void pack(const T* x) {
    TK_UNROLL
    for (int i = 0; i < kChunk; ++i) element[i] = x[i];
  }
};

// Two numbers to a register: one each would not fit.
template <class T>
struct alignas(16) HalfChunk {
  uint32_t pair[kChunk / 2];

  TK_HD T at(int i) const { return {static_cast<uint16_t>(pair[i / 2] >> (16 * (i % 2)))}; }
  TK_HD void set(int i, T x) {
    const uint32_t other = i % 2 ? pair[i / 2] & 0xFFFFu : 0;
    pair[i / 2] = other | static_cast<uint32_t>(x.bits) << (16 * (i % 2));
  }
  TK_HD void pack(const float* x) {
    TK_UNROLL
    for (int i = 0; i < kChunk / 2; ++i) pair[i] = pair_of<T>(x[2 * i], x[2 * i + 1]);
  }
};
template <> struct Chunk<BFloat16> : HalfChunk<BFloat16> {};
template <> struct Chunk<Float16> : HalfChunk<Float16> {};

inline bool is_aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

// A vector anywhere else is an error on a GPU, so it is one in the test as well.
#if defined(TK_CPU_EMULATE)
inline void require_aligned(const void* pointer) {
  if (!is_aligned(pointer)) throw std::logic_error("A vector must lie at a multiple of 16 bytes.");
}
#else
TK_HD inline void require_aligned(const void*) {}
#endif

// Chunk `index` of a tensor, the first `count` elements of it; zeros take the place of others.
template <class T>
TK_HD inline Chunk<T> load(const T* from, int64_t index, int count, bool aligned) {
  from += kChunk * index;
  if (aligned && count == kChunk) {
    require_aligned(from);
    return *reinterpret_cast<const Chunk<T>*>(from);
  }
  Chunk<T> chunk;
  TK_UNROLL
  for (int i = 0; i < kChunk; ++i) chunk.set(i, i < count ? from[i] : T{});
  return chunk;
}

template <class T>
TK_HD inline void store(const Chunk<T>& chunk, T* to, int64_t index, int count, bool aligned) {
  to += kChunk * index;
  if (aligned && count == kChunk) {
    require_aligned(to);
    *reinterpret_cast<Chunk<T>*>(to) = chunk;
    return;
  }
  TK_UNROLL
  for (int i = 0; i < kChunk; ++i) {
    if (i < count) to[i] = chunk.at(i);
  }
}

}  // namespace
}  // namespace cuda
}  // namespace torchkeras
