// What the sampler needs to know about a row of tempered logits, in two passes and without a weight kept.
#include <ATen/Parallel.h>

#include <cmath>
#include <vector>

#include "ops.h"
#include "vector.h"

namespace redraft {
namespace {

constexpr int64_t kBlock = 256;   // logits whose weights are summed before they join the total
constexpr float kFloor = -1e4f;   // as in the plain version: exp is 0 there, and 0 * kFloor is 0

struct Peak {
  float value;
  int64_t id;
};

// The largest logit and its lowest id; NaN is passed over here and found in the weights.
Peak find_peak(const float* row, int64_t size) {
  float best = -INFINITY;
  int64_t block = 0;
  for (int64_t start = 0; start < size; start += kBlock) {
    const int64_t stop = std::min(size, start + kBlock);
    Floats high = splat(-INFINITY);
    for (int64_t i = start; i < stop; i += kLanes) high = maximum(load(row + i, stop - i, -INFINITY), high);
    const float found = largest(high);
    if (found > best) best = found, block = start;
  }
  const int64_t stop = std::min(size, block + kBlock);
  for (int64_t i = block; i < stop; ++i)
    if (row[i] == best) return {best, i};
  return {best, 0};
}

inline Floats shifted(const float* row, int64_t count, float peak) {
  const Floats value = load(row, count, -INFINITY) - peak;
  return value < kFloor ? splat(kFloor) : value;
}

// The smallest id whose cumulative weight is above the threshold; `before` is the weight of the ids before the block.
int64_t find_in_block(
    const float* row, int64_t start, int64_t stop, float peak, float scale, double before, double threshold) {
  int64_t last = start;
  for (int64_t i = start; i < stop; i += kLanes) {
    float weights[kLanes];
    store(weights, exponential(shifted(row + i, stop - i, peak) * scale));
    for (int64_t j = i; j < std::min(stop, i + kLanes); ++j) {
      before += weights[j - i];
      if (weights[j - i] > 0) last = j;
      if (before > threshold) return j;
    }
  }
  return last;  // the block's sum was rounded up
}

}  // namespace

void statistics(
    const float* logits, const float* uniforms, const float* temperatures, int64_t num_rows, int64_t size,
    float* entropy, int64_t* best, float* best_logprob, float* log_normaliser, int64_t* sample) {
  at::parallel_for(0, num_rows, std::max<int64_t>(1, 16384 / size), [&](int64_t first, int64_t last) {
    std::vector<float> block_weights((size + kBlock - 1) / kBlock);
    for (int64_t r = first; r < last; ++r) {
      const float* row = logits + r * size;
      const Peak peak = find_peak(row, size);
      const bool is_drawn = uniforms != nullptr;
      const float scale = is_drawn && temperatures ? 1.0f / temperatures[r] : 1.0f;
      double total = 0, weighted = 0, draw_total = 0;
      for (int64_t start = 0; start < size; start += kBlock) {
        const int64_t stop = std::min(size, start + kBlock);
        Floats weights = splat(0), products = splat(0), draws = splat(0);
        for (int64_t i = start; i < stop; i += kLanes) {
          const Floats distance = shifted(row + i, stop - i, peak.value);
          const Floats weight = exponential(distance);
          weights += weight;
          products += weight * distance;
          if (scale != 1.0f) draws += exponential(distance * scale);
        }
        const float own = sum(weights);
        total += own;
        weighted += sum(products);
        block_weights[start / kBlock] = scale == 1.0f ? own : sum(draws);
        draw_total += block_weights[start / kBlock];
      }
      const double log_total = std::log(total);
      entropy[r] = float(log_total - weighted / total);
      best[r] = peak.id;
      best_logprob[r] = float(-log_total);
      log_normaliser[r] = float(peak.value + log_total);
      if (!is_drawn) continue;
      sample[r] = peak.id;
      const double threshold = double(uniforms[r]) * draw_total;
      double before = 0;
      for (int64_t b = 0; b < int64_t(block_weights.size()); ++b) {
        if (before + block_weights[b] > threshold) {
          const int64_t start = b * kBlock, stop = std::min(size, start + kBlock);
          sample[r] = find_in_block(row, start, stop, peak.value, scale, before, threshold);
          break;
        }
        before += block_weights[b];
      }
    }
  });
}

}  // namespace redraft
