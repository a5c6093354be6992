// Which kernels this CPU runs.

#include <cstdlib>
#include <cstring>

#include "kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace torchkeras {
namespace {

#if defined(__x86_64__)
bool has_avx2() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
  return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

// The family of an AMD CPU (25 for Zen 3 and 4, 26 for Zen 5), else 0.
int amd_family() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(0, &a, &b, &c, &d)) return 0;
  char vendor[12];
  std::memcpy(vendor, &b, 4);
  std::memcpy(vendor + 4, &d, 4);
  std::memcpy(vendor + 8, &c, 4);
  if (std::memcmp(vendor, "AuthenticAMD", 12) != 0 || !__get_cpuid(1, &a, &b, &c, &d)) return 0;
  return static_cast<int>(((a >> 8) & 0xF) + ((a >> 20) & 0xFF));
}
#endif

const Kernels& choose() {
#if defined(__x86_64__)
  const char* wanted = std::getenv("TORCHKERAS_ISA");
  const bool any = wanted == nullptr || *wanted == '\0';
  if (has_avx512() && (any || std::strcmp(wanted, "avx512") == 0)) return kAvx512Kernels;
  if (has_avx2() && (any || std::strcmp(wanted, "avx2") == 0)) return kAvx2Kernels;
#endif
  return kBaseKernels;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

double least_onednn_flops() {
#if defined(__x86_64__)
  // Each call of oneDNN costs 14 us more than one of MKL.
  static const int family = has_avx512() ? amd_family() : 0;
  return family >= 26 ? 3e6 : (family == 25 ? 5e8 : 0.0);
#else
  return 0.0;
#endif
}

bool mkl_is_slow() {
#if defined(__x86_64__)
  static const bool answer = amd_family() > 0;
  return answer;
#else
  return false;
#endif
}

bool prefers_onednn_over_batches() {
#if defined(__x86_64__)
  static const bool answer = has_avx512() && amd_family() >= 26;
  return answer;
#else
  return false;
#endif
}

}  // namespace torchkeras
