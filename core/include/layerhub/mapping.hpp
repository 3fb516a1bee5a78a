// SPDX-License-Identifier: Apache-2.0
// Which repository serves which layer on which device in which mode, as a value. scope.hpp puts one in force.
//
//   layerhub::Mapping mapping{
//       {"SiluAndMul", {{"cuda", LayerRepository{.repo_id = "layerhub/activation", .layer_name = "SiluAndMul",
//                                                .revision = "v1"}}}}};
//
// The names are those of the Hub's Python package, so that its documentation still makes sense. Nothing is loaded for a
// mapping: that happens at the first call, or in kernelize.
#pragma once

#include <layerhub/export.hpp>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace layerhub {

namespace dispatch {
struct MappingValue;
}

// What a layer is used for. Flags: inference | capture.
enum class Mode : std::uint32_t {
  inference = 1,
  training = 2,
  capture = 4,        // calls may be recorded into a graph of the device: the kernel must be safe to capture
  deterministic = 8,  // asked of a kernel: the same inputs give the same bits. Nothing is registered for it
  fallback = 16       // for registration alone: the repository serves every mode that has none of its own
};
constexpr Mode operator|(Mode a, Mode b) noexcept {
  return static_cast<Mode>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}
constexpr bool has(Mode mode, Mode flag) noexcept {
  return (static_cast<std::uint32_t>(mode) & static_cast<std::uint32_t>(flag)) != 0;
}
LAYERHUB_API std::string to_string(Mode mode);  // "inference|capture"
// Throws Error(invalid_argument) that lists the names. [thread-safe]
LAYERHUB_API Mode parse_mode(std::string_view text);

// When a layer may run its own forward instead of a kernel.
//                        no mapping, device,      the kernel can't serve     loading or
//                        capability or mode       the asked mode             validating failed
//   never                error                    error                      error
//   when_missing         own forward              error                      error
//   when_unsupported     own forward              own forward                error
//   always               own forward              own forward                own forward, with a warning
// A device that is not there is an error under every policy: no forward could reach its tensors.
// Without a policy, entries that a host registered are held to when_unsupported and those of automatic_mapping to
// always.
enum class Fallback : std::uint8_t { never = 1, when_missing, when_unsupported, always };
LAYERHUB_API std::string_view to_string(Fallback policy);  // "when_missing"

// A layer of a repository, found in the plugin directories. Exactly one of revision and version is given; version n is
// the branch "v<n>".
struct LayerRepository {
  std::string repo_id{};     // "org/name"
  std::string layer_name{};  // the layer's name in the repository
  std::string revision{};    // a branch, tag or commit
  std::optional<int> version{};
};

// A layer of a repository at a path: its folder, its `build` folder or one variant's.
struct LocalLayerRepository {
  std::string path{};
  std::string layer_name{};
};

// A layer of a repository at the commit that a lock file of the Hub's pins it to (kernels.lock).
struct LockedLayerRepository {
  std::string repo_id{};
  std::string layer_name{};
  std::string lock_file{};  // its path
};

using Repository = std::variant<LayerRepository, LocalLayerRepository, LockedLayerRepository>;

// Inclusive bounds of a device's capability; see DeviceInfo.
struct CapabilityInterval {
  std::uint32_t min_capability = 0;
  std::uint32_t max_capability = std::numeric_limits<std::uint32_t>::max();
};
struct CudaProperties : CapabilityInterval {};  // only with "cuda"
struct RocmProperties : CapabilityInterval {};  // only with "rocm"
struct CpuProperties : CapabilityInterval {};   // only with "cpu"

// A device type in a mapping, for all of its capabilities or for an interval of them.
struct MappedDevice {
  MappedDevice(const char* type) : type(type) {}
  MappedDevice(std::string type) : type(std::move(type)) {}
  MappedDevice(std::string type, CudaProperties p) : type(std::move(type)), interval(p), interval_of("cuda") {}
  MappedDevice(std::string type, RocmProperties p) : type(std::move(type)), interval(p), interval_of("rocm") {}
  MappedDevice(std::string type, CpuProperties p) : type(std::move(type)), interval(p), interval_of("cpu") {}

