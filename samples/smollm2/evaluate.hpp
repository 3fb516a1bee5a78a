// SPDX-License-Identifier: Apache-2.0
// Comparing with a reference: the tokenizer's cases, and the model's likeliest tokens and likelihood.
#pragma once

#include "model.hpp"

#include <functional>
#include <string>

namespace smollm2 {

// JSON {"cases", "equal"}: of the file's cases those whose ids and ids_special are both as given. Throws
// std::runtime_error where the file is not of that form.
std::string tokenize_cases(const Tokenizer& tokenizer, const std::string& path, bool& all_equal);

// JSON {"reference_mean_nll", "hub": {"top1_agreement", "largest_margin_of_disagreement", "mean_nll"}, "own": {...}};
// the model is fed the reference's tokens. `with_plugins` runs before the hub side and `on_own_forwards` before the
// other; one that is empty leaves its side out.
std::string evaluate(const Model& model, const std::string& path, const std::function<void()>& with_plugins,
                     const std::function<void()>& on_own_forwards,
                     const std::function<void(const std::string&)>& progress);

}  // namespace smollm2
