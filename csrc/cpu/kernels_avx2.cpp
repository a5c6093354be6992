// The kernels for x86-64 CPUs with AVX2, FMA and F16C.

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>
#include <type_traits>

#include "kernels.h"
#include "target.h"
#include "vector_math.h"

TK_TARGET_BEGIN("avx2,fma,f16c")

namespace torchkeras {
namespace {

struct Lanes {
  static constexpr int kCount = 8;
  static constexpr int kFloats = 8;  // of a register
  // For narrow.inl: how many sums are kept in registers.
  static constexpr int kNarrowRows = 4;
  static constexpr int kStrips = 2, kColumns = 6;
  static constexpr int kSums = 12;  // for recurrent.inl, likewise
  using Vector = __m256i;

  static inline Vector load(const uint32_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static inline Vector fill(uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }
  static inline void multiply(Vector a, Vector b, Vector& high, Vector& low) {
    const Vector even = _mm256_mul_epu32(a, b);
    const Vector odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), b);
    high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  }
  static inline Vector xor3(Vector a, Vector b, Vector c) {
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
  }
  static inline void store_interleaved(uint32_t* out, Vector a, Vector b, Vector c, Vector d) {
    const Vector ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
    const Vector AB = _mm256_unpackhi_epi32(a, b), CD = _mm256_unpackhi_epi32(c, d);
    auto* to = reinterpret_cast<__m256i*>(out);
    _mm256_storeu_si256(to, _mm256_unpacklo_epi64(ab, cd));
    _mm256_storeu_si256(to + 1, _mm256_unpackhi_epi64(ab, cd));
    _mm256_storeu_si256(to + 2, _mm256_unpacklo_epi64(AB, CD));
    _mm256_storeu_si256(to + 3, _mm256_unpackhi_epi64(AB, CD));
  }

  // Conversion of float16 in groups; returns how many numbers were done.
  static inline int64_t widen(float* out, const uint16_t* in, int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
      const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i));
      _mm256_storeu_ps(out + i, _mm256_cvtph_ps(halves));
    }
    return i;
  }
  static inline int64_t narrow(uint16_t* out, const float* in, int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
      const __m128i halves =
          _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), halves);
    }
    return i;
  }
};

}  // namespace
}  // namespace torchkeras

#include "kernels.inl"
#include "narrow.inl"
#include "recurrent.inl"

namespace torchkeras {
const Kernels kAvx2Kernels = {
    "avx2",      forward,         backward,       matmul_narrow,     random_halves,
    recurrent_width, pack_recurrent, recurrent_forward, recurrent_backward};
}

TK_TARGET_END

#endif
