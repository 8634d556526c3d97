#include "fused_layer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <map>
#include <string>
#include <variant>

#include "layer.h"
#include "tensors.h"

namespace redraft {
namespace {

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
  std::variant<Layer<float>, Layer<BFloat16>> layer_;

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
  Matrix<T> matrix(const std::string& name) const {
    const Tensor& found = weight(name);
    const int64_t out = found.size(0), stride = found.stride(1), panel = 2 * kLanes;
    TORCH_CHECK(
        found.stride(0) == 1 && stride >= (out + panel - 1) / panel * panel &&
            found.scalar_type() == weight("post_norm.weight").scalar_type(),
        "want ", name, " laid out for a fused layer");
    return {read<T>(found), found.size(1), out, stride};
  }

  template <typename T>
  Layer<T> make(double eps, int64_t num_queries, int64_t num_kv, bool shares_kv, int64_t num_chosen) const {
    const int64_t D = weight("post_norm.weight").numel(), H = weight("attention.query_scale").numel();
    const Tensor& down = weight("moe.down");
    const int64_t E = down.size(0), F = down.size(1);
    const Heads heads{num_queries, num_kv, H, shares_kv};
    Layer<T> layer{heads, float(eps), D, weight("mlp.down.weight").size(1), F, E, num_chosen};
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
      const Layer<T>& layer, const Tensor& x, const Tensor& turns) {
    const int64_t rows = x.size(0);
    const Heads& heads = layer.heads;
    check_rows<T>(x, rows * layer.size);
    check_rows<T>(turns, rows * 2 * heads.size);
    const Tensor queries = at::empty({rows, heads.num_queries, heads.size}, x.options());
    const Tensor keys = at::empty({rows, heads.num_kv, heads.size}, x.options()), values = at::empty_like(keys);
    before_attention<T>(
        layer, read<T>(x), read<T>(turns), rows, write<T>(queries), write<T>(keys), write<T>(values));
    return {queries, keys, values};
  }

  template <typename T>
  static std::tuple<Tensor, Tensor, Tensor, Tensor> run_after(
      const Layer<T>& layer, const Tensor& x, const Tensor& attended, const Tensor& scales, bool has_scales) {
    const int64_t rows = x.size(0);
    check_rows<T>(x, rows * layer.size);
    check_rows<T>(attended, rows * layer.out.in);
    check_rows<T>(scales, has_scales ? rows : 1);
    const Tensor out = at::empty_like(x);
    const Tensor probabilities = at::empty({rows, layer.num_experts}, x.options().dtype(at::kFloat));
    const Tensor expert_ids = at::empty({rows, layer.num_chosen}, x.options().dtype(at::kLong));
    const Tensor weights = at::empty({rows, layer.num_chosen}, x.options());
    after_attention<T>(
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

void define_fused_layer(pybind11::module_& module) {
  using namespace pybind11::literals;
  pybind11::class_<FusedLayer>(module, "FusedLayer")
      .def(
          pybind11::init<std::map<std::string, Tensor>, double, int64_t, int64_t, bool, int64_t>(), "weights"_a, "eps"_a,
          "num_queries"_a, "num_kv"_a, "shares_kv"_a, "num_chosen"_a)
      .def("before", &FusedLayer::before)
      .def("after", &FusedLayer::after);
  module.attr("panel") = 2 * kLanes;
}

}  // namespace redraft
