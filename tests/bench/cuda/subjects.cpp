// SPDX-License-Identifier: Apache-2.0
#include "subjects.hpp"

#include "reference_check.hpp"

#include <fmt/format.h>

#include <cmath>
#include <numeric>
#include <utility>

namespace layerhub::bench {
namespace {

std::int64_t rows_of(std::size_t bytes, std::int64_t bytes_of_row) {
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(bytes) / bytes_of_row);
}

constexpr double epsilon = 1e-5;

// Layers whose params are in the card's memory.
struct CardRMSNorm : use_kernel_forward_from_hub<CardRMSNorm, "RMSNorm"> {
  explicit CardRMSNorm(const CardTensor& w) : weight(w) {}
  const CardTensor& weight;
  auto hub_members() const { return members(param("weight", weight.view), attribute("variance_epsilon", epsilon)); }
  void forward(const DLTensor&, DLTensor&) const { never_measured("RMSNorm"); }
};

struct CardResidualRMSNorm : use_kernel_forward_from_hub<CardResidualRMSNorm, "ResidualRMSNorm"> {
  explicit CardResidualRMSNorm(const CardTensor& w) : weight(w) {}
  const CardTensor& weight;
  auto hub_members() const { return members(param("weight", weight.view), attribute("variance_epsilon", epsilon)); }
  void forward(const DLTensor&, const DLTensor&, DLTensor&, DLTensor&) const { never_measured("ResidualRMSNorm"); }
};

struct RotaryPosEmb : use_kernel_forward_from_hub<RotaryPosEmb, "rotary_pos_emb"> {
  auto hub_members() const { return members(attribute("interleaved", false)); }
  void forward(const DLTensor&, const DLTensor&, const DLTensor&, const DLTensor&, DLTensor&, DLTensor&) const {
    never_measured("rotary_pos_emb");
  }
};

struct CardLinear : use_kernel_forward_from_hub<CardLinear, "Linear"> {
  CardLinear(const Card& card, const Linear& host) : weight(card, host.weight), format(host.format) {}
  CardTensor weight;
  std::string format;
  auto hub_members() const { return members(param("weight", weight.view, format)); }
  void forward(const DLTensor&, DLTensor&) const { never_measured("Linear"); }
};

// ---- Memory-bound layers, one call of many rows ----

class ActivationSubject : public Subject {
 public:
  ActivationSubject(const Card& card, std::size_t bytes, DLDataType dtype)
      : rows_(rows_of(bytes, 3 * width * dtype.bits / 8)),
        x_(card, dtype, {rows_, 2 * width}),
        y_(CardTensor::unwritten(card, dtype, {rows_, width})) {
    moved = x_.bytes + y_.bytes;
  }
  void call() override { layer_(x_.view, y_.view); }
  std::string complaint() const override {
    const CardTensor::Picked some{some_of(rows_)};
    return difference_in({{{{"x", x_.values(some)}}, {}, {}}, {{"y", y_.values(some)}}}, layer_, "SiluAndMul",
                         x_.view.dtype);
  }

 private:
  static constexpr std::int64_t width = 1536;
  std::int64_t rows_;
  CardTensor x_, y_;
  SiluAndMul layer_;
};

class NormSubject : public Subject {
 public:
  NormSubject(const Card& card, std::size_t bytes, std::int64_t width, DLDataType dtype)
      : rows_(rows_of(bytes, 2 * width * dtype.bits / 8)),
        weight_(card, dtype, {width}),
        x_(card, dtype, {rows_, width}),
        y_(CardTensor::unwritten(card, dtype, {rows_, width})),
        layer_(weight_) {
    moved = x_.bytes + y_.bytes;
  }
  void call() override { layer_(x_.view, y_.view); }
  std::string complaint() const override {
    const CardTensor::Picked some{some_of(rows_)};
    return difference_in(
        {{{{"hidden_states", x_.values(some)}, {"weight", weight_.values()}}, {{"variance_epsilon", epsilon}}, {}},
         {{"output", y_.values(some)}}},
        layer_, "RMSNorm", x_.view.dtype);
  }

