// SPDX-License-Identifier: Apache-2.0
// Linear and the layers made of it on CUDA and HIP, with block-quantized weights. Elements are dequantized where they
// are multiplied, so that the activations stay as they are and the sums are those of the reference.
#include "linear_layers.gpu.inl.hpp"

namespace {

namespace linear = layerhub::linear;

using Linear = linear::LinearLayer<linear::BlockProjection>;
using QKVLinear = linear::QKVLinearLayer<linear::BlockProjection>;
using SwiGLUMLP = linear::SwiGLUMLPLayer<linear::BlockProjection>;

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, Linear, layerhub::layers::Linear, "dequantizing");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, QKVLinear, layerhub::layers::QKVLinear, "dequantizing");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, SwiGLUMLP, layerhub::layers::SwiGLUMLP, "dequantizing");

}  // namespace
