// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <filesystem>

namespace smollm2 {
namespace {

std::string default_model() {
  if (const char* given = std::getenv("LAYERHUB_MODEL")) {
    return given;
  }
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  const std::filesystem::path folder = cache != nullptr && *cache != '\0'
                                           ? std::filesystem::path(cache)
                                           : std::filesystem::path(home == nullptr ? "." : home) / ".cache";
  return folder / "layerhub" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf";
}

// The plugins of the build that this program is part of.
std::string plugins_beside_program() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path plugins = program.parent_path().parent_path() / "plugins";
  return std::filesystem::is_directory(plugins, error) ? plugins.string() : "";
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options options;
  options.model = default_model();
  CLI::App app("Runs SmolLM2 with its layers from a plugin directory and, to compare, on their own forwards.");
  app.add_option("--prompt", options.prompt, "what to ask");
  app.add_flag("--raw", options.raw, "give the prompt to the model as it is, without the chat template");
  app.add_option("--tokens", options.tokens, "how many tokens to write at most")->check(CLI::Range(1, 1 << 20));
  app.add_option("--threads", options.threads, "threads of the hub run; 0: one per processor")
      ->check(CLI::Range(0, 1024));
  auto* own = app.add_flag("--own", options.own, "only the layers' own forwards");
  app.add_flag("--hub", options.hub, "only the plugins' kernels; where one can't be used it is an error")
      ->excludes(own);
  app.add_option("--plugins", options.plugins, "the plugin directory");
  app.add_option("--device", options.devices,
                 "where the model runs: cpu, opencl, cuda, rocm, with :ordinal; PART=DEVICE for attention, mlp or head")
      ->delimiter(',');
  app.add_option("--mapping", options.mapping, "a mapping file, or what `layerhub lock` made of one");
  app.add_option("--model", options.model, "the GGUF file");
  app.add_option("--json", options.json, "write the figures of the run to this file");
  app.add_option("--tokenize", options.tokenize, "compare the tokenizer with the cases of a JSON file");
  app.add_option("--evaluate", options.evaluate, "compare both runs with the reference of a JSON file");
  app.add_flag("--session", options.session, "answer the commands of session.hpp on standard input")->excludes(own);
  app.add_option("--temperature", options.temperature, "0: always the likeliest token")->check(CLI::Range(0.0, 100.0));
  app.add_option("--seed", options.seed, "of the sampling");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? 0 : 2);
  }
  if (options.plugins.empty()) {
    options.plugins = plugins_beside_program();
  }
  return options;
}

}  // namespace smollm2
