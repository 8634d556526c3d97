// How the kernels' bare memory comes out of tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include "vector.h"

namespace redraft {

using at::Tensor;

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

inline void check_like(const Tensor& tensor, const Tensor& x, int64_t size) {
  TORCH_CHECK(
      tensor.is_contiguous() && tensor.scalar_type() == x.scalar_type() && tensor.numel() == size,
      "want ", size, " contiguous numbers of type ", x.scalar_type());
}

}  // namespace redraft