 private:
  std::int64_t rows_;
  CardTensor weight_, x_, y_;
  CardRMSNorm layer_;
};

class ResidualNormSubject : public Subject {
 public:
  ResidualNormSubject(const Card& card, std::size_t bytes, std::int64_t width, DLDataType dtype)
      : rows_(rows_of(bytes, 4 * width * dtype.bits / 8)),
        weight_(card, dtype, {width}),
        x_(card, dtype, {rows_, width}),
        residual_(card, dtype, {rows_, width}),
        y_(CardTensor::unwritten(card, dtype, {rows_, width})),
        new_residual_(CardTensor::unwritten(card, dtype, {rows_, width})),
        layer_(weight_) {
    moved = x_.bytes + residual_.bytes + y_.bytes + new_residual_.bytes;
  }
  void call() override { layer_(x_.view, residual_.view, y_.view, new_residual_.view); }
  std::string complaint() const override {
    const CardTensor::Picked some{some_of(rows_)};
    return difference_in(
        {{{{"hidden_states", x_.values(some)}, {"residual", residual_.values(some)}, {"weight", weight_.values()}},
          {{"variance_epsilon", epsilon}},
          {}},
         {{"output", y_.values(some)}, {"new_residual", new_residual_.values(some)}}},
        layer_, "ResidualRMSNorm", x_.view.dtype);
  }

 private:
  std::int64_t rows_;
  CardTensor weight_, x_, residual_, y_, new_residual_;
  CardResidualRMSNorm layer_;
};

class RotarySubject : public Subject {
 public:
  RotarySubject(const Card& card, std::size_t bytes, DLDataType dtype)
      : tokens_(rows_of(bytes, 2 * (heads + kv_heads) * width * dtype.bits / 8 + width * 4)),
        q_(card, dtype, {tokens_, heads, width}),
        k_(card, dtype, {tokens_, kv_heads, width}),
        cos_(card, f32, {tokens_, width / 2}),
        sin_(card, f32, {tokens_, width / 2}),
        q_out_(CardTensor::unwritten(card, dtype, {tokens_, heads, width})),
        k_out_(CardTensor::unwritten(card, dtype, {tokens_, kv_heads, width})) {
    moved = 2 * (q_.bytes + k_.bytes) + cos_.bytes + sin_.bytes;
  }
  void call() override { layer_(q_.view, k_.view, cos_.view, sin_.view, q_out_.view, k_out_.view); }
  std::string complaint() const override {
    const CardTensor::Picked some{some_of(tokens_)};
    return difference_in(
        {{{{"q", q_.values(some)}, {"k", k_.values(some)}, {"cos", cos_.values(some)}, {"sin", sin_.values(some)}},
          {{"interleaved", 0}},
          {}},
         {{"q_out", q_out_.values(some)}, {"k_out", k_out_.values(some)}}},
        layer_, "rotary_pos_emb", q_.view.dtype);
  }

