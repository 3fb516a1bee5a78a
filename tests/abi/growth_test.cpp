// SPDX-License-Identifier: Apache-2.0
// Hosts and plugins of different minors. The past is played by structs cut where a past minor could have
// ended, the future by structs with fields behind the ones that this header knows; guard words show who read
// or wrote beyond.
#include <layerhub/sdk/kernel.hpp>

#include "support/built_plugins.hpp"
#include "support/catch.hpp"

#include <dlfcn.h>

#include <cstring>
#include <filesystem>

namespace {

using namespace layerhub::sdk;

struct AnyLayer {
  static constexpr std::string_view name = "AnyLayer";
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array attributes{optional_int("count", 1)};
};

// Keeps what it saw of the call, and where.
struct Witness {
  explicit Witness(const CreateArgs& args) : count(args.integer("count")), device(args.device()) {}
  void forward(const lh_call& call) const {
    seen = call;
    seen_at = &call;
  }
  std::int64_t count;
  const lh_device_info* device;
  static inline lh_call seen{};
  static inline const lh_call* seen_at = nullptr;
};

constexpr lh_kernel witness = layerhub::sdk::detail::describe<Witness, AnyLayer>("witness", kDLCPU);

// Exactly `size` bytes of a struct on the heap, so that a read beyond them is one beyond the block.
template <class Struct>
struct Cut {
  Cut(Struct whole, std::size_t size) : bytes(new std::byte[size]) {
    whole.struct_size = static_cast<std::uint32_t>(size);
    std::memcpy(bytes.get(), &whole, size);
  }
  const Struct* get() const { return reinterpret_cast<const Struct*>(bytes.get()); }
  std::unique_ptr<std::byte[]> bytes;
};

template <class Struct>
struct Grown {
  Struct known{};
  std::uint64_t later_field = 0xabcdef;
};

lh_create_args create_args() {
  static const lh_attr attribute = [] {
    lh_attr given = witness.attrs[0].fallback;
    given.value.i = 5;
    return given;
  }();
  lh_create_args args{};
  args.struct_size = sizeof args;
  args.attrs = &attribute;
  args.n_attrs = 1;
  return args;
}

TEST_CASE("a call of an older host is read as far as it goes, and what it lacks is absent [R1]") {
  lh_call whole{};
  whole.mode = LH_MODE_INFERENCE;
  whole.n_in = 3;
  whole.workspace_size = 77;
  lh_instance* instance = nullptr;
  const lh_create_args args = create_args();
  REQUIRE(witness.create(&args, &instance, nullptr) == LH_OK);
  for (const std::size_t size : {std::size_t{64}, offsetof(lh_call, workspace_size), sizeof(lh_call) - 8}) {
    const Cut<lh_call> old(whole, size);
    REQUIRE(witness.forward(instance, old.get(), nullptr) == LH_OK);
    CHECK(Witness::seen.mode == LH_MODE_INFERENCE);
    CHECK(Witness::seen.n_in == 3);
    CHECK(Witness::seen.workspace_size == (size > offsetof(lh_call, workspace_size) ? 77 : 0));
    CHECK(Witness::seen.grad_in == nullptr);
  }
  witness.destroy(instance);
}

TEST_CASE("a call of an equal or newer host is used in place, never copied [R1]") {
  lh_instance* instance = nullptr;
  const lh_create_args args = create_args();
  REQUIRE(witness.create(&args, &instance, nullptr) == LH_OK);
  Grown<lh_call> newer;
  newer.known.struct_size = sizeof newer;
  CHECK(witness.forward(instance, &newer.known, nullptr) == LH_OK);
  CHECK(Witness::seen_at == &newer.known);
  newer.known.struct_size = sizeof(lh_call);
  CHECK(witness.forward(instance, &newer.known, nullptr) == LH_OK);
  CHECK(Witness::seen_at == &newer.known);
  witness.destroy(instance);
}

TEST_CASE("create reads what an older host wrote and nothing of what a newer one added [R1]") {
  lh_instance* instance = nullptr;
  const Cut<lh_create_args> old(create_args(), offsetof(lh_create_args, params));
  REQUIRE(witness.create(old.get(), &instance, nullptr) == LH_OK);
  CHECK(reinterpret_cast<Witness*>(instance)->count == 5);
  CHECK(reinterpret_cast<Witness*>(instance)->device == nullptr);
  witness.destroy(instance);

  Grown<lh_create_args> newer;
  newer.known = create_args();
  newer.known.struct_size = sizeof newer;
  REQUIRE(witness.create(&newer.known, &instance, nullptr) == LH_OK);
  CHECK(reinterpret_cast<Witness*>(instance)->count == 5);
  witness.destroy(instance);
}

// The query of the first plugin that was built.
lh_plugin_query_fn any_query() {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(LAYERHUB_PLUGIN_ROOT)) {
    if (entry.path().extension() == ".so") {
      void* handle = dlopen(entry.path().c_str(), RTLD_NOW | RTLD_LOCAL);
      REQUIRE(handle != nullptr);
      return reinterpret_cast<lh_plugin_query_fn>(dlsym(handle, LH_PLUGIN_QUERY_SYMBOL));
    }
  }
  FAIL("no plugin was built under " LAYERHUB_PLUGIN_ROOT);
  return nullptr;
}

TEST_CASE("a host of a newer minor and a plugin agree on the plugin's, a host of the same on its own [R5]") {
  const lh_plugin_query_fn query = any_query();
  const lh_plugin* plugin = nullptr;
  std::uint32_t minor = LH_ABI_MINOR + 9;
  REQUIRE(query(0, &minor, &plugin, nullptr) == LH_OK);
  CHECK(minor == LH_ABI_MINOR);
  REQUIRE(query(LH_ABI_MINOR, &minor, &plugin, nullptr) == LH_OK);
  CHECK(minor == LH_ABI_MINOR);
  CHECK(plugin->abi_minor == LH_ABI_MINOR);
  CHECK(plugin->struct_size >= sizeof(lh_plugin));
}

TEST_CASE("a plugin too old for the host says so in a text cut to the host's buffer [R4] [R5]") {
  const lh_plugin_query_fn query = any_query();
  const lh_plugin* plugin = nullptr;
  std::uint32_t minor = LH_ABI_MINOR + 9;
  char text[24];
  std::memset(text, '#', sizeof text);
  lh_error error{sizeof error, 0, text, 16, 0};
  CHECK(query(LH_ABI_MINOR + 1, &minor, &plugin, &error) == LH_UNSUPPORTED);
  CHECK(plugin == nullptr);
  CHECK(error.length == 16);
  CHECK(std::string(text + 16, 8) == "########");
}

}  // namespace
