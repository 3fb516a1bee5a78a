// SPDX-License-Identifier: Apache-2.0
// Runs SmolLM2 twice: with a plugin's kernel under every marked layer, and on the layers' own forwards. See README.md.
#include "binding.hpp"
#include "evaluate.hpp"
#include "generate.hpp"
#include "options.hpp"
#include "report.hpp"
#include "session.hpp"

#include <layerhub/layerhub.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

using namespace smollm2;

constexpr int own_tokens = 16;  // of the default run: enough to compare, and nobody waits for the rest

layerhub::Mapping mapping_for(const Options& options, const Placement& placement) {
  if (!options.mapping.empty()) {
    return layerhub::read_mapping(options.mapping);
  }
  return options.hub ? explicit_mapping(placement) : layerhub::automatic_mapping();
}

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

// A line that the next output replaces on a terminal, and an ordinary one elsewhere.
void progress(const std::string& what) {
  static const bool terminal = isatty(STDERR_FILENO) != 0;
  std::fprintf(stderr, terminal ? "\r\033[K%s ..." : "%s ...\n", what.c_str());
}
void end_progress() {
  if (isatty(STDERR_FILENO) != 0) {
    std::fputs("\r\033[K", stderr);
  }
}

void answer(const Options& options, Model& model, const Tokenizer& tokenizer) {
  Figures figures;
  figures.prompt = tokenizer.encode(options.raw ? options.prompt : chat_prompt(options.prompt), !options.raw);
  if (figures.prompt.empty()) {
    throw std::runtime_error("--prompt: it is empty; give some text");
  }
  const Placement placement = parse_placement(options.devices);
  const Sampler sampler(options.temperature, options.seed);
  if (!options.own) {
    place_and_bind(model, placement, mapping_for(options, placement), options.hub);
    end_progress();
    print(options.prompt + "\n\n");
    Run run = generate(model, tokenizer, figures.prompt, options.tokens, Dtype::f16, sampler, print);
    print("\n\n");
    if (options.hub) {
      require_no_fallback(model);
    }
    std::vector<LayerLine> lines = layer_lines(model, run);
    figures.hub = {std::move(run), std::move(lines)};
  }
  if (!options.hub) {
    const int tokens = options.own ? options.tokens : std::min(options.tokens, own_tokens);
    progress("on the own forwards: " + std::to_string(tokens) + " tokens");
    unbind(model);
    Run run = generate(
        model, tokenizer, figures.prompt, tokens, Dtype::f32, sampler,
        options.own ? std::function(print) : [](const std::string&) {});
    end_progress();
    print(options.own ? "\n\n" : "");
    std::vector<LayerLine> lines = layer_lines(model, run);
    figures.own = {std::move(run), std::move(lines)};
    model.drop_own_weights();
    if (!options.own) {
      place_and_bind(model, placement, mapping_for(options, placement), options.hub);
      const std::vector<TokenId>& ids = figures.own->run.token_ids;
      const std::vector<TokenId> top = teacher_forced(model, figures.prompt, ids, Dtype::f16);
      std::size_t equal = 0;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        equal += ids[i] == top[i] ? 1u : 0u;
      }
      figures.agreement = static_cast<double>(equal) / static_cast<double>(ids.size());
    }
  }
  print(table(figures));
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << json(figures);
    if (!file.flush()) {
      throw std::runtime_error(options.json + ": it cannot be written; give another --json");
    }
  }
}

int run(const Options& options) {
  layerhub::set_threads(options.threads);
  if (!options.plugins.empty()) {
    layerhub::set_plugin_roots({options.plugins});
    if (!std::filesystem::is_directory(options.plugins)) {
      std::fprintf(stderr, "%s: there is no such plugin directory; no layer finds its plugin there\n",
                   options.plugins.c_str());
    }
  }
  need_devices(parse_placement(options.devices));
  if (!options.session) {  // whoever starts one reads answers
    progress("loading " + options.model);
  }
  const Gguf file(options.model);
  const Tokenizer tokenizer(file);
  Model model(file);
  if (!options.tokenize.empty()) {
    bool equal = false;
    end_progress();
    print(tokenize_cases(tokenizer, options.tokenize, equal));
    return equal ? 0 : 1;
  }
  if (!options.evaluate.empty()) {
    const Placement placement = parse_placement(options.devices);
    std::function<void()> with_plugins =
                              [&] {
                                place_and_bind(model, placement,
                                               options.mapping.empty() ? explicit_mapping(placement)
                                                                       : mapping_for(options, placement),
                                               true);
                              },
                          on_own_forwards = [&] { unbind(model); };
    const std::string compared = evaluate(model, options.evaluate, options.own ? nullptr : with_plugins,
                                          options.hub ? nullptr : on_own_forwards, progress);
    end_progress();
    print(compared);
    return 0;
  }
  if (options.session) {
    const Placement placement = parse_placement(options.devices);
    place_and_bind(model, placement, mapping_for(options, placement), options.hub);
    end_progress();
    serve_session(model, tokenizer, std::cin, std::cout);
    return 0;
  }
  answer(options, model, tokenizer);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  try {
    return run(options);
  } catch (const std::exception& error) {
    end_progress();
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
