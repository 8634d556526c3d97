// What Python sees of layer.h.
#pragma once

#include <torch/csrc/utils/pybind.h>

namespace redraft {

// Adds the class FusedLayer to the module, and `panel`: the multiple of columns that its matrices are filled up to.
void define_fused_layer(pybind11::module_& module);

}  // namespace redraft
