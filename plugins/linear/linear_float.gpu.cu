// SPDX-License-Identifier: Apache-2.0
// Linear and the layers made of it on CUDA and HIP, with float weights. They are read where the host keeps them; rows
// that do not begin at multiples of 16 bytes are read element by element.
#include "linear_layers.gpu.inl.hpp"

namespace {

namespace linear = layerhub::linear;

using Linear = linear::LinearLayer<linear::FloatProjection>;
using QKVLinear = linear::QKVLinearLayer<linear::FloatProjection>;
using SwiGLUMLP = linear::SwiGLUMLPLayer<linear::FloatProjection>;

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, Linear, layerhub::layers::Linear, "float");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, QKVLinear, layerhub::layers::QKVLinear, "float");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, SwiGLUMLP, layerhub::layers::SwiGLUMLP, "float");

}  // namespace