 private:
  static constexpr std::int64_t heads = 32, kv_heads = 8, width = 128;
  std::int64_t tokens_;
  CardTensor q_, k_, cos_, sin_, q_out_, k_out_;
  RotaryPosEmb layer_;
};

// ---- Linear and attention: few rows and many ----

struct WeightKind {
  const char *name, *format;
  DLDataType dtype, decode_input, prefill_input;
};
constexpr WeightKind weight_kinds[] = {
    {"Q4_1", "gguf.q4_1", u8, f32, f16}, {"Q8_0", "gguf.q8_0", u8, f32, f16}, {"bfloat16", "", bf16, bf16, bf16}};

// As many layers as make up the bytes, or one.
class LinearSubject : public Subject {
 public:
  LinearSubject(const Card& card, const Sizes& sizes, const WeightKind& kind, std::int64_t rows, DLDataType input,
                std::size_t bytes)
      : rows_(rows), x_(card, input, {rows, sizes.columns}) {
    do {
      layers_.push_back(
          std::make_unique<CardLinear>(card, Linear(sizes.outputs, sizes.columns, kind.format, kind.dtype)));
      outputs_.emplace_back(new CardTensor(CardTensor::unwritten(card, input, {rows, sizes.outputs})));
      moved += layers_.back()->weight.bytes;
    } while (moved + layers_.back()->weight.bytes <= bytes);
    multiply_adds = static_cast<double>(layers_.size()) * static_cast<double>(rows * sizes.outputs * sizes.columns);
    multiplied = input;
  }
  void call() override {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      (*layers_[i])(x_.view, outputs_[i]->view);
    }
  }
  std::string complaint() const override {
    const std::vector<std::int64_t> rows = some_of(rows_, 3);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const CardLinear& layer = *layers_[i];
      const std::vector<std::int64_t> outputs = some_of(layer.weight.view.shape[0]);
      const std::string off = difference_in(
          {{{{"input", x_.values({rows})}, {"weight", layer.weight.values({outputs}, format_of(layer))}}, {}, {}},
           {{"output", outputs_[i]->values({rows, outputs})}}},
          layer, "Linear", x_.view.dtype);
      if (!off.empty()) {
        return off;
      }
    }
    return {};
  }

 private:
  static const sdk::BlockFormat* format_of(const CardLinear& layer) { return sdk::find_block_format(layer.format); }

  std::int64_t rows_;
  CardTensor x_;
  std::vector<std::unique_ptr<CardLinear>> layers_;
  std::vector<std::unique_ptr<CardTensor>> outputs_;
};

class AttentionSubject : public Subject {
 public:
  AttentionSubject(const Card& card, std::int64_t tokens, std::int64_t kv_heads, std::int64_t group,
                   std::int64_t before)
      : tokens_(tokens),
        kv_heads_(kv_heads),
        group_(group),
        before_(before),
        q_(card, f16, {tokens, kv_heads * group, width}),
        k_(card, f16, {tokens, kv_heads, width}),
        v_(card, f16, {tokens, kv_heads, width}),
        k_cache_(card, f16, {before + tokens, kv_heads, width}),
        v_cache_(card, f16, {before + tokens, kv_heads, width}),
        output_(CardTensor::unwritten(card, f16, {tokens, kv_heads * group, width})) {
    moved = k_cache_.bytes + v_cache_.bytes;
    const double positions = static_cast<double>(tokens) * static_cast<double>(2 * before + tokens + 1) / 2;
    multiply_adds = 2 * positions * static_cast<double>(kv_heads * group * width);
    multiplied = f16;
  }
  static std::int64_t bytes_of_head(std::int64_t positions) { return 2 * positions * width * 2; }

  void call() override {
    layer_(q_.view, k_.view, v_.view, k_cache_.view, v_cache_.view, before_, scale, output_.view);
  }
  // A token is as a call of its own, with those before it in the caches.
  std::string complaint() const override {
    for (const std::int64_t token : some_of(tokens_, 3)) {
      for (const std::int64_t kv_head : some_of(kv_heads_, 2)) {
        const std::string off = complaint_of(token, kv_head);
        if (!off.empty()) {
          return off;
        }
      }
    }
    return {};
  }

 private:
  std::string complaint_of(std::int64_t token, std::int64_t kv_head) const {
    std::vector<std::int64_t> seen(static_cast<std::size_t>(before_ + token + 1)),
        heads(static_cast<std::size_t>(group_));
    std::iota(seen.begin(), seen.end(), 0);
    std::iota(heads.begin(), heads.end(), kv_head * group_);
    return difference_in({{{{"q", q_.values({{token}, heads})},
                            {"k", k_.values({{token}, {kv_head}})},
                            {"v", v_.values({{token}, {kv_head}})},
                            {"k_cache", k_cache_.values({seen, {kv_head}})},
                            {"v_cache", v_cache_.values({seen, {kv_head}})}},
                           {{"kv_length", static_cast<double>(before_ + token)}, {"scale", scale}},
                           {}},
                          {{"output", output_.values({{token}, heads})}}},
                         layer_, "CausalAttention", f16);
  }

