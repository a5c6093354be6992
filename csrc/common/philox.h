// Philox4x32-10 and what dropout makes of it: random bits as a pure function of a seed.
//
// Block `b` of the sequence is four 32-bit words, philox(counter = (b low, b high, draw, 0),
// key = (seed low, seed high)). Element `e` of a tensor owns 16 bits of it: half `e % 8` of block
// `e / 8`, where half `h` is the low (h even) or high (h odd) half of word `h / 2`. It is kept if
// these 16 bits, read as a number, reach the threshold. No element depends on another one, so the
// mask is the same for every instruction set, number of threads, launch geometry and device, and
// backward computes it anew instead of storing it.
//
// Source: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define TK_HD __host__ __device__
#else
#define TK_HD
#endif

namespace torchkeras {

constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53u;
constexpr uint32_t kPhiloxMultiplier1 = 0xCD9E8D57u;
constexpr uint32_t kPhiloxKeyStep0 = 0x9E3779B9u;  // golden ratio, as a 32-bit fraction
constexpr uint32_t kPhiloxKeyStep1 = 0xBB67AE85u;  // sqrt(3) - 1
constexpr int kPhiloxRounds = 10;
constexpr int kHalvesPerBlock = 8;

// What a dropout needs to know. `scale` is what kept elements are multiplied by.
struct Dropout {
  bool active;
  uint64_t seed;
  uint32_t draw;
  uint32_t threshold;  // of 65536: an element below it is dropped
  double scale;
};

TK_HD inline Dropout no_dropout() { return {false, 0, 0, 0, 1.0}; }

// `rate` is met to within 2^-17; at rate 1 everything is dropped.
TK_HD inline Dropout make_dropout(double rate, uint64_t seed, uint32_t draw) {
  return {true, seed, draw, static_cast<uint32_t>(rate * 65536.0 + 0.5),
          rate < 1.0 ? 1.0 / (1.0 - rate) : 0.0};
}

struct PhiloxBlock {
  uint32_t word[4];
};

TK_HD inline uint32_t high_word(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  return __umulhi(a, b);
#else
  return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32);
#endif
}

TK_HD inline PhiloxBlock philox(uint64_t block, uint32_t draw, uint64_t seed) {
  uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32);
  uint32_t c2 = draw, c3 = 0;
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint32_t high0 = high_word(kPhiloxMultiplier0, c0), low0 = kPhiloxMultiplier0 * c0;
    const uint32_t high1 = high_word(kPhiloxMultiplier1, c2), low1 = kPhiloxMultiplier1 * c2;
    c0 = high1 ^ c1 ^ k0;
    c2 = high0 ^ c3 ^ k1;
    c1 = low1;
    c3 = low0;
    k0 += kPhiloxKeyStep0;
    k1 += kPhiloxKeyStep1;
  }
  return {{c0, c1, c2, c3}};
}

// The 16 bits of element `8 * block + half`.
TK_HD inline uint32_t half_of(const PhiloxBlock& block, int half) {
  return (block.word[half >> 1] >> (16 * (half & 1))) & 0xFFFFu;
}

}  // namespace torchkeras
