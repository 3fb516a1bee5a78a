// SPDX-License-Identifier: Apache-2.0
#include "hub/mapping_file.hpp"

#include "base/reason.hpp"
#include "base/toml.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>

namespace layerhub::hub {
namespace {

struct Wrong {
  std::string key, fact;
};

// A table of the file and the keys that lead to it.
class Table {
 public:
  Table(const Json& value, std::string path, std::initializer_list<std::string_view> known)
      : value_(value), path_(std::move(path)) {
    if (!value.is_object()) {
      throw Wrong{path_, "it is not a table"};
    }
    for (const auto& [key, ignored] : value.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        throw Wrong{path_ + "." + key, fmt::format("the key is unknown; known are {}", fmt::join(known, ", "))};
      }
    }
  }

  bool has(const char* key) const { return value_.contains(key); }
  const Json& at(const char* key) const { return value_.at(key); }
  [[noreturn]] void wrong(const char* key, std::string fact) const { throw Wrong{path_ + "." + key, std::move(fact)}; }

  std::string text(const char* key) const {
    if (!has(key)) {
      wrong(key, "it is missing");
    }
    if (!at(key).is_string() || at(key).get_ref<const std::string&>().empty()) {
      wrong(key, "it is not a text");
    }
    return at(key);
  }
  std::string text_or(const char* key, const std::string& otherwise) const { return has(key) ? text(key) : otherwise; }
  std::uint32_t number_or(const char* key, std::uint32_t otherwise) const {
    if (!has(key)) {
      return otherwise;
    }
    if (!at(key).is_number_unsigned() || at(key).get<std::uint64_t>() > 0xffffffffu) {
      wrong(key, "it is not a whole number from 0");
    }
    return at(key);
  }
  bool flag(const char* key) const {
    if (has(key) && !at(key).is_boolean()) {
      wrong(key, "it is neither true nor false");
    }
    return has(key) && at(key).get<bool>();
  }
  std::vector<std::string> texts(const char* key) const {
    std::vector<std::string> all;
    if (!has(key) || !at(key).is_array() || at(key).empty()) {
      wrong(key, "it is not a list of texts");
    }
    for (const Json& value : at(key)) {
      if (!value.is_string()) {
        wrong(key, "it is not a list of texts");
      }
      all.push_back(value);
    }
    return all;
  }

 private:
  const Json& value_;
  std::string path_;
};

Mode mode_of(const Table& table) {
  if (!table.has("mode")) {
    return Mode::fallback;
  }
  try {
    return parse_mode(table.text("mode"));
  } catch (const Error& error) {
    table.wrong("mode", error.what());
  }
}

Repository repository_of(const Table& table, const std::string& name) {
  const std::string layer = table.text_or("layer", name);
  if (table.has("path")) {
    for (const char* other : {"repository", "revision", "version", "lock-file"}) {
      if (table.has(other)) {
        table.wrong(other, "it stands beside `path`; give one of the two");
      }
    }
    return LocalLayerRepository{table.text("path"), layer};
  }
  const std::string repo_id = table.text("repository");
  const int given = table.has("revision") + table.has("version") + table.has("lock-file");
  if (given != 1) {
    table.wrong("repository", fmt::format("{} of revision, version and lock-file are given; give exactly one",
                                          given == 0 ? "none" : "several"));
  }
  if (table.has("lock-file")) {
    return LockedLayerRepository{repo_id, layer, table.text("lock-file")};
  }
  LayerRepository repository{.repo_id = repo_id, .layer_name = layer};
  if (table.has("version")) {
    repository.version = static_cast<int>(std::min(table.number_or("version", 0), 1u << 30));
  } else {
    repository.revision = table.text("revision");
  }
  return repository;
}

MappingRow row_of(const Json& value, const std::string& path) {
  const Table table(value, path,
                    {"name", "device", "mode", "min-capability", "max-capability", "repository", "revision", "version",
                     "lock-file", "path", "layer", "automatic", "pin"});
  MappingRow row{table.text("name"), table.text("device"), {}, mode_of(table), LayerRepository{}, false, {}, {}};
  row.interval.min_capability = table.number_or("min-capability", row.interval.min_capability);
  row.interval.max_capability = table.number_or("max-capability", row.interval.max_capability);
  row.repository = repository_of(table, row.layer);
  row.automatic = table.flag("automatic");
  if (table.has("pin")) {
    const Table pin(table.at("pin"), path + ".pin", {"variant", "library", "digest", "kernels"});
    row.pin = Pin{pin.text("variant"), pin.text("library"), pin.text("digest"), pin.texts("kernels")};
  }
  return row;
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
    }
  }
  return out + '"';
}