  static constexpr std::int64_t width = 128;
  static constexpr float scale = 0.088f;
  std::int64_t tokens_, kv_heads_, group_, before_;
  CardTensor q_, k_, v_, k_cache_, v_cache_, output_;
  CausalAttention layer_;
};

template <class Made, class... Arguments>
auto make(Arguments... arguments) {
  return [=](const Card& card) -> std::unique_ptr<Subject> { return std::make_unique<Made>(card, arguments...); };
}

}  // namespace

std::vector<SubjectRow> rows_bound_by_memory(const Sizes& sizes) {
  const Goal nearly_all = at_least(0.95), most = at_least(0.80);
  const std::size_t bytes = sizes.bytes;
  std::vector<SubjectRow> rows{{"SiluAndMul float32", nearly_all, make<ActivationSubject>(bytes, f32)},
                               {"SiluAndMul bfloat16", nearly_all, make<ActivationSubject>(bytes, bf16)}};
  for (const std::int64_t width : {576, 4096}) {
    rows.push_back({fmt::format("RMSNorm bfloat16 of {}", width), nearly_all, make<NormSubject>(bytes, width, bf16)});
    rows.push_back({fmt::format("ResidualRMSNorm bfloat16 of {}", width), nearly_all,
                    make<ResidualNormSubject>(bytes, width, bf16)});
  }
  rows.push_back({"rotary_pos_emb bfloat16, heads of 128", nearly_all, make<RotarySubject>(bytes, bf16)});
  for (const WeightKind& kind : weight_kinds) {
    rows.push_back({fmt::format("Linear {} {} x {}, one row", kind.name, sizes.outputs, sizes.columns), nearly_all,
                    make<LinearSubject>(sizes, kind, 1, kind.decode_input, bytes)});
  }
  for (const auto [depth, group] : sizes.decodes) {
    const std::int64_t kv_heads = rows_of(bytes, AttentionSubject::bytes_of_head(depth + 1));
    rows.push_back({fmt::format("attention float16, one token at depth {}, groups of {}", depth, group), most,
                    make<AttentionSubject>(1, kv_heads, group, depth)});
  }
  return rows;
}

std::vector<SubjectRow> rows_bound_by_arithmetic(const Sizes& sizes) {
  std::vector<SubjectRow> rows;
  for (const WeightKind& kind : weight_kinds) {
    rows.push_back({fmt::format("Linear {} {} x {}, {} rows", kind.name, sizes.outputs, sizes.columns, sizes.prompt),
                    {},
                    make<LinearSubject>(sizes, kind, sizes.prompt, kind.prefill_input, std::size_t{0})});
  }
  rows.push_back({fmt::format("attention float16, {} tokens, groups of 4", sizes.prompt),
                  {},
                  make<AttentionSubject>(sizes.prompt, 8, 4, 0)});
  return rows;
}

Mapping plugins_for_cards() {
  std::vector<Mapping::LayerEntry> entries;
  for (const auto& [layer, repo] :
       {std::pair{"SiluAndMul", "layerhub/activation"}, std::pair{"RMSNorm", "layerhub/norm"},
        std::pair{"ResidualRMSNorm", "layerhub/norm"}, std::pair{"rotary_pos_emb", "layerhub/rotary"},
        std::pair{"Linear", "layerhub/linear"}, std::pair{"CausalAttention", "layerhub/attention"}}) {
    entries.push_back({layer, {{"cuda", LayerRepository{.repo_id = repo, .layer_name = layer, .revision = "v1"}}}});
  }
  return Mapping(entries);
}

}  // namespace layerhub::bench
