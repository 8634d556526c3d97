// What is done to each row between the products: norms, rotary heads, the gated activation, the softcap, the router.
#include <ATen/Parallel.h>

#include "ops.h"
#include "rows.h"

namespace redraft {
namespace {

constexpr int64_t kGrain = 16384;  // numbers that are worth a thread of their own

template <typename Function>
void for_rows(int64_t num_rows, int64_t size, const Function& function) {
  at::parallel_for(0, num_rows, std::max<int64_t>(1, kGrain / size), [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) function(r);
  });
}

}  // namespace

template <typename T>
void norm(const T* x, const T* weight, float eps, int64_t num_rows, int64_t size, T* out) {
  for_rows(num_rows, size, [&](int64_t r) { norm_row(x + r * size, weight, eps, size, out + r * size); });
}

template <typename T>
void add_norm(const T* base, const T* x, const T* weight, float eps, int64_t num_rows, int64_t size, T* out) {
  for_rows(num_rows, size, [&](int64_t r) {
    add_norm_row(base + r * size, x + r * size, weight, eps, size, out + r * size);
  });
}

template <typename T>
void heads(
    const T* projected, const T* query_scale, const T* key_scale, const T* turns, float eps, int64_t num_rows,
    Heads shape, T* queries, T* keys, T* values) {
  const int64_t size = shape.count() * shape.size, num_keys = shape.num_kv * shape.size;
  for_rows(num_rows, size, [&](int64_t r) {
    heads_row(
        projected + r * size, query_scale, key_scale, turns + 2 * r * shape.size, eps, shape,
        queries + r * shape.num_queries * shape.size, keys + r * num_keys, values + r * num_keys);
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
    route_row(
        scores + r * num_experts, expert_scale, num_experts, num_chosen, probabilities + r * num_experts,
        expert_ids + r * num_chosen, weights + r * num_chosen);
  });
}

#define REDRAFT_ROWS(T)                                                                                              \
  template void norm<T>(const T*, const T*, float, int64_t, int64_t, T*);                                            \
  template void add_norm<T>(const T*, const T*, const T*, float, int64_t, int64_t, T*);                              \
  template void heads<T>(                                                                                            \
      const T*, const T*, const T*, const T*, float, int64_t, Heads, T*, T*, T*);                                     \
  template void gated<T>(const T*, int64_t, int64_t, T*);                                                            \
  template void softcap<T>(const T*, float, int64_t, int64_t, float*);                                               \
  template void route<T>(const T*, const T*, int64_t, int64_t, int64_t, float*, int64_t*, T*);
REDRAFT_ROWS(float)
REDRAFT_ROWS(BFloat16)

}  // namespace redraft
