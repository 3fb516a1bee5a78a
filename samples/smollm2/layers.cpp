// SPDX-License-Identifier: Apache-2.0
#include "layers.hpp"

#include <layerhub/sdk/formats.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace smollm2 {
namespace {

using layerhub::sdk::float16;

float element(const Tensor& t, std::int64_t index) {
  return t.dtype == Dtype::f16 ? layerhub::sdk::to_float(t.elements<const float16>()[index])
                               : t.elements<const float>()[index];
}
void set_element(Tensor& t, std::int64_t index, float value) {
  if (t.dtype == Dtype::f16) {
    t.elements<float16>()[index] = layerhub::sdk::from_float<float16>(value);
  } else {
    t.elements<float>()[index] = value;
  }
}

void rotate(const float* x, const float* cos, const float* sin, std::int64_t size, bool interleaved, float* y) {
  const std::int64_t half = size / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    const std::int64_t a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + half;
    y[a] = x[a] * cos[i] - x[b] * sin[i];
    y[b] = x[b] * cos[i] + x[a] * sin[i];
  }
}

}  // namespace

void RMSNorm::forward(const Tensor& hidden_states, Tensor& output) const {
  const float* w = weight.elements<const float>();
  for (std::int64_t r = 0; r < hidden_states.rows(); ++r) {
    const float* x = hidden_states.row(r);
    float* y = output.row(r);
    float squares = 0;
    for (std::int64_t i = 0; i < hidden_states.width(); ++i) {
      squares += x[i] * x[i];
    }
    const float scale = 1 / std::sqrt(squares / static_cast<float>(hidden_states.width()) + variance_epsilon);
    for (std::int64_t i = 0; i < hidden_states.width(); ++i) {
      y[i] = x[i] * scale * w[i];
    }
  }
}

const std::vector<float>& Linear::own_weight() const {
  std::lock_guard lock(mutex_);
  if (!own_weight_.empty()) {
    return own_weight_;
  }
  const std::int64_t rows = weight.shape[0];
  if (const layerhub::sdk::BlockFormat* blocks = layerhub::sdk::find_block_format(format)) {
    const std::int64_t count = rows * weight.shape[1] / blocks->bytes;
    own_weight_.resize(static_cast<std::size_t>(count * blocks->elements));
    for (std::int64_t b = 0; b < count; ++b) {
      blocks->dequantize(weight.elements<const std::uint8_t>() + b * blocks->bytes,
                         own_weight_.data() + b * blocks->elements);
    }
  } else {
    own_weight_.resize(static_cast<std::size_t>(rows * weight.shape[1]));
    for (std::size_t i = 0; i < own_weight_.size(); ++i) {
      own_weight_[i] = element(weight, static_cast<std::int64_t>(i));
    }
  }
  return own_weight_;
}

void Linear::forward(const Tensor& input, Tensor& output) const {
  const std::vector<float>& w = own_weight();
  const std::int64_t columns = input.width();
  for (std::int64_t n = 0; n < output.width(); ++n) {  // a weight's row serves all rows of the input while it is near
    const float* row = w.data() + n * columns;
    for (std::int64_t t = 0; t < input.rows(); ++t) {
      const float* x = input.row(t);
      float sum = 0;
      for (std::int64_t i = 0; i < columns; ++i) {
        sum += x[i] * row[i];
      }
      output.row(t)[n] = sum;
    }
  }
}

void RotaryPosEmb::forward(const Tensor& q, const Tensor& k, const Tensor& cos, const Tensor& sin, Tensor& q_out,
                           Tensor& k_out) const {
  const std::int64_t size = q.shape[2];
  for (std::int64_t t = 0; t < q.rows(); ++t) {
    for (std::int64_t h = 0; h < q.shape[1]; ++h) {
      rotate(q.row(t) + h * q.strides[1], cos.row(t), sin.row(t), size, interleaved,
             q_out.row(t) + h * q_out.strides[1]);
    }
    for (std::int64_t h = 0; h < k.shape[1]; ++h) {
      rotate(k.row(t) + h * k.strides[1], cos.row(t), sin.row(t), size, interleaved,
             k_out.row(t) + h * k_out.strides[1]);
    }
  }
}

void CausalAttention::forward(const Tensor& q, const Tensor& k, const Tensor& v, Tensor& k_cache, Tensor& v_cache,
                              std::int64_t kv_length, float scale, Tensor& output) const {
  const std::int64_t heads = q.shape[1], kv_heads = k.shape[1], size = q.shape[2];
  for (std::int64_t t = 0; t < q.rows(); ++t) {
    for (std::int64_t i = 0; i < kv_heads * size; ++i) {
      set_element(k_cache, (kv_length + t) * kv_heads * size + i, k.row(t)[i]);
      set_element(v_cache, (kv_length + t) * kv_heads * size + i, v.row(t)[i]);
    }
    std::vector<float> weights(static_cast<std::size_t>(kv_length + t + 1));
    for (std::int64_t h = 0; h < heads; ++h) {
      const std::int64_t kv_head = h * kv_heads / heads;
      const float* query = q.row(t) + h * q.strides[1];
      for (std::size_t p = 0; p < weights.size(); ++p) {
        float dot = 0;
        for (std::int64_t i = 0; i < size; ++i) {
          dot += query[i] * element(k_cache, (static_cast<std::int64_t>(p) * kv_heads + kv_head) * size + i);
        }
        weights[p] = dot * scale;
      }
      const float largest = *std::max_element(weights.begin(), weights.end());
      float sum = 0;
      for (float& weight : weights) {
        weight = std::exp(weight - largest);
        sum += weight;
      }
      float* out = output.row(t) + h * output.strides[1];
      std::fill(out, out + size, 0.f);
      for (std::size_t p = 0; p < weights.size(); ++p) {
        for (std::int64_t i = 0; i < size; ++i) {
          out[i] += weights[p] / sum * element(v_cache, (static_cast<std::int64_t>(p) * kv_heads + kv_head) * size + i);
        }
      }
    }
  }
}

void SiluAndMul::forward(const Tensor& x, Tensor& y) const {
  for (std::int64_t t = 0; t < y.rows(); ++t) {
    const float *gate = x.row(t), *up = gate + y.width();
    for (std::int64_t i = 0; i < y.width(); ++i) {
      y.row(t)[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
    }
  }
}

}  // namespace smollm2
