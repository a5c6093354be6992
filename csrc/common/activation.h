// The activations that the kernels know, value and derivative, for one element.
//
// `Math` supplies exp, expm1, tanh and log1p for the number type at hand: vectorizable
// polynomials on a CPU (cpu/vector_math.h), the device functions on a GPU. Its `erf_plus_one(x)`
// is 1 + erf(x) and its `exp_of_negative(x)` exp(x) for x <= 0, where an absolute error of one
// rounding is enough. The constants are Keras's defaults: elu's alpha is 1, leaky_relu's slope 0.2.
#pragma once

#include "philox.h"  // TK_HD

namespace torchkeras {

// torchkeras/kernels/activation_codes.py has the same numbers.
enum class Activation : int {
  kNone = 0,
  kRelu = 1,
  kSigmoid = 2,
  kTanh = 3,
  kGelu = 4,
  kGeluTanh = 5,
  kSilu = 6,
  kSoftplus = 7,
  kElu = 8,
  kLeakyRelu = 9,
};
constexpr int kActivationCount = 10;

// Whether the derivative is computed from the sum before the activation (which is then kept for
// backward); else the value after it is enough.
TK_HD inline bool needs_preactivation(Activation a) {
  return a == Activation::kGelu || a == Activation::kGeluTanh || a == Activation::kSilu;
}

// Whether a dropped element can be told from its value: it is 0, and an element that is 0 without
// having been dropped has the derivative 0. Then backward needs no random numbers.
TK_HD inline bool zero_means_no_gradient(Activation a) {
  return a == Activation::kRelu || a == Activation::kSigmoid;
}

template <class T, class Math>
struct ActivationOf {
  static constexpr T kSqrtHalf = T(0.70710678118654752440);
  static constexpr T kInvSqrt2Pi = T(0.39894228040143267794);
  static constexpr T kSqrt2OverPi = T(0.79788456080286535588);
  static constexpr T kGeluCubic = T(0.044715);
  static constexpr T kSlope = T(0.2);

  // Values, of the sum x. NaN stays NaN.
  TK_HD static T relu(T x) { return x <= T(0) ? T(0) : x; }
  TK_HD static T sigmoid(T x) { return T(1) / (T(1) + Math::exp(-x)); }
  TK_HD static T tanh(T x) { return Math::tanh(x); }
  TK_HD static T gelu(T x) { return T(0.5) * x * Math::erf_plus_one(x * kSqrtHalf); }
  TK_HD static T gelu_tanh(T x) {
    return T(0.5) * x * (T(1) + Math::tanh(kSqrt2OverPi * (x + kGeluCubic * x * x * x)));
  }
  TK_HD static T silu(T x) { return x / (T(1) + Math::exp(-x)); }
  TK_HD static T softplus(T x) {
    const T magnitude = x < T(0) ? -x : x;
    return (x <= T(0) ? T(0) : x) + Math::log1p(Math::exp(-magnitude));
  }
  TK_HD static T elu(T x) {
    const T below = Math::expm1(x > T(0) ? T(0) : x);
    return x < T(0) ? below : x;  // so -0 stays -0, as in the definition
  }
  TK_HD static T leaky_relu(T x) { return x > T(0) ? x : kSlope * x; }

  // Derivatives, of the value y where that is enough, else of the sum x. A value that was stored
  // with a dropout's scale in a half type may come back beyond its limit, 1 or -1, by a rounding
  // error: the slope is 0 there, not below. NaN stays NaN.
  TK_HD static T not_below_zero(T slope) { return slope < T(0) ? T(0) : slope; }
  TK_HD static T relu_slope(T y) { return y <= T(0) ? T(0) : T(1); }
  TK_HD static T sigmoid_slope(T y) { return y * not_below_zero(T(1) - y); }
  TK_HD static T tanh_slope(T y) { return not_below_zero(T(1) - y * y); }
  TK_HD static T gelu_slope(T x) {
    const T below = T(0.5) * Math::erf_plus_one(x * kSqrtHalf);
    return below + x * kInvSqrt2Pi * Math::exp_of_negative(T(-0.5) * x * x);
  }
  TK_HD static T gelu_tanh_slope(T x) {
    const T t = Math::tanh(kSqrt2OverPi * (x + kGeluCubic * x * x * x));
    const T inner = kSqrt2OverPi * (T(1) + T(3) * kGeluCubic * x * x);
    return T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * inner;
  }
  TK_HD static T silu_slope(T x) {
    const T s = T(1) / (T(1) + Math::exp(-x));
    return s * (T(1) + x * (T(1) - s));
  }
  TK_HD static T softplus_slope(T y) { return -Math::expm1(-y); }
  TK_HD static T elu_slope(T y) { return y > T(0) ? T(1) : not_below_zero(y + T(1)); }
  TK_HD static T leaky_relu_slope(T y) { return y > T(0) ? T(1) : kSlope; }
};

}  // namespace torchkeras
