// SPDX-License-Identifier: Apache-2.0
#include "hub/metadata.hpp"

#include "base/json.hpp"
#include "base/os.hpp"
#include "base/reason.hpp"
#include "hub/repository_ref.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/filesystem/operations.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <tuple>

namespace layerhub::hub {
namespace {

namespace fs = boost::filesystem;

constexpr std::size_t max_entries = 4096;  // of any list: what is longer is no plugin's

// Thrown while reading and turned into the Result by parse_metadata: the reader below would drown in checks otherwise.
struct Wrong {
  std::string field, fact;
};

// A value and where it stands: "layerhub.libraries[0].file".
class Field {
 public:
  Field(const Json& value, std::string path) : value_(value), path_(std::move(path)) {}

  [[noreturn]] void wrong(std::string fact) const { throw Wrong{path_, std::move(fact)}; }
  bool has(const char* name) const { return value_.is_object() && value_.contains(name); }
  Field at(const char* name) const {
    if (!value_.is_object()) {
      wrong("it is not an object");
    }
    const auto found = value_.find(name);
    if (found == value_.end()) {
      Field(value_, child(name)).wrong("it is missing");
    }
    return {*found, child(name)};
  }
  std::string text() const {
    if (!value_.is_string()) {
      wrong("it is not a text");
    }
    return value_.get<std::string>();
  }
  bool flag() const {
    if (!value_.is_boolean()) {
      wrong("it is neither true nor false");
    }
    return value_.get<bool>();
  }
  std::uint32_t number() const {
    if (!value_.is_number_unsigned() || value_.get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
      wrong("it is not a whole number from 0");
    }
    return value_.get<std::uint32_t>();
  }
  std::vector<Field> list() const {
    if (!value_.is_array()) {
      wrong("it is not a list");
    }
    if (value_.size() > max_entries) {
      wrong(fmt::format("it has {} entries, at most {} are possible", value_.size(), max_entries));
    }
    std::vector<Field> fields;
    for (std::size_t i = 0; i < value_.size(); ++i) {
      fields.emplace_back(value_[i], fmt::format("{}[{}]", path_, i));
    }
    return fields;
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> all;
    for (const Field& field : list()) {
      all.push_back(field.text());
    }
    return all;
  }
  std::vector<std::pair<std::string, Field>> members() const {
    if (!value_.is_object()) {
      wrong("it is not an object");
    }
    std::vector<std::pair<std::string, Field>> all;
    for (const auto& [name, value] : value_.items()) {
      all.emplace_back(name, Field(value, child(printable(name).c_str())));
    }
    return all;
  }
  // The number of the text in `names`, which are counted from `first`.
  template <std::size_t N>
  std::uint32_t one_of(const std::array<std::string_view, N>& names, std::uint32_t first) const {
    const std::string value = text();
    const auto found = std::find(names.begin(), names.end(), value);
    if (found == names.end()) {
      wrong(fmt::format("`{}` is none of {}", printable(value), fmt::join(names, ", ")));
    }
    return first + static_cast<std::uint32_t>(found - names.begin());
  }

 private:
  std::string child(const char* name) const { return path_.empty() ? name : path_ + "." + name; }

