// A small layer in two stretches, before and after attention: what is done to a row without looking at another one.
//
// Each thread takes some rows through a whole stretch, so there is no wait between its products. That pays where the
// weights of a layer fit the cache of every core; larger ones are better read once, by all threads together.
#pragma once

#include "products.h"
#include "rows.h"

namespace redraft {

// [in, out] in memory, `stride` numbers from one row to the next: 2 * kLanes columns may be read from any of them.
template <typename T>
struct Matrix {
  const T* data;
  int64_t in, out, stride;
};

template <typename T>
struct Layer {
  Heads heads;
  float eps;
  int64_t size, hidden_size, expert_size, num_experts, num_chosen;
  const T *attention_norm, *query_scale, *key_scale, *attention_post_norm;
  const T *mlp_norm, *mlp_post_norm, *moe_norm, *router_scale, *router, *expert_scale, *moe_post_norm, *post_norm;
  Matrix<T> qkv, out, gate_up, down;
  const T *expert_gate_up, *expert_down;  // [E, D, 2F] and [E, F, D] in memory
};

template <typename T>
void before_attention(
    const Layer<T>& layer, const T* x, const T* turns, int64_t num_rows, T* queries, T* keys, T* values);

// `scales` has one number for all rows, or (`has_scales`) one for each; the last three are what the router chose.
template <typename T>
void after_attention(
    const Layer<T>& layer, const T* x, const T* attended, const T* scales, bool has_scales, int64_t num_rows, T* out,
    float* probabilities, int64_t* expert_ids, T* weights);

}  // namespace redraft
