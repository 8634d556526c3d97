// What is done to one row between the products. Rows are contiguous, T is float or BFloat16, arithmetic is fp32.
#pragma once

#include <algorithm>
#include <cmath>

#include "vector.h"

namespace redraft {

template <typename T>
float inverse_rms(const T* row, int64_t size, float eps) {
  Floats squares = splat(0);
  for (int64_t i = 0; i < size; i += kLanes) {
    const Floats value = load(row + i, size - i);
    squares += value * value;
  }
  return 1.0f / std::sqrt(sum(squares) / size + eps);
}

// The normalised row times a weight, if there is one.
template <typename X, typename T, typename Out>
void norm_row(const X* row, const T* weight, float eps, int64_t size, Out* out) {
  const float inverse = inverse_rms(row, size, eps);
  for (int64_t i = 0; i < size; i += kLanes) {
    Floats value = load(row + i, size - i) * inverse;
    if (weight) value *= load(weight + i, size - i);
    store(out + i, value, size - i);
  }
}

// base plus the normalised row times the weight; may overwrite either.
template <typename Base, typename X, typename T, typename Out>
void add_norm_row(const Base* base, const X* row, const T* weight, float eps, int64_t size, Out* out) {
  const float inverse = inverse_rms(row, size, eps);
  for (int64_t i = 0; i < size; i += kLanes) {
    const Floats added = load(row + i, size - i) * inverse * load(weight + i, size - i);
    store(out + i, load(base + i, size - i) + added, size - i);
  }
}

// How a layer's heads lie in a row: queries, keys, then values where they are not the keys.
struct Heads {
  int64_t num_queries, num_kv, size;
  bool shares_kv;

  int64_t num_turned() const { return num_queries + num_kv; }
  int64_t count() const { return num_turned() + (shares_kv ? 0 : num_kv); }
};

// All heads normalised, queries and keys scaled and turned. A head's halves are turned against each other:
// (a, b) -> (a cos - b sin, b cos + a sin); `turns` holds the row's cosines, then its sines with their signs.
template <typename T>
void heads_row(
    const T* projected, const T* query_scale, const T* key_scale, const T* turns, float eps, Heads heads, T* queries,
    T* keys, T* values) {
  const int64_t size = heads.size, half = size / 2;
  const T *cos = turns, *sin = turns + size;
  for (int64_t h = 0; h < heads.count(); ++h) {
    const T* head = projected + h * size;
    const float inverse = inverse_rms(head, size, eps);
    if (h < heads.num_turned()) {
      const T* scale = h < heads.num_queries ? query_scale : key_scale;
      T* out = h < heads.num_queries ? queries + h * size : keys + (h - heads.num_queries) * size;
      for (int64_t i = 0; i < half; i += kLanes) {
        const int64_t count = half - i;
        const Floats low = load(head + i, count) * inverse * load(scale + i, count);
        const Floats high = load(head + half + i, count) * inverse * load(scale + half + i, count);
        store(out + i, low * load(cos + i, count) + high * load(sin + i, count), count);
        store(out + half + i, high * load(cos + half + i, count) + low * load(sin + half + i, count), count);
      }
    }
    const int64_t value_head = h - (heads.shares_kv ? heads.num_queries : heads.num_turned());
    if (value_head < 0) continue;
    for (int64_t i = 0; i < size; i += kLanes)
      store(values + value_head * size + i, load(head + i, size - i) * inverse, size - i);
  }
}

// Softmax over all experts, the best few and their weights: made to sum to 1, times the expert's own scale.
template <typename Score, typename T>
void route_row(
    const Score* scores, const T* expert_scale, int64_t num_experts, int64_t num_chosen, float* probabilities,
    int64_t* chosen, T* weights) {
  float peak = -INFINITY, total = 0;
  for (int64_t e = 0; e < num_experts; ++e) peak = std::max(peak, widen(scores[e]));
  for (int64_t e = 0; e < num_experts; e += kLanes) {
    const int64_t count = num_experts - e;
    const Floats share = exponential(load(scores + e, count, -INFINITY) - peak);
    store(probabilities + e, share, count);
    total += sum(share);
  }
  for (int64_t e = 0; e < num_experts; ++e) probabilities[e] /= total;
  float chosen_total = 0, previous = INFINITY;
  for (int64_t k = 0; k < num_chosen; ++k) {
    // The best of what is left: smaller than the last one taken, or equal to it and further on.
    int64_t best = -1;
    for (int64_t e = 0; e < num_experts; ++e) {
      const float share = probabilities[e];
      const bool is_left = share < previous || (k && share == previous && e > chosen[k - 1]);
      if (is_left && (best < 0 || share > probabilities[best])) best = e;
    }
    if (best < 0) best = k;  // a row of NaN
    chosen[k] = best;
    previous = probabilities[best];
    chosen_total += previous;
  }
  for (int64_t k = 0; k < num_chosen; ++k) {
    const Floats weight = splat(probabilities[chosen[k]] / chosen_total * widen(expert_scale[chosen[k]]));
    store(weights + k, weight, 1);
  }
}

}  // namespace redraft
