// The routed experts: every row goes straight from its place through its experts' gate, up and down products.
//
// Weights lie as products.h wants them: [E, D, 2F] and [E, F, D] in memory.
#include <ATen/Parallel.h>

#include <vector>

#include "ops.h"
#include "products.h"

namespace redraft {

template <typename T>
void experts(
    const T* x, const int64_t* expert_ids, const T* weights, const T* gate_up, const T* down, int64_t num_rows,
    int64_t num_chosen, int64_t num_experts, int64_t size, int64_t hidden_size, T* out) {
  const int64_t num_slots = num_rows * num_chosen;
  // Rows of an expert are neighbours: a counting sort, stable.
  std::vector<int64_t> first(num_experts + 1), slot_of(num_slots);
  for (int64_t i = 0; i < num_slots; ++i) ++first[expert_ids[i] + 1];
  for (int64_t e = 0; e < num_experts; ++e) first[e + 1] += first[e];
  std::vector<int64_t> next(first.begin(), first.end() - 1);
  std::vector<const T*> rows(num_slots), hidden_rows(num_slots);
  std::vector<T> hidden(num_slots * hidden_size);
  std::vector<float> mixed(num_slots * size);
  for (int64_t i = 0; i < num_slots; ++i) {
    slot_of[i] = next[expert_ids[i]]++;
    rows[slot_of[i]] = x + i / num_chosen * size;
    hidden_rows[i] = hidden.data() + i * hidden_size;
  }
  // Columns outermost, so that threads share out the columns of all experts and not the experts, which differ in rows.
  const int64_t hidden_chunks = (hidden_size + kLanes - 1) / kLanes;
  at::parallel_for(0, hidden_chunks * num_experts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t e = unit % num_experts, column = unit / num_experts * kLanes, count = hidden_size - column;
      if (first[e] == first[e + 1]) continue;
      const T* from = gate_up + e * size * 2 * hidden_size + column;
      const Columns<T> chosen(from, hidden_size, count, count, size, 2 * hidden_size);
      for_tiles<T>(
          rows, chosen.left, chosen.right, size, chosen.stride, first[e], first[e + 1],
          [&](int64_t slot, Floats gate, Floats up) {
            store(hidden.data() + slot * hidden_size + column, gelu(gate) * up, count);
          });
    }
  });
  const int64_t out_chunks = (size + 2 * kLanes - 1) / (2 * kLanes);
  at::parallel_for(0, out_chunks * num_experts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t e = unit % num_experts, column = unit / num_experts * 2 * kLanes, count = size - column;
      if (first[e] == first[e + 1]) continue;
      const T* from = down + e * hidden_size * size + column;
      const Columns<T> chosen(from, kLanes, count, count - kLanes, hidden_size, size);
      for_tiles<T>(
          hidden_rows, chosen.left, chosen.right, hidden_size, chosen.stride, first[e], first[e + 1],
          [&](int64_t slot, Floats left, Floats right) {
            store(mixed.data() + slot * size + column, left, count);
            if (count > kLanes) store(mixed.data() + slot * size + column + kLanes, right, count - kLanes);
          });
    }
  });
  at::parallel_for(0, num_rows, std::max<int64_t>(1, 16384 / (num_chosen * size)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t i = 0; i < size; i += kLanes) {
        Floats total = splat(0);
        for (int64_t k = r * num_chosen; k < (r + 1) * num_chosen; ++k)
          total += load(mixed.data() + slot_of[k] * size + i, size - i) * widen(weights[k]);
        store(out + r * size + i, total, size - i);
      }
  });
}

template void experts<float>(
    const float*, const int64_t*, const float*, const float*, const float*, int64_t, int64_t, int64_t, int64_t,
    int64_t, float*);
template void experts<BFloat16>(
    const BFloat16*, const int64_t*, const BFloat16*, const BFloat16*, const BFloat16*, int64_t, int64_t, int64_t,
    int64_t, int64_t, BFloat16*);

}  // namespace redraft
