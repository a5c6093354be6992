// exp, expm1, tanh, log1p and 1 + erf for float without calls or branches, so that the compiler
// vectorizes a loop over them; for double the C library's.
//
// The polynomials are minimax fits of our own (relative error below 1e-8, before rounding); the
// results are within 2 units in the last place, tested in tests/kernels against float64.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace torchkeras {

inline float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

struct FloatMath {
  static inline float magnitude(float x) { return float_of_bits(bits_of_float(x) & 0x7FFFFFFFu); }

  // |x| with the sign of `sign`, for x >= 0.
  static inline float with_sign(float x, float sign) {
    return float_of_bits(bits_of_float(x) | (bits_of_float(sign) & 0x80000000u));
  }

  // exp(x) = 2^n * exp(r), |r| <= ln(2) / 2: returns exp(r). x from -105 to 90, or NaN.
  static inline float exp_of_rest(float x, int32_t& n_out) {
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
    const float shifted = x * 1.44269504f + 12582912.0f;
    const float n = shifted - 12582912.0f;
    float r = x - n * 0.693359375f;  // ln(2) in two parts; the first has few bits, n times it is exact
    r = r + n * 2.12194440e-4f;
    float q = 0.00139504857f;
    q = q * r + 0.00836888794f;
    q = q * r + 0.041666206f;
    q = q * r + 0.166665182f;
    q = q * r + 0.5f;
    n_out = static_cast<int32_t>(bits_of_float(shifted) - 0x4B400000u);
    return (q * r) * r + r + 1.0f;
  }

  static inline float power_of_two(int32_t n) {
    return float_of_bits(static_cast<uint32_t>(n + 127) << 23);
  }

  static inline float exp(float x) {
    // Beyond these limits the result is 0 or infinite. The comparisons let NaN pass through.
    x = x > 90.0f ? 90.0f : x;
    x = x < -105.0f ? -105.0f : x;
    int32_t n;
    const float rest = exp_of_rest(x, n);
    // In two factors: n reaches from -151 to 130, an exponent only from -126 to 127.
    return rest * power_of_two(n >> 1) * power_of_two(n - (n >> 1));
  }

  static inline float expm1(float x) {
    float q = 0.000199990682f;
    q = q * x + 0.00140018517f;
    q = q * x + 0.00833305158f;
    q = q * x + 0.0416652039f;
    q = q * x + 0.166666687f;
    q = q * x + 0.50000006f;
    const float near_zero = (q * x) * x + x;
    const float far = exp(x) - 1.0f;
    return magnitude(x) < 0.5f ? near_zero : far;
  }

  static inline float tanh(float x) {
    const float a = magnitude(x), s = x * x;
    float q = -0.00571703678f;
    q = q * s + 0.0206505787f;
    q = q * s - 0.0537434965f;
    q = q * s + 0.133314908f;
    q = q * s - 0.333332837f;
    const float near_zero = (q * s) * x + x;
    const float far = with_sign(1.0f - 2.0f / (exp(2.0f * a) + 1.0f), x);
    return a < 0.625f ? near_zero : far;
  }

  // exp(x) for x <= 0, within 2 units in the last place down to exp(-87); 0 for smaller x. NaN
  // passes through.
  static inline float exp_of_negative(float x) {
    int32_t n;
    const float rest = exp_of_rest(x < -87.0f ? -87.0f : x, n);
    const float result = rest * power_of_two(n);
    return x < -87.0f ? 0.0f : result;
  }

  // 1 + erf(x), within 1.5e-7: one polynomial for -log(erfc(|x|)) / |x|, whose value at 4 serves
  // beyond it: erfc falls to 0 there, as it must, since gelu multiplies it by x.
  static inline float erf_plus_one(float x) {
    const float a = magnitude(x), t = a > 4.0f ? 4.0f : a;
    float q = -8.04382307e-06f;
    q = q * t + 0.000106026659f;
    q = q * t - 0.000587950693f;
    q = q * t + 0.0015767602f;
    q = q * t - 5.87815266e-05f;
    q = q * t - 0.0192171428f;
    q = q * t + 0.102799207f;
    q = q * t + 0.636616111f;
    q = q * t + 1.12837934f;
    const float erfc = exp_of_negative(-(q * a));
    return x < 0.0f ? erfc : 2.0f - erfc;
  }

  // For u from 0 to 1.
  static inline float log1p(float u) {
    const float s = u / (2.0f + u), t = s * s;  // log1p(u) = 2 atanh(s)
    float q = 0.243675306f;
    q = q * t + 0.214113086f;
    q = q * t + 0.286182523f;
    q = q * t + 0.399988323f;
    q = q * t + 0.666666746f;
    return u - s * (u - q * t);  // 2 s is u - s u; u has no rounding error
  }
};

struct DoubleMath {
  static inline double exp(double x) { return std::exp(x); }
  static inline double expm1(double x) { return std::expm1(x); }
  static inline double tanh(double x) { return std::tanh(x); }
  static inline double exp_of_negative(double x) { return std::exp(x); }
  static inline double erf_plus_one(double x) { return 1.0 + std::erf(x); }
  static inline double log1p(double x) { return std::log1p(x); }
};

// bfloat16 and float16 as they lie in memory. Rounding is to nearest, ties to even.

inline float float_of_bfloat16(uint16_t h) { return float_of_bits(static_cast<uint32_t>(h) << 16); }

inline uint16_t bfloat16_of_float(float value) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  return static_cast<uint16_t>(nan ? (bits >> 16) | 0x0040u : rounded);
}

inline float float_of_float16(uint16_t h) {
  const uint32_t magnitude = static_cast<uint32_t>(h & 0x7FFFu) << 13;
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  // The exponents differ by 112; a product with 2^112 puts subnormal numbers right, too.
  const uint32_t finite = bits_of_float(float_of_bits(magnitude) * float_of_bits(0x77800000u));
  const uint32_t special = magnitude | 0x7F800000u;
  return float_of_bits(((h & 0x7FFFu) >= 0x7C00u ? special : finite) | sign);
}

inline uint16_t float16_of_float(float value) {
  const uint32_t all = bits_of_float(value);
  const uint32_t sign = (all >> 16) & 0x8000u, bits = all & 0x7FFFFFFFu;
  // Normal results: move the exponent by 112, round at bit 13; a carry may reach infinity.
  const uint32_t normal = (bits - 0x38000000u + 0x0FFFu + ((bits >> 13) & 1u)) >> 13;
  // Subnormal results: a sum with 0.5 rounds at the right bit, 2^-24.
  const uint32_t tiny = bits_of_float(float_of_bits(bits) + 0.5f) - 0x3F000000u;
  const uint32_t huge = bits > 0x7F800000u ? 0x7E00u : 0x7C00u;
  const uint32_t result = bits < 0x38800000u ? tiny : (bits >= 0x47800000u ? huge : normal);
  return static_cast<uint16_t>(result | sign);
}

}  // namespace torchkeras
