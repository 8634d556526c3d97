// The kernels, on bare memory: rows are contiguous, T is float or BFloat16, arithmetic is fp32. module.cpp checks what
// Python passes.
#pragma once

#include <cstdint>

namespace redraft {

struct BFloat16;
struct Heads;

template <typename T>
void norm(const T* x, const T* weight, float eps, int64_t num_rows, int64_t size, T* out);

template <typename T>
void add_norm(const T* base, const T* x, const T* weight, float eps, int64_t num_rows, int64_t size, T* out);

template <typename T>
void heads(
    const T* projected, const T* query_scale, const T* key_scale, const T* turns, float eps,
    int64_t num_rows, Heads shape, T* queries, T* keys, T* values);

template <typename T>
void attend(
    const T* queries, const T* keys, const T* values, const bool* mask, int64_t batch, int64_t length,
    int64_t num_keys, int64_t num_queries, int64_t num_kv, int64_t size, int64_t batch_stride, int64_t stride, T* out);

template <typename T>
void gated(const T* gate_up, int64_t num_rows, int64_t size, T* out);

template <typename T>
void softcap(const T* scores, float cap, int64_t num_rows, int64_t size, float* out);

template <typename T>
void route(
    const T* scores, const T* expert_scale, int64_t num_rows, int64_t num_experts, int64_t num_chosen,
    float* probabilities, int64_t* expert_ids, T* weights);

template <typename T>
void experts(
    const T* x, const int64_t* expert_ids, const T* weights, const T* gate_up, const T* down, int64_t num_rows,
    int64_t num_chosen, int64_t num_experts, int64_t size, int64_t hidden_size, T* out);

void statistics(
    const float* logits, const float* uniforms, const float* temperatures, int64_t num_rows, int64_t size,
    float* entropy, int64_t* best, float* best_logprob, float* log_normaliser, int64_t* sample);

}  // namespace redraft
