// SPDX-License-Identifier: Apache-2.0
#include "evaluate.hpp"

#include "generate.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>

namespace smollm2 {
namespace {

using Json = nlohmann::json;

Json read(const std::string& path) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) {
    throw std::runtime_error(path + ": it cannot be opened; give a JSON file of cases");
  }
  try {
    return Json::parse(file);
  } catch (const Json::exception& error) {
    throw std::runtime_error(path + ": it is not JSON (" + error.what() + ")");
  }
}

constexpr std::size_t tokens_at_once = 64;  // whose logits are held, 49152 floats each

// The mean of -ln p(token | all before it) over all but the first.
double mean_nll(const Model& model, const std::vector<TokenId>& ids, Dtype cache) {
  Sequence sequence(model.config(), model.placement(), static_cast<std::int64_t>(ids.size()), cache);
  std::vector<float> logits;
  double sum = 0;
  for (std::size_t first = 0; first + 1 < ids.size(); first += tokens_at_once) {
    const std::size_t count = std::min(tokens_at_once, ids.size() - 1 - first);
    model.forward(std::span(ids).subspan(first, count), sequence, true, logits);
    for (std::size_t i = 0; i < count; ++i) {
      const float* row = logits.data() + i * static_cast<std::size_t>(model.config().vocabulary);
      const float largest = *std::max_element(row, row + model.config().vocabulary);
      double total = 0;
      for (std::int64_t k = 0; k < model.config().vocabulary; ++k) {
        total += std::exp(static_cast<double>(row[k]) - largest);
      }
      sum += std::log(total) + largest - row[ids[first + i + 1]];
    }
  }
  return sum / static_cast<double>(ids.size() - 1);
}

Json evaluate_side(const Model& model, const Json& reference, Dtype cache, const std::string& name,
                   const std::function<void(const std::string&)>& progress) {
  std::size_t positions = 0, equal = 0;
  double largest_margin = 0;
  for (const Json& prompt : reference.at("prompts")) {
    progress(name + ": " + prompt.at("id").get<std::string>());
    const Json& f32 = prompt.at("f32");
    const auto ids = f32.at("ids").get<std::vector<TokenId>>();
    const auto margins = f32.at("margin").get<std::vector<double>>();
    const std::vector<TokenId> top =
        teacher_forced(model, prompt.at("prompt_ids").get<std::vector<TokenId>>(), ids, cache);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ++positions;
      if (top[i] == ids[i]) {
        ++equal;
      } else {
        largest_margin = std::max(largest_margin, margins.at(i));
      }
    }
  }
  progress(name + ": likelihood");
  return {{"top1_agreement", positions == 0 ? 0 : static_cast<double>(equal) / static_cast<double>(positions)},
          {"largest_margin_of_disagreement", largest_margin},
          {"mean_nll", mean_nll(model, reference.at("nll").at("ids").get<std::vector<TokenId>>(), cache)}};
}

}  // namespace

std::string tokenize_cases(const Tokenizer& tokenizer, const std::string& path, bool& all_equal) {
  const Json reference = read(path);
  std::size_t cases = 0, equal = 0;
  for (const Json& c : reference.at("cases")) {
    const auto text = c.at("text").get<std::string>();
    ++cases;
    equal += c.at("ids").get<std::vector<TokenId>>() == tokenizer.encode(text, false) &&
                     c.at("ids_special").get<std::vector<TokenId>>() == tokenizer.encode(text, true)
                 ? 1u
                 : 0u;
  }
  all_equal = cases == equal;
  return Json{{"cases", cases}, {"equal", equal}}.dump(2) + "\n";
}

std::string evaluate(const Model& model, const std::string& path, const std::function<void()>& with_plugins,
                     const std::function<void()>& on_own_forwards,
                     const std::function<void(const std::string&)>& progress) {
  const Json reference = read(path);
  Json out{{"reference_mean_nll", reference.at("nll").at("f32").at("mean_nll")}};
  if (with_plugins) {
    with_plugins();
    out["hub"] = evaluate_side(model, reference, Dtype::f16, "with plugins", progress);
  }
  if (on_own_forwards) {
    on_own_forwards();
    out["own"] = evaluate_side(model, reference, Dtype::f32, "own forwards", progress);
  }
  return out.dump(2) + "\n";
}

}  // namespace smollm2