  const Json& value_;
  std::string path_;
};

constexpr std::array<std::string_view, 7> argument_kinds{"input", "param", "output", "state", "saved", "int", "float"};
constexpr std::array<std::string_view, 5> attribute_kinds{"int", "float", "bool", "string", "ints"};
constexpr std::array<std::string_view, 2> kernel_kinds{"layer", "function"};
constexpr std::array<std::pair<std::string_view, std::uint32_t>, 6> trait_names{
    {{"capture-safe", LH_TRAIT_CAPTURE_SAFE},
     {"deterministic", LH_TRAIT_DETERMINISTIC},
     {"no-host-sync", LH_TRAIT_NO_HOST_SYNC},
     {"owns-params", LH_TRAIT_OWNS_PARAMS},
     {"no-workspace", LH_TRAIT_NO_WORKSPACE},
     {"checks-tensors", LH_TRAIT_CHECKS_TENSORS}}};

std::uint64_t hexadecimal(const Field& field) {
  const std::string text = field.text();
  if (text.size() != 16 || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    field.wrong("it is not 16 hexadecimal digits");
  }
  return std::stoull(text, nullptr, 16);
}

std::vector<Argument> read_arguments(const Field& list) {
  std::vector<Argument> arguments;
  for (const Field& field : list.list()) {
    arguments.push_back({field.at("name").text(), field.at("kind").one_of(argument_kinds, LH_ARG_INPUT),
                         field.has("optional") && field.at("optional").flag(),
                         field.has("formats") ? field.at("formats").texts() : std::vector<std::string>{}});
  }
  return arguments;
}

std::vector<Attribute> read_attributes(const Field& list) {
  std::vector<Attribute> attributes;
  for (const Field& field : list.list()) {
    attributes.push_back(
        {field.at("name").text(), field.at("kind").one_of(attribute_kinds, LH_ATTR_INT), field.at("required").flag()});
  }
  return attributes;
}

KernelInfo read_kernel(const Field& field) {
  KernelInfo kernel;
  kernel.layer = field.at("layer").text();
  kernel.implementation = field.at("implementation").text();
  kernel.kind =
      field.has("kind") ? field.at("kind").one_of(kernel_kinds, LH_KERNEL_LAYER) : std::uint32_t{LH_KERNEL_LAYER};
  kernel.device = field.at("device").text();
  kernel.min_capability = field.at("min-capability").number();
  kernel.max_capability = field.at("max-capability").number();
  kernel.features = field.at("features").texts();
  for (const Field& trait : field.at("traits").list()) {
    const std::string name = trait.text();
    for (const auto& [known, bit] : trait_names) {
      kernel.traits |= name == known ? bit : 0u;  // of a later minor: ignored
    }
  }
  const std::vector<std::string> modes = field.at("modes").texts();
  kernel.has_backward = std::find(modes.begin(), modes.end(), "training") != modes.end();
  kernel.signature = hexadecimal(field.at("signature"));
  kernel.arguments = read_arguments(field.at("arguments"));
  kernel.attributes = read_attributes(field.at("attributes"));
  if (kernel.layer.empty() || kernel.implementation.empty()) {
    field.wrong("the name of its layer or implementation is empty");
  }
  return kernel;
}

LibraryInfo read_library(const Field& field) {
  LibraryInfo library;
  const Field file = field.at("file");
  library.file = file.text();
  if (!is_safe_name(library.file)) {
    file.wrong(fmt::format("`{}` is not the plain name of a file", printable(library.file)));
  }
  library.capability = field.at("capability").number();
  library.features = field.at("features").texts();
  library.build_id = field.at("build-id").text();
  library.toolchain = field.has("toolchain") ? field.at("toolchain").text() : "";
  std::set<std::pair<std::string, std::string>> names;
  for (const Field& kernel : field.at("kernels").list()) {
    library.kernels.push_back(read_kernel(kernel));
    if (!names.emplace(library.kernels.back().layer, library.kernels.back().implementation).second) {
      kernel.wrong("a kernel of the same layer and implementation stands before it");
    }
  }
  library.runtime = field.has("runtime") ? field.at("runtime").text() : "";
  if (library.kernels.empty() && library.runtime.empty()) {
    field.at("kernels").wrong("it is empty, and the library brings no device runtime");
  }
  return library;
}

Digest read_digest(const Field& field) {
  constexpr std::array<std::string_view, 2> algorithms{"sha256", "sha512"};
  field.at("algorithm").one_of(algorithms, 0);
  Digest digest{field.at("algorithm").text(), {}};
  for (const auto& [path, value] : field.at("files").members()) {
    const std::string text = value.text();
    const std::size_t length = digest.algorithm == "sha256" ? 44 : 88;
    if (text.size() != length ||
        text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") !=
            std::string::npos) {
      value.wrong(fmt::format("it is not the base64 of a {}", digest.algorithm));
    }
    digest.files.emplace(path, text);
  }
  return digest;
}

void read_layerhub(const Field& field, Metadata& metadata) {
  const Field abi = field.at("abi");
  metadata.abi_major = abi.at("major").number();
  metadata.abi_minor = abi.at("minor").number();
  metadata.repo = field.at("repo").text();
  metadata.revision = field.at("revision").text();
  if (!is_repo_id(metadata.repo)) {
    field.at("repo").wrong(fmt::format("`{}` is not of the form org/name", printable(metadata.repo)));
  }
  if (!is_safe_name(metadata.revision)) {
    field.at("revision").wrong(fmt::format("`{}` cannot be a revision", printable(metadata.revision)));
  }
  if (metadata.abi_major != LH_ABI_MAJOR) {
    return;  // what another major says of its libraries is not ours to read
  }
  std::set<std::string> files;
  for (const Field& library : field.at("libraries").list()) {
    metadata.libraries.push_back(read_library(library));
    if (!files.insert(metadata.libraries.back().file).second) {
      library.wrong("a library of the same file stands before it");
    }
  }
  if (metadata.libraries.empty()) {
    field.at("libraries").wrong("it is empty");
  }
}

Metadata read_root(const Field& root) {
  Metadata metadata;
  metadata.id = root.at("id").text();
  metadata.name = root.at("name").text();
  const auto lower_or_digit = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const std::string& name = metadata.name;
  if (name.size() < 2 || !(name[0] >= 'a' && name[0] <= 'z') || !lower_or_digit(name.back()) ||
      !std::all_of(name.begin(), name.end(), [&](char c) { return lower_or_digit(c) || c == '-'; })) {
    root.at("name").wrong(fmt::format("`{}` does not match ^[a-z][-a-z0-9]*[a-z0-9]$", printable(name)));
  }
  metadata.version = static_cast<int>(std::min(root.at("version").number(), 1u << 30));
  metadata.license = root.at("license").text();
  const Field backend = root.at("backend");
  metadata.backend = backend.at("type").text();
  if (backend.has("archs")) {
    metadata.archs = backend.at("archs").texts();
  }
  if (root.has("digest")) {
    metadata.digest = read_digest(root.at("digest"));
  }
  if (root.has("provenance")) {
    const Field kernel = root.at("provenance").at("kernel");
    metadata.commit = kernel.at("commit").text();
    metadata.dirty = kernel.at("dirty").flag();
  }
  read_layerhub(root.at("layerhub"), metadata);
  return metadata;
}

std::string join(const std::vector<std::string>& names) { return fmt::format("{}", fmt::join(names, ", ")); }

}  // namespace

Result<Metadata> parse_metadata(std::string_view text, std::string_view name) {
  BOOST_OUTCOME_TRY(const Json json, parse_json(text, name));
  try {
    return read_root(Field(json, ""));
  } catch (const Wrong& wrong) {
    return make_reason(ErrorCode::bad_metadata, "metadata",
                       fmt::format("{}: {}: {}; build or install the plugin again", name,
                                   wrong.field.empty() ? "the whole" : wrong.field, wrong.fact));
  }
}

Result<Metadata> read_metadata(const fs::path& variant_folder) {
  const fs::path file = variant_folder / "metadata.json";
  boost::system::error_code error;
  if (!fs::exists(file, error)) {
    for (fs::directory_iterator entry(variant_folder, error), end; !error && entry != end; entry.increment(error)) {
      if (entry->path().extension() == ".so") {
        return make_reason(
            ErrorCode::not_found, "metadata",
            fmt::format("{}: it holds the bare library {} and no metadata.json; install the whole folder that "
                        "layerhub_add_plugin lays out",
                        printable(variant_folder.string()), printable(entry->path().filename().string())));
      }
    }
    return make_reason(
        ErrorCode::not_found, "metadata",
        fmt::format("{}: it holds no metadata.json; install the plugin again", printable(variant_folder.string())));
  }
  BOOST_OUTCOME_TRY(const std::string text, read_file(file, JsonLimits{}.bytes));
  return parse_metadata(text, printable(file.string(), 400));
}

namespace {

bool has(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

// Why a library can't run on the processor, or "". What a setting took away is not said to be lacking.
std::string reason_against(const LibraryInfo& library, const SystemFacts& facts) {
  if (library.capability > facts.cpu_capability) {
    const std::uint32_t own = std::max(facts.cpu_capability, facts.lowered_capability);
    return library.capability > own
               ? fmt::format("needs x86-64 level {}, this processor has {}", library.capability, own)
               : fmt::format("needs x86-64 level {}, LAYERHUB_CPU_CAPABILITY leaves {}", library.capability,
                             facts.cpu_capability);
  }
  std::vector<std::string> lacking, left_out;
  for (const std::string& feature : library.features) {
    if (!has(facts.cpu_features, feature)) {
      (has(facts.lowered_features, feature) ? left_out : lacking).push_back(feature);
    }
  }
  if (!lacking.empty()) {
    return fmt::format("needs {}, which this processor lacks", printable(join(lacking)));
  }
  return left_out.empty()
             ? ""
             : fmt::format("needs {}, which LAYERHUB_CPU_CAPABILITY leaves out", printable(join(left_out)));
}

}  // namespace

std::vector<LibraryVerdict> judge_libraries(const Metadata& metadata, const SystemFacts& facts) {
  std::vector<LibraryVerdict> verdicts;
  const bool runs_here = metadata.backend == "cpu";  // other devices are asked per kernel, when one is chosen
  for (const LibraryInfo& library : metadata.libraries) {
    verdicts.push_back({&library, runs_here ? reason_against(library, facts) : ""});
  }
  std::sort(verdicts.begin(), verdicts.end(), [](const LibraryVerdict& a, const LibraryVerdict& b) {
    const auto key = [](const LibraryVerdict& v) {
      return std::tuple(!v.reason.empty(), -static_cast<std::int64_t>(v.library->capability),
                        -static_cast<std::int64_t>(v.library->features.size()), std::string_view(v.library->file));
    };
    return key(a) < key(b);
  });
  return verdicts;
}

}  // namespace layerhub::hub
