#include "layer.h"

#include <ATen/Parallel.h>

#include <vector>

#include "ops.h"

namespace redraft {
namespace {

constexpr int64_t kBlockRows = 4 * kTileRows;  // rows that go through a stretch together
constexpr int64_t kGrain = kTileRows / 2;      // rows that are worth a thread of their own
constexpr int64_t kPanel = 2 * kLanes;

// Rows of one width, each filled up to whole panels.
template <typename T>
struct Block {
  int64_t stride;
  std::vector<T> numbers;
  std::vector<const T*> rows;

  explicit Block(int64_t width)
      : stride((width + kPanel - 1) / kPanel * kPanel), numbers(kBlockRows * stride), rows(kBlockRows) {
    for (int64_t r = 0; r < kBlockRows; ++r) rows[r] = row(r);
  }
  T* row(int64_t r) { return numbers.data() + r * stride; }
};

template <typename T, typename Out>
void multiply(const std::vector<const T*>& rows, const Matrix<T>& matrix, int64_t count, Block<Out>& out) {
  for (int64_t c = 0; c < matrix.out; c += kPanel) {
    const T* from = matrix.data + c;
    for_tiles<T>(rows, from, from + kLanes, matrix.in, matrix.stride, 0, count, [&](int64_t r, Floats left, Floats right) {
      store(out.row(r) + c, left);
      store(out.row(r) + c + kLanes, right);
    });
  }
}

// gelu(gate) * up of columns `left` and `right`; the columns after the hidden ones are not stored.
template <typename T>
void multiply_gated(
    const std::vector<const T*>& rows, const T* left, const T* right, int64_t in, int64_t stride, int64_t count,
    int64_t column, int64_t hidden_size, Block<T>& out) {
  for_tiles<T>(rows, left, right, in, stride, 0, count, [&](int64_t r, Floats gate, Floats up) {
    store(out.row(r) + column, gelu(gate) * up, hidden_size - column);
  });
}

template <typename T>
float dot(const float* a, const T* b, int64_t size) {
  Floats total = splat(0);
  for (int64_t i = 0; i < size; i += kLanes) total += load(a + i, size - i) * load(b + i, size - i);
  return sum(total);
}

// The chosen experts' outputs times their weights, added up expert after expert.
template <typename T>
void mix_experts(
    const Layer<T>& layer, Block<T>& x, const int64_t* expert_ids, const T* weights, int64_t count, Block<T>& hidden,
    Block<float>& mixed) {
  const int64_t F = layer.expert_size, D = layer.size, K = layer.num_chosen;
  std::fill(mixed.numbers.begin(), mixed.numbers.end(), 0.0f);
  std::vector<const T*> chosen;
  std::vector<int64_t> slots;
  for (int64_t e = 0; e < layer.num_experts; ++e) {
    chosen.clear(), slots.clear();
    for (int64_t i = 0; i < count * K; ++i)
      if (expert_ids[i] == e) chosen.push_back(x.row(i / K)), slots.push_back(i);
    const int64_t num_chosen = slots.size();
    if (num_chosen == 0) continue;
    for (int64_t c = 0; c < F; c += kLanes) {
      const Columns<T> columns(layer.expert_gate_up + e * D * 2 * F + c, F, F - c, F - c, D, 2 * F);
      multiply_gated(chosen, columns.left, columns.right, D, columns.stride, num_chosen, c, F, hidden);
    }
    for (int64_t c = 0; c < D; c += kPanel) {
      const Columns<T> columns(layer.expert_down + e * F * D + c, kLanes, D - c, D - c - kLanes, F, D);
      for_tiles<T>(
          hidden.rows, columns.left, columns.right, F, columns.stride, 0, num_chosen,
          [&](int64_t i, Floats left, Floats right) {
            float* to = mixed.row(slots[i] / K) + c;
            const float weight = widen(weights[slots[i]]);
            store(to, load(to) + left * weight);
            store(to + kLanes, load(to + kLanes) + right * weight);
          });
    }
  }
}

}  // namespace

template <typename T>
void before_attention(
    const Layer<T>& layer, const T* x, const T* turns, int64_t num_rows, T* queries, T* keys, T* values) {
  const Heads& heads = layer.heads;
  const int64_t D = layer.size, query_size = heads.num_queries * heads.size, key_size = heads.num_kv * heads.size;
  at::parallel_for(0, num_rows, kGrain, [&](int64_t begin, int64_t end) {
    Block<T> normed(D), projected(layer.qkv.out);
    for (int64_t first = begin; first < end; first += kBlockRows) {
      const int64_t count = std::min(kBlockRows, end - first);
      for (int64_t i = 0; i < count; ++i)
        norm_row(x + (first + i) * D, layer.attention_norm, layer.eps, D, normed.row(i));
      multiply(normed.rows, layer.qkv, count, projected);
      for (int64_t i = 0, r = first; i < count; ++i, ++r)
        heads_row(
            projected.row(i), layer.query_scale, layer.key_scale, turns + 2 * r * heads.size, layer.eps, heads,
            queries + r * query_size, keys + r * key_size, values + r * key_size);
    }
  });
}

template <typename T>
void after_attention(
    const Layer<T>& layer, const T* x, const T* attended, const T* scales, bool has_scales, int64_t num_rows, T* out,
    float* probabilities, int64_t* expert_ids, T* weights) {
  const int64_t D = layer.size, E = layer.num_experts, K = layer.num_chosen, hidden_size = layer.hidden_size;
  const float root = 1.0f / std::sqrt(float(D));
  at::parallel_for(0, num_rows, kGrain, [&](int64_t begin, int64_t end) {
    Block<T> dense_in(D), routed_in(D), hidden(std::max(hidden_size, layer.expert_size));
    Block<T> expert_hidden(layer.expert_size);
    Block<float> residual(D), product(D), routed(D), unit(D);
    std::vector<float> scores(E);
    std::vector<const T*> attended_rows(kBlockRows);
    for (int64_t first = begin; first < end; first += kBlockRows) {
      const int64_t count = std::min(kBlockRows, end - first);
      for (int64_t i = 0; i < count; ++i) attended_rows[i] = attended + (first + i) * layer.out.in;
      multiply(attended_rows, layer.out, count, product);
      for (int64_t i = 0, r = first; i < count; ++i, ++r) {
        float *kept = residual.row(i), *plain = unit.row(i);
        add_norm_row(x + r * D, product.row(i), layer.attention_post_norm, layer.eps, D, kept);
        const float inverse = inverse_rms(kept, D, layer.eps);
        for (int64_t c = 0; c < D; c += kLanes) {
          const Floats value = load(kept + c, D - c) * inverse;
          store(dense_in.row(i) + c, value * load(layer.mlp_norm + c, D - c), D - c);
          store(routed_in.row(i) + c, value * load(layer.moe_norm + c, D - c), D - c);
          store(plain + c, value * load(layer.router_scale + c, D - c) * root, D - c);
        }
        for (int64_t e = 0; e < E; ++e) scores[e] = dot(plain, layer.router + e * D, D);
        route_row(
            scores.data(), layer.expert_scale, E, K, probabilities + r * E, expert_ids + r * K, weights + r * K);
      }
      for (int64_t c = 0; c < hidden_size; c += kLanes) {
        const T* gate = layer.gate_up.data + c;
        multiply_gated(
            dense_in.rows, gate, gate + hidden_size, D, layer.gate_up.stride, count, c, hidden_size, hidden);
      }
      multiply(hidden.rows, layer.down, count, product);
      mix_experts(layer, routed_in, expert_ids + first * K, weights + first * K, count, expert_hidden, routed);
      for (int64_t i = 0, r = first; i < count; ++i, ++r) {
        float *dense = product.row(i), *mixed = routed.row(i), *kept = residual.row(i);
        norm_row(dense, layer.mlp_post_norm, layer.eps, D, unit.row(i));
        add_norm_row(unit.row(i), mixed, layer.moe_post_norm, layer.eps, D, mixed);
        add_norm_row(kept, mixed, layer.post_norm, layer.eps, D, kept);
        const float scale = widen(scales[has_scales ? r : 0]);
        for (int64_t c = 0; c < D; c += kLanes) store(out + r * D + c, load(kept + c, D - c) * scale, D - c);
      }
    }
  });
}

#define REDRAFT_LAYER(T)                                                                            \
  template void before_attention<T>(const Layer<T>&, const T*, const T*, int64_t, T*, T*, T*);      \
  template void after_attention<T>(                                                                 \
      const Layer<T>&, const T*, const T*, const T*, bool, int64_t, T*, float*, int64_t*, T*);
REDRAFT_LAYER(float)
REDRAFT_LAYER(BFloat16)

}  // namespace redraft