class Writer {
 public:
  void write(const MappingRow& row) {
    text_ += text_.empty() ? "[[layer]]\n" : "\n[[layer]]\n";
    line("name", in_quotes(row.layer));
    line("device", in_quotes(row.device));
    if (row.interval.min_capability != CapabilityInterval{}.min_capability) {
      line("min-capability", std::to_string(row.interval.min_capability));
    }
    if (row.interval.max_capability != CapabilityInterval{}.max_capability) {
      line("max-capability", std::to_string(row.interval.max_capability));
    }
    if (row.mode != Mode::fallback) {
      line("mode", in_quotes(to_string(row.mode)));
    }
    std::visit([&](const auto& repository) { write(repository, row.layer); }, row.repository);
    if (row.automatic) {
      line("automatic", "true");
    }
    if (row.pin) {
      write(*row.pin);
    }
  }
  std::string text() && { return std::move(text_); }

 private:
  void line(std::string_view key, const std::string& value) { text_ += fmt::format("{} = {}\n", key, value); }

  void write(const LayerRepository& repository, const std::string& layer) {
    line("repository", in_quotes(repository.repo_id));
    if (repository.version) {
      line("version", std::to_string(*repository.version));
    } else {
      line("revision", in_quotes(repository.revision));
    }
    write_layer(repository.layer_name, layer);
  }
  void write(const LocalLayerRepository& repository, const std::string& layer) {
    line("path", in_quotes(repository.path));
    write_layer(repository.layer_name, layer);
  }
  void write(const LockedLayerRepository& repository, const std::string& layer) {
    line("repository", in_quotes(repository.repo_id));
    line("lock-file", in_quotes(repository.lock_file));
    write_layer(repository.layer_name, layer);
  }
  void write_layer(const std::string& in_repository, const std::string& layer) {
    if (in_repository != layer) {
      line("layer", in_quotes(in_repository));
    }
  }
  void write(const Pin& pin) {
    text_ += "[layer.pin]\n";
    line("variant", in_quotes(pin.variant));
    line("library", in_quotes(pin.library));
    line("digest", in_quotes(pin.digest));
    std::vector<std::string> kernels;
    for (const std::string& kernel : pin.kernels) {
      kernels.push_back(in_quotes(kernel));
    }
    line("kernels", fmt::format("[{}]", fmt::join(kernels, ", ")));
  }

  std::string text_;
};

}  // namespace

Result<std::vector<MappingRow>> parse_mapping_file(std::string_view text, std::string_view name) {
  BOOST_OUTCOME_TRY(const Toml toml, parse_toml(text, name));
  try {
    const Table root(toml.value, "", {"layer"});
    std::vector<MappingRow> rows;
    if (root.has("layer") && !root.at("layer").is_array()) {
      throw Wrong{"layer", "it is not a list of tables; write [[layer]]"};
    }
    for (std::size_t i = 0; root.has("layer") && i < root.at("layer").size(); ++i) {
      const std::string path = fmt::format("layer[{}]", i);
      rows.push_back(row_of(root.at("layer")[i], path));
      rows.back().place = toml.at(name, path);
    }
    return rows;
  } catch (const Wrong& wrong) {
    const std::string key = wrong.key.starts_with('.') ? wrong.key.substr(1) : wrong.key;
    return make_reason(ErrorCode::bad_metadata, "mapping", fmt::format("{}: {}", toml.at(name, key), wrong.fact));
  }
}

std::string write_mapping_file(const std::vector<MappingRow>& rows) {
  Writer writer;
  for (const MappingRow& row : rows) {
    writer.write(row);
  }
  return std::move(writer).text();
}

}  // namespace layerhub::hub
