// SPDX-License-Identifier: Apache-2.0
// The activations on CUDA and HIP: the value and the slope of each, in float.
//
// Layers made of them are bound by memory as long as an element of two bytes costs some 25 instructions. So there is no
// exact quotient, which branches, and no library function where one exponential does: exp2f is little more than the
// hardware's own instruction. Each slope repeats its value's exponential letter for letter, so that a formula that
// needs both computes one.
#pragma once

#include <layerhub/sdk/gpu.hpp>

namespace layerhub::activation {

using namespace layerhub::sdk;

// e^x, within |x| units in the last place since the exponent is rounded before: where that is many, nothing of them is
// left in the activation.
__device__ inline float power(float x) { return exp2f(1.44269504f * x); }
__device__ inline float sigmoid(float x) { return gpu::quotient(1.f, 1.f + power(-x)); }

__device__ inline float normal_density(float x) { return 0.398942280f * power(-0.5f * x * x); }
// The probability that a standard normal number is below x: e^(-x^2 / 2) t p(t), the polynomial of normal_cdf in
// sdk/vector_math.hpp with its factors joined. The error is relative, on the negative side too, where gated layers
// multiply what is left by a large number.
__device__ inline float normal_cdf(float x) {
  const float t = gpu::quotient(1.f, 1.f + 0.282842712f * fabsf(x));
  float p = 0.0412529553f * t - 0.140318840f;
  p = p * t + 0.0839864926f;
  p = p * t + 0.0879652175f;
  p = p * t + 0.0797559079f;
  p = p * t + 0.193393446f;
  p = p * t + 0.201887532f;
  p = p * t + 0.226443119f;
  p = p * t + 0.225634231f;
  const float tail = 1.25331414f * p * t * normal_density(x);  // sqrt(pi / 2): normal_density has e^(-x^2 / 2)
  return x < 0.f ? tail : 1.f - tail;
}

// A factor that grows with x stands beside one that vanishes: bounded keeps infinity out of the product, where it would
// make NaN. At 100 all slopes have long reached their limits, 0 and 1. NaN stays NaN.
__device__ inline float bounded(float x) { return x > 100.f ? 100.f : x < -100.f ? -100.f : x; }
// The derivative of x sigmoid(u(x)), given s = sigmoid(u(x)) and u'(x).
__device__ inline float sigmoid_slope(float x, float s, float inner) {
  return s + bounded(x) * inner * (s * (1.f - s));
}

struct SiluFunction {
  __device__ static float value(float x) { return x * sigmoid(x); }
  __device__ static float slope(float x) { return sigmoid_slope(x, sigmoid(x), 1.f); }
};
struct GeluFunction {
  __device__ static float value(float x) { return x * normal_cdf(x); }
  __device__ static float slope(float x) { return normal_cdf(x) + bounded(x) * normal_density(x); }
};
// (1 + tanh(u)) / 2 = sigmoid(2 u): one exponential and no cancellation on the negative side. FastGELU and NewGELU are
// the same function: the constant that they cut agrees to more digits than a float has.
struct GeluTanhFunction {
  __device__ static float gate(float x) { return sigmoid(1.59576912f * (x + 0.044715f * x * x * x)); }
  __device__ static float value(float x) { return x * gate(x); }
  __device__ static float slope(float x) {
    return sigmoid_slope(x, gate(x), 1.59576912f * (1.f + 0.134145f * bounded(x) * bounded(x)));  // 3 * 0.044715
  }
};
struct QuickGeluFunction {
  __device__ static float value(float x) { return x * sigmoid(1.702f * x); }
  __device__ static float slope(float x) { return sigmoid_slope(x, sigmoid(1.702f * x), 1.702f); }
};
// Written so that NaN stays NaN. The slope at the kink is 0.
struct ReluFunction {
  __device__ static float value(float x) { return x <= 0.f ? 0.f : x; }
  __device__ static float slope(float x) { return x <= 0.f ? 0.f : x > 0.f ? 1.f : x; }
};

}  // namespace layerhub::activation