  std::string type;  // cpu cuda rocm opencl xpu mps npu tpu neuron
  CapabilityInterval interval{};
  std::string interval_of{};  // the type that the properties were made for; empty: none were given
};

// One repository for every mode, or one for each of several.
struct ModeRepositories {
  ModeRepositories(LayerRepository repository) : entries{{Mode::fallback, std::move(repository)}} {}
  ModeRepositories(LocalLayerRepository repository) : entries{{Mode::fallback, std::move(repository)}} {}
  ModeRepositories(LockedLayerRepository repository) : entries{{Mode::fallback, std::move(repository)}} {}
  ModeRepositories(Repository repository) : entries{{Mode::fallback, std::move(repository)}} {}
  ModeRepositories(std::initializer_list<std::pair<Mode, Repository>> list) : entries(list) {}

  std::vector<std::pair<Mode, Repository>> entries;
};

// An immutable value; copies are cheap and share it. [thread-safe]
class LAYERHUB_API Mapping {
 public:
  struct DeviceEntry {
    MappedDevice device;
    ModeRepositories repositories;
  };
  struct LayerEntry {
    std::string layer;
    std::vector<DeviceEntry> devices;
  };

  Mapping();
  // Throws Error(invalid_argument) for an unknown device type (it lists the known ones), properties of another type,
  // min > max, a repository with both or neither of revision and version, modes that no call can have.
  Mapping(std::initializer_list<LayerEntry> entries);
  explicit Mapping(const std::vector<LayerEntry>& entries);

  bool empty() const noexcept;
  // "RMSNorm", ... sorted.
  std::vector<std::string> layers() const;

  explicit Mapping(std::shared_ptr<const dispatch::MappingValue> value) : value_(std::move(value)) {}
  const std::shared_ptr<const dispatch::MappingValue>& value() const noexcept { return value_; }

 private:
  std::shared_ptr<const dispatch::MappingValue> value_;
};

// The plugin directories that are searched before those of LAYERHUB_PATH. Takes effect for what is resolved from now
// on. [thread-safe]
LAYERHUB_API void set_plugin_roots(std::vector<std::string> roots);

// A mapping made from the metadata of every plugin in the roots (none given: set_plugin_roots, LAYERHUB_PATH, the
// user's and the system's directory). Of several versions of one repository the newest serves. Its entries are
// automatic: where one can't be used the layer runs its own forward, and explain() says why. `chosen` decides for
// its layers and devices. A plugin that can't be read is left out, with a warning in the log.
// Throws Error(ambiguous) that names both where two repositories have the same layer for the same device. [thread-safe]
LAYERHUB_API Mapping automatic_mapping(const std::vector<std::string>& roots = {}, const Mapping& chosen = {});

// A mapping as a TOML file of [[layer]] tables; core/src/hub/mapping_file.hpp shows the keys. read_mapping also reads
// what lock_mapping gave write_mapping.
// Throws Error: bad_metadata with file, line and key, invalid_argument as Mapping does, io_error. [thread-safe]
LAYERHUB_API Mapping read_mapping(const std::string& path);
LAYERHUB_API Mapping parse_mapping(std::string_view text, std::string_view name = "mapping");
LAYERHUB_API std::string format_mapping(const Mapping& mapping);
// Whole or not at all: written beside the file and renamed.
LAYERHUB_API void write_mapping(const Mapping& mapping, const std::string& path);

// What the mapping comes to on this machine, pinned: repository and revision, variant, library with its SHA-256 and
// kernels, for each layer and device. Under the result each layer gets exactly that, or an Error that names the
// difference, whatever the policy. Entries for devices that are not here are left out.
// Throws Error where an entry that is not automatic can't serve; automatic ones are left out. [thread-safe]
LAYERHUB_API Mapping lock_mapping(const Mapping& mapping);

// The Hub's lock (kernels.lock) of the mapping's repositories: each with the commit that is here.
// Throws Error(not_found) for a repository of which no commit is known. [thread-safe]
LAYERHUB_API std::string format_hub_lock(const Mapping& mapping);

}  // namespace layerhub
