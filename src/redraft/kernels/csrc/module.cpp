// Tensors in, tensors out: what Python calls. Checks types and shapes; the work is done in the other files.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/utils/pybind.h>

#include <map>
#include <string>
#include <variant>

#include "layer.h"
#include "ops.h"

namespace {

using at::Tensor;
using redraft::BFloat16;

template <typename T>
const T* read(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <typename T>
T* write(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// Calls function(T{}) with the element type of x: float or BFloat16.
template <typename Function>
void with_type(const Tensor& x, const Function& function) {
  TORCH_CHECK(x.device().is_cpu() && x.is_contiguous(), "want contiguous rows on the CPU");
  if (x.scalar_type() == at::kFloat) return function(float{});
  TORCH_CHECK(x.scalar_type() == at::kBFloat16, "want float32 or bfloat16, not ", x.scalar_type());
  function(BFloat16{});
}

void check_like(const Tensor& tensor, const Tensor& x, int64_t size) {
  TORCH_CHECK(
      tensor.is_contiguous() && tensor.scalar_type() == x.scalar_type() && tensor.numel() == size,
      "want ", size, " contiguous numbers of type ", x.scalar_type());
}

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

// The weights of one layer, by the names of its parameters, and the two stretches of its forward.
class FusedLayer {
 public:
  FusedLayer(
      std::map<std::string, Tensor> weights, double eps, int64_t num_queries, int64_t num_kv, bool shares_kv,
      int64_t num_chosen)
      : weights_(std::move(weights)) {
    with_type(weight("post_norm.weight"), [&](auto type) {
      layer_ = make<decltype(type)>(eps, num_queries, num_kv, shares_kv, num_chosen);
    });
  }

  std::tuple<Tensor, Tensor, Tensor> before(const Tensor& x, const Tensor& turns) const {
    return std::visit([&](const auto& layer) { return run_before(layer, x, turns); }, layer_);
  }

  std::tuple<Tensor, Tensor, Tensor, Tensor> after(
      const Tensor& x, const Tensor& attended, const Tensor& scales, bool has_scales) const {
    return std::visit([&](const auto& layer) { return run_after(layer, x, attended, scales, has_scales); }, layer_);
  }

 private:
  std::map<std::string, Tensor> weights_;
  std::variant<redraft::Layer<float>, redraft::Layer<BFloat16>> layer_;

  const Tensor& weight(const std::string& name) const {
    const auto found = weights_.find(name);
    TORCH_CHECK(found != weights_.end(), "want a weight ", name);
    return found->second;
  }

  template <typename T>
  const T* vector(const std::string& name, int64_t size) const {
    check_like(weight(name), weight("post_norm.weight"), size);
    return read<T>(weight(name));
  }

  // A weight [out, in] whose outputs are side by side in memory, each row of them filled up to whole panels.
  template <typename T>
  redraft::Matrix<T> matrix(const std::string& name) const {
    const Tensor& found = weight(name);
    const int64_t out = found.size(0), stride = found.stride(1), panel = 2 * redraft::kLanes;
    TORCH_CHECK(
        found.stride(0) == 1 && stride >= (out + panel - 1) / panel * panel &&
            found.scalar_type() == weight("post_norm.weight").scalar_type(),
        "want ", name, " laid out for a fused layer");
    return {read<T>(found), found.size(1), out, stride};
  }

  template <typename T>
  redraft::Layer<T> make(double eps, int64_t num_queries, int64_t num_kv, bool shares_kv, int64_t num_chosen) const {
    const int64_t D = weight("post_norm.weight").numel(), H = weight("attention.query_scale").numel();
    const Tensor& down = weight("moe.down");
    const int64_t E = down.size(0), F = down.size(1);
    const redraft::Heads heads{num_queries, num_kv, H, shares_kv};
    redraft::Layer<T> layer{heads, float(eps), D, weight("mlp.down.weight").size(1), F, E, num_chosen};
    layer.attention_norm = vector<T>("attention_norm.weight", D);
    layer.query_scale = vector<T>("attention.query_scale", H);
    layer.key_scale = vector<T>("attention.key_scale", H);
    layer.attention_post_norm = vector<T>("attention_post_norm.weight", D);
    layer.mlp_norm = vector<T>("mlp_norm.weight", D);
    layer.mlp_post_norm = vector<T>("mlp_post_norm.weight", D);
    layer.moe_norm = vector<T>("moe_norm.weight", D);
    layer.router_scale = vector<T>("moe.router.scale", D);
    layer.router = vector<T>("moe.router.proj.weight", E * D);
    layer.expert_scale = vector<T>("moe.router.expert_scale", E);
    layer.moe_post_norm = vector<T>("moe_post_norm.weight", D);
    layer.post_norm = vector<T>("post_norm.weight", D);
    layer.qkv = matrix<T>("attention.qkv.weight");
    layer.out = matrix<T>("attention.out.weight");
    layer.gate_up = matrix<T>("mlp.gate_up.weight");
    layer.down = matrix<T>("mlp.down.weight");
    check_like(weight("moe.gate_up").transpose(1, 2), down, E * D * 2 * F);
    layer.expert_gate_up = read<T>(weight("moe.gate_up"));
    layer.expert_down = vector<T>("moe.down", E * F * D);
    TORCH_CHECK(
        layer.qkv.out == heads.count() * H && layer.qkv.in == D && layer.out.out == D &&
            layer.out.in == num_queries * H && layer.gate_up.in == D && layer.gate_up.out == 2 * layer.hidden_size &&
            layer.down.out == D && 0 < num_chosen && num_chosen <= E,
        "want weights of one layer");
    return layer;
  }

  template <typename T>
  static std::tuple<Tensor, Tensor, Tensor> run_before(
      const redraft::Layer<T>& layer, const Tensor& x, const Tensor& turns) {
    const int64_t rows = x.size(0);
    const redraft::Heads& heads = layer.heads;
    check_rows<T>(x, rows * layer.size);
    check_rows<T>(turns, rows * 2 * heads.size);
    const Tensor queries = at::empty({rows, heads.num_queries, heads.size}, x.options());
    const Tensor keys = at::empty({rows, heads.num_kv, heads.size}, x.options()), values = at::empty_like(keys);
    redraft::before_attention<T>(
        layer, read<T>(x), read<T>(turns), rows, write<T>(queries), write<T>(keys), write<T>(values));
    return {queries, keys, values};
  }

  template <typename T>
  static std::tuple<Tensor, Tensor, Tensor, Tensor> run_after(
      const redraft::Layer<T>& layer, const Tensor& x, const Tensor& attended, const Tensor& scales, bool has_scales) {
    const int64_t rows = x.size(0);
    check_rows<T>(x, rows * layer.size);
    check_rows<T>(attended, rows * layer.out.in);
    check_rows<T>(scales, has_scales ? rows : 1);
    const Tensor out = at::empty_like(x);
    const Tensor probabilities = at::empty({rows, layer.num_experts}, x.options().dtype(at::kFloat));
    const Tensor expert_ids = at::empty({rows, layer.num_chosen}, x.options().dtype(at::kLong));
    const Tensor weights = at::empty({rows, layer.num_chosen}, x.options());
    redraft::after_attention<T>(
        layer, read<T>(x), read<T>(attended), read<T>(scales), has_scales, rows, write<T>(out),
        write<float>(probabilities), write<int64_t>(expert_ids), write<T>(weights));
    return {out, probabilities, expert_ids, weights};
  }

  template <typename T>
  static void check_rows(const Tensor& rows, int64_t size) {
    const at::ScalarType type = sizeof(T) == 4 ? at::kFloat : at::kBFloat16;
    TORCH_CHECK(
        rows.device().is_cpu() && rows.is_contiguous() && rows.scalar_type() == type && rows.numel() == size,
        "want ", size, " contiguous numbers of type ", type, " on the CPU");
  }
};

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  using namespace pybind11::literals;
  module.def("norm", &norm);
  module.def("add_norm", &add_norm);
  module.def("heads", &heads);
  module.def("attend", &attend);
  module.def("gated", &gated);
  module.def("softcap", &softcap);
  module.def("route", &route);
  module.def("experts", &experts);
  module.def("statistics", &statistics);
  pybind11::class_<FusedLayer>(module, "FusedLayer")
      .def(
          pybind11::init<std::map<std::string, Tensor>, double, int64_t, int64_t, bool, int64_t>(), "weights"_a, "eps"_a,
          "num_queries"_a, "num_kv"_a, "shares_kv"_a, "num_chosen"_a)
      .def("before", &FusedLayer::before)
      .def("after", &FusedLayer::after);
  module.attr("panel") = 2 * redraft::kLanes;
}
