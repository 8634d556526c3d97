// Tensors in, tensors out: what Python calls. Checks types and shapes; the work is done in the other files.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/utils/pybind.h>

#include "fused_layer.h"
#include "ops.h"
#include "rows.h"
#include "tensors.h"

namespace {

using at::Tensor;
using redraft::check_like, redraft::read, redraft::with_type, redraft::write;

Tensor norm(const Tensor& x, const std::optional<Tensor>& weight, double eps) {
  const int64_t size = x.size(-1);
  const Tensor out = at::empty_like(x);
  if (weight) check_like(*weight, x, size);
  with_type(x, [&](auto type) {
    using T = decltype(type);
    redraft::norm<T>(read<T>(x), weight ? read<T>(*weight) : nullptr, eps, x.numel() / size, size, write<T>(out));
  });
  return out;
}

Tensor add_norm(const Tensor& base, const Tensor& x, const Tensor& weight, double eps) {
  const int64_t size = x.size(-1);
  const Tensor out = at::empty_like(x);
  check_like(base, x, x.numel());
  check_like(weight, x, size);
  with_type(x, [&](auto type) {
    using T = decltype(type);
    redraft::add_norm<T>(
        read<T>(base), read<T>(x), read<T>(weight), eps, x.numel() / size, size, write<T>(out));
  });
  return out;
}

std::tuple<Tensor, Tensor, Tensor> heads(
    const Tensor& projected, const Tensor& query_scale, const Tensor& key_scale, const Tensor& turns, double eps,
    int64_t num_queries, int64_t num_kv, bool shares_kv) {
  const int64_t rows = projected.size(0), size = query_scale.size(0);
  check_like(projected, projected, rows * (num_queries + (shares_kv ? 1 : 2) * num_kv) * size);
  for (const Tensor& scale : {query_scale, key_scale}) check_like(scale, projected, size);
  check_like(turns, projected, rows * 2 * size);
  const Tensor queries = at::empty({rows, num_queries, size}, projected.options());
  const Tensor keys = at::empty({rows, num_kv, size}, projected.options()), values = at::empty_like(keys);
  with_type(projected, [&](auto type) {
    using T = decltype(type);
    redraft::heads<T>(
        read<T>(projected), read<T>(query_scale), read<T>(key_scale), read<T>(turns), eps, rows,
        {num_queries, num_kv, size, shares_kv}, write<T>(queries), write<T>(keys), write<T>(values));
  });
  return {queries, keys, values};
}

Tensor attend(
    const Tensor& queries, const Tensor& keys, const Tensor& values, const std::optional<Tensor>& mask) {
  const int64_t batch = queries.size(0), length = queries.size(1), size = queries.size(3);
  const int64_t num_keys = keys.size(1), num_kv = keys.size(2);
  TORCH_CHECK(keys.sizes() == values.sizes() && keys.strides() == values.strides(), "want keys and values alike");
  TORCH_CHECK(
      keys.size(0) == batch && keys.size(3) == size && keys.stride(3) == 1 && keys.stride(2) == size &&
          keys.scalar_type() == queries.scalar_type() && values.scalar_type() == queries.scalar_type(),
      "want keys [B, S, G, H] with the heads of a token side by side");
  if (mask)
    TORCH_CHECK(
        mask->scalar_type() == at::kBool && mask->is_contiguous() && mask->numel() == length * num_keys,
        "want a contiguous mask [L, S]");
  const Tensor out = at::empty_like(queries);
  with_type(queries, [&](auto type) {
    using T = decltype(type);
    redraft::attend<T>(
        read<T>(queries), read<T>(keys), read<T>(values), mask ? read<bool>(*mask) : nullptr, batch, length, num_keys,
        queries.size(2), num_kv, size, keys.stride(0), keys.stride(1), write<T>(out));
  });
  return out;
}

Tensor gated(const Tensor& gate_up) {
  const int64_t rows = gate_up.size(0), size = gate_up.size(1) / 2;
  const Tensor out = at::empty({rows, size}, gate_up.options());
  with_type(gate_up, [&](auto type) {
    using T = decltype(type);
    redraft::gated<T>(read<T>(gate_up), rows, size, write<T>(out));
  });
  return out;
}

Tensor softcap(const Tensor& scores, double cap) {
  const Tensor out = scores.scalar_type() == at::kFloat ? scores : at::empty_like(scores, at::kFloat);
  with_type(scores, [&](auto type) {
    using T = decltype(type);
    redraft::softcap<T>(read<T>(scores), cap, scores.size(0), scores.size(1), write<float>(out));
  });
  return out;
}

std::tuple<Tensor, Tensor, Tensor> route(const Tensor& scores, const Tensor& expert_scale, int64_t num_chosen) {
  const int64_t rows = scores.size(0), num_experts = scores.size(1);
  TORCH_CHECK(0 < num_chosen && num_chosen <= num_experts, "want 1 to ", num_experts, " experts per row");
  check_like(expert_scale, scores, num_experts);
  const Tensor probabilities = at::empty({rows, num_experts}, scores.options().dtype(at::kFloat));
  const Tensor expert_ids = at::empty({rows, num_chosen}, scores.options().dtype(at::kLong));
  const Tensor weights = at::empty({rows, num_chosen}, scores.options());
  with_type(scores, [&](auto type) {
    using T = decltype(type);
    redraft::route<T>(
        read<T>(scores), read<T>(expert_scale), rows, num_experts, num_chosen, write<float>(probabilities),
        write<int64_t>(expert_ids), write<T>(weights));
  });
  return {probabilities, expert_ids, weights};
}

Tensor experts(
    const Tensor& x, const Tensor& expert_ids, const Tensor& weights, const Tensor& gate_up, const Tensor& down) {
  const int64_t rows = x.size(0), size = x.size(1), num_experts = down.size(0), hidden_size = down.size(1);
  TORCH_CHECK(expert_ids.scalar_type() == at::kLong && expert_ids.is_contiguous(), "want contiguous int64 expert ids");
  check_like(weights, x, expert_ids.numel());
  check_like(gate_up.transpose(1, 2), x, num_experts * 2 * hidden_size * size);
  check_like(down, x, num_experts * hidden_size * size);
  const Tensor out = at::empty_like(x);
  with_type(x, [&](auto type) {
    using T = decltype(type);
    redraft::experts<T>(
        read<T>(x), read<int64_t>(expert_ids), read<T>(weights), read<T>(gate_up), read<T>(down), rows,
        expert_ids.size(1), num_experts, size, hidden_size, write<T>(out));
  });
  return out;
}

std::tuple<Tensor, Tensor, Tensor, Tensor, std::optional<Tensor>> statistics(
    const Tensor& logits, const std::optional<Tensor>& uniforms, const std::optional<Tensor>& temperatures) {
  const int64_t rows = logits.size(0), size = logits.size(1);
  TORCH_CHECK(logits.scalar_type() == at::kFloat, "want fp32 logits");
  check_like(logits, logits, rows * size);
  for (const std::optional<Tensor>& each : {uniforms, temperatures})
    if (each) check_like(*each, logits, rows);
  const Tensor entropy = at::empty({rows}, logits.options()), best_logprob = at::empty_like(entropy);
  const Tensor log_normaliser = at::empty_like(entropy);
  const Tensor best = at::empty({rows}, logits.options().dtype(at::kLong));
  std::optional<Tensor> sample;
  if (uniforms) sample = at::empty_like(best);
  redraft::statistics(
      read<float>(logits), uniforms ? read<float>(*uniforms) : nullptr,
      temperatures ? read<float>(*temperatures) : nullptr, rows, size, write<float>(entropy), write<int64_t>(best),
      write<float>(best_logprob), write<float>(log_normaliser), sample ? write<int64_t>(*sample) : nullptr);
  return {entropy, best, best_logprob, log_normaliser, sample};
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("norm", &norm);
  module.def("add_norm", &add_norm);
  module.def("heads", &heads);
  module.def("attend", &attend);
  module.def("gated", &gated);
  module.def("softcap", &softcap);
  module.def("route", &route);
  module.def("experts", &experts);
  module.def("statistics", &statistics);
  redraft::define_fused_layer(module);
}
