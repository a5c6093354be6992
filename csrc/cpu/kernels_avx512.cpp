// The kernels for x86-64 CPUs with AVX-512 F, BW, DQ and VL.

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>
#include <type_traits>

#include "kernels.h"
#include "target.h"
#include "vector_math.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined vectors in its own intrinsics for a mistake of ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#if defined(__clang__)
TK_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")
#else
TK_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif

namespace torchkeras {
namespace {

struct Lanes {
  static constexpr int kCount = 16;
  static constexpr int kFloats = 16;  // of a register
  // For narrow.inl: how many sums are kept in registers.
  static constexpr int kNarrowRows = 8;
  static constexpr int kStrips = 2, kColumns = 12;
  static constexpr int kSums = 24;  // for recurrent.inl, likewise
  using Vector = __m512i;

  static inline Vector load(const uint32_t* from) { return _mm512_loadu_si512(from); }
  static inline Vector fill(uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
  static inline void multiply(Vector a, Vector b, Vector& high, Vector& low) {
    const Vector even = _mm512_mul_epu32(a, b);
    const Vector odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), b);
    high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
    low = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
  }
  static inline Vector xor3(Vector a, Vector b, Vector c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0x96);
  }
  static inline void store_interleaved(uint32_t* out, Vector a, Vector b, Vector c, Vector d) {
    const Vector ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
    const Vector AB = _mm512_unpackhi_epi32(a, b), CD = _mm512_unpackhi_epi32(c, d);
    _mm512_storeu_si512(out, _mm512_unpacklo_epi64(ab, cd));
    _mm512_storeu_si512(out + 16, _mm512_unpackhi_epi64(ab, cd));
    _mm512_storeu_si512(out + 32, _mm512_unpacklo_epi64(AB, CD));
    _mm512_storeu_si512(out + 48, _mm512_unpackhi_epi64(AB, CD));
  }

  // Conversion of float16 in groups; returns how many numbers were done.
  static inline int64_t widen(float* out, const uint16_t* in, int64_t n) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i));
      _mm512_storeu_ps(out + i, _mm512_cvtph_ps(halves));
    }
    return i;
  }
  static inline int64_t narrow(uint16_t* out, const float* in, int64_t n) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m256i halves =
          _mm512_cvtps_ph(_mm512_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), halves);
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
const Kernels kAvx512Kernels = {
    "avx512",      forward,         backward,       matmul_narrow,     random_halves,
    recurrent_width, pack_recurrent, recurrent_forward, recurrent_backward};
}

TK_TARGET_END

#endif
