// The kernels for any CPU: SSE2 on x86-64, NEON on ARM, by plain code.

#include <cstring>
#include <type_traits>

#include "kernels.h"
#include "vector_math.h"

namespace torchkeras {
namespace {

struct Lanes {
  static constexpr int kCount = 16;
  struct Vector {
    uint32_t lane[kCount];
  };

  static inline Vector load(const uint32_t* from) {
    Vector v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }
  static inline Vector fill(uint32_t x) {
    Vector v;
    for (int i = 0; i < kCount; ++i) v.lane[i] = x;
    return v;
  }
  static inline void multiply(const Vector& a, const Vector& b, Vector& high, Vector& low) {
    for (int i = 0; i < kCount; ++i) {
      const uint64_t product = static_cast<uint64_t>(a.lane[i]) * b.lane[i];
      high.lane[i] = static_cast<uint32_t>(product >> 32);
      low.lane[i] = static_cast<uint32_t>(product);
    }
  }
  static inline Vector xor3(const Vector& a, const Vector& b, const Vector& c) {
    Vector v;
    for (int i = 0; i < kCount; ++i) v.lane[i] = a.lane[i] ^ b.lane[i] ^ c.lane[i];
    return v;
  }
  static inline void store_interleaved(uint32_t* out, const Vector& a, const Vector& b,
                                       const Vector& c, const Vector& d) {
    for (int i = 0; i < kCount; ++i) {
      uint32_t* block = out + 4 * ((i & 3) * (kCount / 4) + (i >> 2));
      block[0] = a.lane[i];
      block[1] = b.lane[i];
      block[2] = c.lane[i];
      block[3] = d.lane[i];
    }
  }

  // Conversion of float16 in groups; returns how many numbers were done.
  static inline int64_t widen(float*, const uint16_t*, int64_t) { return 0; }
  static inline int64_t narrow(uint16_t*, const float*, int64_t) { return 0; }
};

}  // namespace
}  // namespace torchkeras

#include "kernels.inl"

namespace torchkeras {
const Kernels kBaseKernels = {"base", forward, backward, nullptr, random_halves,
                              nullptr, nullptr, nullptr, nullptr};
}
