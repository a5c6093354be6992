// How the calling thread treats denormal numbers: the control register, and the bits of it that make
// results and operands of that size zero.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace torchkeras {

#if defined(__x86_64__)
constexpr uint64_t kFlushes = 0x8040;
inline uint64_t denormal_mode() { return _mm_getcsr(); }
inline void set_denormal_mode(uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
constexpr uint64_t kFlushes = uint64_t(1) << 24;
inline uint64_t denormal_mode() {
  uint64_t mode;
  __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
inline void set_denormal_mode(uint64_t mode) {
  __asm__ __volatile__("msr fpcr, %0" : : "r"(mode));
}
#else
constexpr uint64_t kFlushes = 0;
inline uint64_t denormal_mode() { return 0; }
inline void set_denormal_mode(uint64_t) {}
#endif

}  // namespace torchkeras
