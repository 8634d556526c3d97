// Vectors of floats in the widest form the machine has, and the functions of them that torch does not fuse.
//
// Written with GCC's and Clang's vector extensions, so the same text compiles to AVX-512, AVX2 or NEON. NaN stays NaN
// everywhere: build without -ffast-math.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace redraft {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
typedef uint16_t Halves __attribute__((vector_size(2 * kLanes)));

struct BFloat16 {
  uint16_t bits;
};

inline Floats splat(float value) { return Floats{} + value; }

inline Floats load(const float* from) {
  Floats value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline Floats load(const BFloat16* from) {
  Halves bits;
  std::memcpy(&bits, from, sizeof bits);
  return (Floats)(__builtin_convertvector(bits, Words) << 16);
}

inline float widen(float value) { return value; }

inline float widen(BFloat16 value) {
  const uint32_t bits = uint32_t{value.bits} << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

inline void store(float* to, Floats value) { std::memcpy(to, &value, sizeof value); }

// Rounds to nearest even, as torch does.
inline void store(BFloat16* to, Floats value) {
  const Words bits = (Words)value;
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words kept = value == value ? rounded : (bits >> 16) | 0x40;
  const Halves halves = __builtin_convertvector(kept, Halves);
  std::memcpy(to, &halves, sizeof halves);
}

// The first `count` lanes; the others are `rest`, and are not stored.
template <typename T>
inline Floats load(const T* from, int64_t count, float rest = 0) {
  if (count >= kLanes) return load(from);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const __mmask16 mask = (1u << count) - 1;
  if constexpr (sizeof(T) == 4) return (Floats)_mm512_mask_loadu_ps((__m512)splat(rest), mask, from);
  const Words wide = (Words)_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from));
  return (Floats)_mm512_mask_blend_ps(mask, (__m512)splat(rest), (__m512)(wide << 16));
#else
  float values[kLanes];
  for (int i = 0; i < kLanes; ++i) values[i] = i < count ? widen(from[i]) : rest;
  return load(values);
#endif
}

template <typename T>
inline void store(T* to, Floats value, int64_t count) {
  if (count >= kLanes) return store(to, value);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  if constexpr (sizeof(T) == 4) return _mm512_mask_storeu_ps(to, (1u << count) - 1, (__m512)value);
#endif
  T values[kLanes];
  store(values, value);
  std::memcpy(to, values, count * sizeof(T));
}

inline Floats maximum(Floats a, Floats b) { return a > b ? a : b; }

// Always the same tree, so that a sum does not depend on how it was scheduled.
inline float sum(Floats value) {
  float lanes[kLanes];
  store(lanes, value);
  for (int width = kLanes / 2; width; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}

inline float largest(Floats value) {
  float best = value[0];
  for (int i = 1; i < kLanes; ++i) best = value[i] > best ? value[i] : best;
  return best;
}

// exp, within two units in the last place; exactly 0 below -87.3, where fp32 has no normal numbers left.
// Cody and Waite's reduction to |r| <= ln(2) / 2, then the Cephes library's polynomial.
inline Floats exponential(Floats x) {
  const float kLowest = -87.3f, kHighest = 88.3f, kShift = 12582912.0f;  // 1.5 * 2**23: adding it rounds to an integer
  const Floats bounded = x > kHighest ? splat(kHighest) : x;
  const Floats n = (bounded * 1.44269504088896341f + kShift) - kShift;
  const Floats r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Floats power = (Floats)((__builtin_convertvector(n, Ints) + 127) << 23);
  return x < kLowest ? splat(0) : p * power;
}

// tanh: Cephes' odd polynomial near 0, where 1 - 2 / (exp(2x) + 1) would lose digits.
inline Floats tangent(Floats x) {
  const Floats square = x * x;
  Floats p = splat(-5.70498872745e-3f);
  p = p * square + 2.06390887954e-2f;
  p = p * square - 5.37397155531e-2f;
  p = p * square + 1.33314422036e-1f;
  p = p * square - 3.33332819422e-1f;
  const Floats near = p * square * x + x;
  const Floats far = 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f);
  return (x < 0.625f) & (x > -0.625f) ? near : far;
}

// The tanh form of GELU: x times the sigmoid of twice its argument.
inline Floats gelu(Floats x) {
  const Floats argument = 1.5957691216057308f * (x + 0.044715f * x * x * x);  // 2 * sqrt(2 / pi)
  return x / (1.0f + exponential(-argument));
}

}  // namespace redraft
