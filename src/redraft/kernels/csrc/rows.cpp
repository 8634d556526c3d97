// What is done to each row between the products: norms, rotary heads, the gated activation, the softcap, the router.
#include <ATen/Parallel.h>

#include <cmath>

#include "ops.h"
#include "vector.h"

namespace redraft {
namespace {

constexpr int64_t kGrain = 16384;  // numbers that are worth a thread of their own

template <typename Function>
void for_rows(int64_t num_rows, int64_t size, const Function& function) {
  at::parallel_for(0, num_rows, std::max<int64_t>(1, kGrain / size), [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) function(r);
  });
}

template <typename T>
float inverse_rms(const T* row, int64_t size, float eps) {
  Floats squares = splat(0);
  for (int64_t i = 0; i < size; i += kLanes) {
    const Floats value = load(row + i, size - i);
    squares += value * value;
  }
  return 1.0f / std::sqrt(sum(squares) / size + eps);
}

}  // namespace

template <typename T>
void norm(const T* x, const T* weight, float eps, int64_t num_rows, int64_t size, T* out) {
  for_rows(num_rows, size, [&](int64_t r) {
    const T* row = x + r * size;
    const float inverse = inverse_rms(row, size, eps);
    for (int64_t i = 0; i < size; i += kLanes) {
      Floats value = load(row + i, size - i) * inverse;
      if (weight) value *= load(weight + i, size - i);
      store(out + r * size + i, value, size - i);
    }
  });
}

template <typename T>
void add_norm(const T* base, const T* x, const T* weight, float eps, int64_t num_rows, int64_t size, T* out) {
  for_rows(num_rows, size, [&](int64_t r) {
    const T* row = x + r * size;
    const float inverse = inverse_rms(row, size, eps);
    for (int64_t i = 0; i < size; i += kLanes) {
      const Floats added = load(row + i, size - i) * inverse * load(weight + i, size - i);
      store(out + r * size + i, load(base + r * size + i, size - i) + added, size - i);
    }
  });
}

// A head's halves are turned against each other: (a, b) -> (a cos - b sin, b cos + a sin). `turns` holds each row's
// cosines, then its sines with their signs.
template <typename T>
void heads(
    const T* projected, const T* query_scale, const T* key_scale, const T* turns, float eps,
    int64_t num_rows, int64_t num_queries, int64_t num_kv, int64_t size, bool shares_kv, T* queries, T* keys,
    T* values) {
  const int64_t num_turned = num_queries + num_kv, num_heads = num_turned + (shares_kv ? 0 : num_kv);
  for_rows(num_rows, num_heads * size, [&](int64_t r) {
    const T *cos = turns + 2 * r * size, *sin = cos + size;
    for (int64_t h = 0; h < num_heads; ++h) {
      const T* head = projected + (r * num_heads + h) * size;
      const float inverse = inverse_rms(head, size, eps);
      if (h < num_turned) {
        const T* scale = h < num_queries ? query_scale : key_scale;
        T* out = h < num_queries ? queries + (r * num_queries + h) * size : keys + (r * num_kv + h - num_queries) * size;
        const int64_t half = size / 2;
        for (int64_t i = 0; i < half; i += kLanes) {
          const int64_t count = half - i;
          const Floats low = load(head + i, count) * inverse * load(scale + i, count);
          const Floats high = load(head + half + i, count) * inverse * load(scale + half + i, count);
          store(out + i, low * load(cos + i, count) + high * load(sin + i, count), count);
          store(out + half + i, high * load(cos + half + i, count) + low * load(sin + half + i, count), count);
        }
      }
      const int64_t value_head = h - (shares_kv ? num_queries : num_turned);
      if (value_head < 0) continue;
      for (int64_t i = 0; i < size; i += kLanes)
        store(values + (r * num_kv + value_head) * size + i, load(head + i, size - i) * inverse, size - i);
    }
  });
}

template <typename T>
void gated(const T* gate_up, int64_t num_rows, int64_t size, T* out) {
  for_rows(num_rows, 2 * size, [&](int64_t r) {
    const T *gate = gate_up + 2 * r * size, *up = gate + size;
    for (int64_t i = 0; i < size; i += kLanes)
      store(out + r * size + i, gelu(load(gate + i, size - i)) * load(up + i, size - i), size - i);
  });
}

template <typename T>
void softcap(const T* scores, float cap, int64_t num_rows, int64_t size, float* out) {
  for_rows(num_rows, size, [&](int64_t r) {
    for (int64_t i = 0; i < size; i += kLanes)
      store(out + r * size + i, cap * tangent(load(scores + r * size + i, size - i) / cap), size - i);
  });
}

template <typename T>
void route(
    const T* scores, const T* expert_scale, int64_t num_rows, int64_t num_experts, int64_t num_chosen,
    float* probabilities, int64_t* expert_ids, T* weights) {
  for_rows(num_rows, 4 * num_experts * num_chosen, [&](int64_t r) {
    float* row = probabilities + r * num_experts;
    float peak = -INFINITY, total = 0;
    for (int64_t e = 0; e < num_experts; ++e) peak = std::max(peak, widen(scores[r * num_experts + e]));
    for (int64_t e = 0; e < num_experts; e += kLanes) {
      const int64_t count = num_experts - e;
      const Floats share = exponential(load(scores + r * num_experts + e, count, -INFINITY) - peak);
      store(row + e, share, count);
      total += sum(share);
    }
    for (int64_t e = 0; e < num_experts; ++e) row[e] /= total;
    float chosen_total = 0, previous = INFINITY;
    int64_t* chosen = expert_ids + r * num_chosen;
    for (int64_t k = 0; k < num_chosen; ++k) {
      // The best of what is left: smaller than the last one taken, or equal to it and further on.
      int64_t best = -1;
      for (int64_t e = 0; e < num_experts; ++e) {
        const bool is_left = row[e] < previous || (k && row[e] == previous && e > chosen[k - 1]);
        if (is_left && (best < 0 || row[e] > row[best])) best = e;
      }
      if (best < 0) best = k;  // a row of NaN
      chosen[k] = best;
      previous = row[best];
      chosen_total += previous;
    }
    for (int64_t k = 0; k < num_chosen; ++k) {
      const Floats weight = splat(row[chosen[k]] / chosen_total * widen(expert_scale[chosen[k]]));
      store(weights + r * num_chosen + k, weight, 1);
    }
  });
}

#define REDRAFT_ROWS(T)                                                                                              \
  template void norm<T>(const T*, const T*, float, int64_t, int64_t, T*);                                            \
  template void add_norm<T>(const T*, const T*, const T*, float, int64_t, int64_t, T*);                              \
  template void heads<T>(                                                                                            \
      const T*, const T*, const T*, const T*, float, int64_t, int64_t, int64_t, int64_t, bool, T*, T*, T*);           \
  template void gated<T>(const T*, int64_t, int64_t, T*);                                                            \
  template void softcap<T>(const T*, float, int64_t, int64_t, float*);                                               \
  template void route<T>(const T*, const T*, int64_t, int64_t, int64_t, float*, int64_t*, T*);
REDRAFT_ROWS(float)
REDRAFT_ROWS(BFloat16)

}  // namespace redraft
