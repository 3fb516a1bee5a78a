// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "binding.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace smollm2 {
namespace {

double rate(std::size_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }

nlohmann::json side_json(const Figures::Side& side, std::size_t prompt) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerLine& line : side.layers) {
    const auto text = [](const std::string& value) { return value.empty() ? nlohmann::json() : nlohmann::json(value); };
    layers.push_back({{"layer", line.layer},
                      {"device", line.device},
                      {"repo", text(line.repo)},
                      {"revision", text(line.revision)},
                      {"kernel", text(line.kernel)},
                      {"calls", line.calls},
                      {"share", line.share}});
  }
  return {{"token_ids", side.run.token_ids},
          {"text", side.run.text},
          {"prefill_tokens_per_second", rate(prompt, side.run.prefill_seconds)},
          {"decode_tokens_per_second", rate(side.run.decoded, side.run.decode_seconds)},
          {"copies", {{"count", side.run.copies.count}, {"bytes", side.run.copies.bytes}}},
          {"memory",
           {{"peak", side.run.memory.peak},
            {"kv_cache", side.run.memory.kv_cache},
            {"activations", side.run.memory.activations}}},
          {"layers", layers}};
}

std::string side_table(const char* name, const Figures::Side& side) {
  std::string text = fmt::format("{:<16} {:<9} {:<25} {:<18} {:>7} {:>7}\n", name, "device", "repo@revision", "kernel",
                                 "calls", "share");
  for (const LayerLine& line : side.layers) {
    text += fmt::format("{:<16} {:<9} {:<25} {:<18} {:>7} {:>6.1f}%\n", line.layer, line.device,
                        line.repo.empty() ? "own forward" : line.repo + "@" + line.revision,
                        line.kernel.empty() ? "-" : line.kernel, line.calls, 100 * line.share);
  }
  return text;
}

std::string memory_line(const MemoryUse& use) {
  const auto mb = [](std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  return fmt::format("memory of the hub run: {:.1f} MB at most, {:.1f} MB of it KV cache, {:.1f} MB activations\n",
                     mb(use.peak), mb(use.kv_cache), mb(use.activations));
}

}  // namespace

std::vector<LayerLine> layer_lines(const Model& model, const Run& run) {
  using Key = std::tuple<std::size_t, std::string, std::string, std::string, std::string>;
  std::map<Key, std::uint64_t> served;
  std::array<std::uint64_t, layer_names.size()> of_kind{};
  visit_working(model, [&](const auto& layer, layerhub::Device on) {
    const auto kind = static_cast<std::size_t>(kind_of(layer));
    const std::optional<layerhub::BindingInfo> binding = layerhub::binding_of(layer, on);
    ++of_kind[kind];
    ++served[binding ? Key{kind, to_string(binding->device), binding->repo_id, binding->revision, binding->kernel}
                     : Key{kind, "cpu", "", "", ""}];
  });
  double total = 0;
  for (std::size_t kind = 0; kind < layer_names.size(); ++kind) {
    total += of_kind[kind] == 0 ? 0 : run.times[kind].seconds;
  }
  std::vector<LayerLine> lines;
  for (const auto& [key, count] : served) {
    const auto& [kind, device, repo, revision, kernel] = key;
    const double part = static_cast<double>(count) / static_cast<double>(of_kind[kind]);
    lines.push_back({layer_names[kind], device, repo, revision, kernel,
                     static_cast<std::uint64_t>(std::llround(static_cast<double>(run.times[kind].calls) * part)),
                     total > 0 ? run.times[kind].seconds / total * part : 0});
  }
  return lines;
}

std::string table(const Figures& f) {
  std::string text, copies;
  if (f.hub) {
    text += side_table("layer (hub run)", *f.hub) + "\n";
  }
  if (f.own) {
    text += side_table("layer (own run)", *f.own) + "\n";
  }
  const auto speeds = [&](const Figures::Side& side) {
    return std::pair(rate(f.prompt.size(), side.run.prefill_seconds), rate(side.run.decoded, side.run.decode_seconds));
  };
  text += fmt::format("{:<24} {:>12} {:>12}\n", "tokens/s", "prefill", "decode");
  if (f.hub && f.hub->run.copies.count != 0) {
    copies = fmt::format("copies between devices: {}, {:.1f} MB in all\n", f.hub->run.copies.count,
                         static_cast<double>(f.hub->run.copies.bytes) / 1e6);
  }
  if (f.hub) {
    text += fmt::format("{:<24} {:>12.1f} {:>12.1f}\n", "with plugins", speeds(*f.hub).first, speeds(*f.hub).second);
  }
  if (f.own) {
    text += fmt::format("{:<24} {:>12.1f} {:>12.1f}   (plain scalar C++, one thread, -O2)\n", "on the own forwards",
                        speeds(*f.own).first, speeds(*f.own).second);
  }
  if (f.hub && f.own && speeds(*f.own).first > 0 && speeds(*f.own).second > 0) {
    text += fmt::format("{:<24} {:>11.1f}x {:>11.1f}x\n", "faster by", speeds(*f.hub).first / speeds(*f.own).first,
                        speeds(*f.hub).second / speeds(*f.own).second);
  }
  if (f.agreement) {
    text +=
        fmt::format("agreement of the two: {:.1f} % of {} tokens\n", 100 * *f.agreement, f.own->run.token_ids.size());
  }
  if (f.hub && f.hub->run.memory.peak != 0) {
    text += memory_line(f.hub->run.memory);
  }
  return text + copies;
}

std::string json(const Figures& f) {
  nlohmann::json out{{"prompt_token_ids", f.prompt}};
  if (f.hub) {
    out["hub"] = side_json(*f.hub, f.prompt.size());
  }
  if (f.own) {
    out["own"] = side_json(*f.own, f.prompt.size());
  }
  if (f.agreement) {
    out["agreement"] = *f.agreement;
  }
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace smollm2
