// Softmax attention of short contexts: all scores of some query rows are held at once, so a row is summed in one go.
#include <ATen/Parallel.h>

#include <cmath>

#include "ops.h"
#include "products.h"

namespace redraft {
namespace {

constexpr int64_t kBlockRows = 4 * kTileRows;  // query rows whose scores are held at a time
constexpr int64_t kPanel = 2 * kLanes;         // keys, or columns of the values, that one tile covers

// Keys of one head as panels [keys / kPanel][H][kPanel], filled up with zeros.
template <typename T>
void pack_keys(const T* keys, int64_t num_keys, int64_t size, int64_t stride, std::vector<T>& packed) {
  packed.assign((num_keys + kPanel - 1) / kPanel * kPanel * size, T{});
  for (int64_t s = 0; s < num_keys; ++s) {
    T* to = packed.data() + s / kPanel * kPanel * size + s % kPanel;
    for (int64_t h = 0; h < size; ++h) to[h * kPanel] = keys[s * stride + h];
  }
}

// Scores -> weights with a peak of 1, in place of the scores' own type; gives one over their sum. 0 where masked.
template <typename T>
float weigh(float* scores, const bool* mask, int64_t num_keys, T* weights) {
  if (mask)
    for (int64_t s = 0; s < num_keys; ++s)
      if (!mask[s]) scores[s] = -INFINITY;
  Floats high = splat(-INFINITY);
  for (int64_t s = 0; s < num_keys; s += kLanes) high = maximum(load(scores + s, num_keys - s, -INFINITY), high);
  const float peak = largest(high);
  Floats total = splat(0);
  for (int64_t s = 0; s < num_keys; s += kLanes) {
    const Floats weight = exponential(load(scores + s, num_keys - s, -INFINITY) - peak);
    total += weight;
    store(weights + s, weight, num_keys - s);
  }
  return 1.0f / sum(total);
}

}  // namespace

template <typename T>
void attend(
    const T* queries, const T* keys, const T* values, const bool* mask, int64_t batch, int64_t length,
    int64_t num_keys, int64_t num_queries, int64_t num_kv, int64_t size, int64_t batch_stride, int64_t stride, T* out) {
  const int64_t per_group = num_queries / num_kv, group_rows = per_group * length;
  const int64_t num_blocks = (group_rows + kBlockRows - 1) / kBlockRows;
  const int64_t padded = (num_keys + kPanel - 1) / kPanel * kPanel;
  const int64_t grain = 1 + 100000 / (kBlockRows * padded * size);
  at::parallel_for(0, batch * num_kv * num_blocks, grain, [&](int64_t begin, int64_t end) {
    std::vector<T> packed, weights(kBlockRows * padded);
    std::vector<float> scores(kBlockRows * padded);
    std::vector<const T*> rows(kBlockRows), weight_rows(kBlockRows);
    std::vector<int64_t> places(kBlockRows);  // of each row's query and result, in numbers
    float shares[kBlockRows];
    for (int64_t i = 0; i < kBlockRows; ++i) weight_rows[i] = weights.data() + i * padded;
    int64_t packed_head = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t head = task / num_blocks, b = head / num_kv, g = head % num_kv;
      const T* own_keys = keys + b * batch_stride + g * size;
      const T* own_values = values + b * batch_stride + g * size;
      if (head != packed_head) pack_keys(own_keys, num_keys, size, stride, packed), packed_head = head;
      const int64_t first = task % num_blocks * kBlockRows, count = std::min(kBlockRows, group_rows - first);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t query = g * per_group + (first + i) / length, position = (first + i) % length;
        places[i] = ((b * length + position) * num_queries + query) * size;
        rows[i] = queries + places[i];
      }
      for (int64_t s = 0; s < padded; s += kPanel) {
        const T* panel = packed.data() + s * size;
        for_tiles<T>(rows, panel, panel + kLanes, size, kPanel, 0, count, [&](int64_t i, Floats left, Floats right) {
          store(scores.data() + i * padded + s, left);
          store(scores.data() + i * padded + s + kLanes, right);
        });
      }
      for (int64_t i = 0; i < count; ++i) {
        const bool* seen = mask ? mask + (first + i) % length * num_keys : nullptr;
        shares[i] = weigh(scores.data() + i * padded, seen, num_keys, weights.data() + i * padded);
      }
      for (int64_t h = 0; h < size; h += kPanel) {
        const Columns<T> columns(own_values + h, kLanes, size - h, size - h - kLanes, num_keys, stride);
        for_tiles<T>(
            weight_rows, columns.left, columns.right, num_keys, columns.stride, 0, count,
            [&](int64_t i, Floats left, Floats right) {
              store(out + places[i] + h, left * shares[i], size - h);
              if (size - h > kLanes) store(out + places[i] + h + kLanes, right * shares[i], size - h - kLanes);
            });
      }
    }
  });
}

template void attend<float>(
    const float*, const float*, const float*, const bool*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
    int64_t, int64_t, float*);
template void attend<BFloat16>(
    const BFloat16*, const BFloat16*, const BFloat16*, const bool*, int64_t, int64_t, int64_t, int64_t, int64_t,
    int64_t, int64_t, int64_t, BFloat16*);

}  // namespace redraft
