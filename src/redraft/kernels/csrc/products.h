// Small matrix products that are bitwise the same for a row whatever rows are beside it.
//
// A number is summed over the shared dimension in one order, in one lane, however many rows there are and whichever
// thread takes them. The right-hand side lies with the shared dimension outermost, so that neighbouring columns fill a
// vector.
#pragma once

#include <vector>

#include "vector.h"

namespace redraft {

#if defined(__AVX512F__)
constexpr int kTileRows = 12;  // with two vectors of columns 24 of the 32 registers
#elif defined(__AVX2__)
constexpr int kTileRows = 5;
#else
constexpr int kTileRows = 10;
#endif

// The columns at `left` and `right` of `size` rows of weights, against R rows of x.
template <int R, typename T>
struct Tile {
  Floats left[R], right[R];

  void multiply(const T* const* x, const T* weights_left, const T* weights_right, int64_t size, int64_t stride) {
    for (int r = 0; r < R; ++r) left[r] = right[r] = splat(0);
    int64_t k = 0;
#if defined(__AVX512BF16__)
    if constexpr (sizeof(T) == 2) {
      for (; k + 2 <= size; k += 2) {
        const __m512bh a = pair(weights_left + k * stride, stride), b = pair(weights_right + k * stride, stride);
        for (int r = 0; r < R; ++r) {
          int32_t two;
          std::memcpy(&two, x[r] + k, sizeof two);
          const __m512bh value = (__m512bh)_mm512_set1_epi32(two);
          left[r] = (Floats)_mm512_dpbf16_ps((__m512)left[r], value, a);
          right[r] = (Floats)_mm512_dpbf16_ps((__m512)right[r], value, b);
        }
      }
    }
#endif
    for (; k < size; ++k) {
      const Floats a = load(weights_left + k * stride), b = load(weights_right + k * stride);
      // The next columns lie in the next cache line of every row: too far apart for the hardware to see them coming.
      __builtin_prefetch(weights_left + k * stride + 64 / sizeof(T));
      __builtin_prefetch(weights_right + k * stride + 64 / sizeof(T));
      for (int r = 0; r < R; ++r) {
        const Floats value = splat(widen(x[r][k]));
        left[r] += value * a;
        right[r] += value * b;
      }
    }
  }

#if defined(__AVX512BF16__)
  static __m512bh pair(const T* weights, int64_t stride) {
    const __m256i even = _mm256_loadu_si256((const __m256i*)weights);
    const __m256i odd = _mm256_loadu_si256((const __m256i*)(weights + stride));
    return (__m512bh)_mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
  }
#endif
};

// Calls visit(first row, tile) for every tile of up to kTileRows rows, as even as they come.
template <int R, typename T, typename Visit>
void visit_tile(
    const T* const* x, const T* left, const T* right, int64_t size, int64_t stride, int64_t first, int64_t rows,
    const Visit& visit) {
  if constexpr (R > 0) {
    if (rows < R) return visit_tile<R - 1, T>(x, left, right, size, stride, first, rows, visit);
    Tile<R, T> tile;
    tile.multiply(x + first, left, right, size, stride);
    for (int r = 0; r < R; ++r) visit(first + r, tile.left[r], tile.right[r]);
  }
}

template <typename T, typename Visit>
void for_tiles(
    const std::vector<const T*>& x, const T* left, const T* right, int64_t size, int64_t stride, int64_t first,
    int64_t last, const Visit& visit) {
  const int64_t num_tiles = (last - first + kTileRows - 1) / kTileRows;
  for (int64_t t = 0; t < num_tiles; ++t) {
    const int64_t from = first + (last - first) * t / num_tiles, to = first + (last - first) * (t + 1) / num_tiles;
    visit_tile<kTileRows, T>(x.data(), left, right, size, stride, from, to - from, visit);
  }
}

// Two stretches of columns with kLanes columns each; where fewer are left, a copy of them filled up with zeros.
template <typename T>
struct Columns {
  const T *left, *right;
  int64_t stride;
  std::vector<T> filled;

  Columns(const T* from, int64_t apart, int64_t count_left, int64_t count_right, int64_t size, int64_t row_stride)
      : left(from), right(from + apart), stride(row_stride) {
    if (count_left >= kLanes && count_right >= kLanes) return;
    filled.assign(2 * kLanes * size, T{});
    for (int64_t k = 0; k < size; ++k)
      for (int64_t i = 0; i < kLanes; ++i) {
        if (i < count_left) filled[2 * kLanes * k + i] = from[k * row_stride + i];
        if (i < count_right) filled[2 * kLanes * k + kLanes + i] = from[k * row_stride + apart + i];
      }
    left = filled.data(), right = left + kLanes, stride = 2 * kLanes;
  }
};

}  // namespace redraft
