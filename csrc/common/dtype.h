// The number types of the kernels.
#pragma once

namespace torchkeras {

enum class DType : int { kFloat32, kFloat64, kBFloat16, kFloat16 };

}  // namespace torchkeras
