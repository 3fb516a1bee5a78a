// SPDX-License-Identifier: Apache-2.0
#include "hub/archs.hpp"

#include "base/reason.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace layerhub::hub {
namespace {

struct CudaArch {
  std::uint32_t major = 0, minor = 0;
  char suffix = 0;  // 'a', 'f' or none
  bool ptx = false;
};

bool take_number(std::string_view& text, std::uint32_t& number) {
  const auto read = std::from_chars(text.data(), text.data() + std::min<std::size_t>(text.size(), 4), number);
  if (read.ec != std::errc()) {
    return false;
  }
  text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
  return true;
}

std::optional<CudaArch> parse_cuda_arch(std::string_view text) {
  CudaArch arch;
  if (text.ends_with("+PTX")) {
    arch.ptx = true;
    text.remove_suffix(4);
  }
  if (!take_number(text, arch.major) || !text.starts_with('.')) {
    return std::nullopt;
  }
  text.remove_prefix(1);
  if (!take_number(text, arch.minor) || arch.minor > 9) {
    return std::nullopt;
  }
  if (text == "a" || text == "f") {
    arch.suffix = text.front();
    text = {};
  }
  return text.empty() ? std::optional(arch) : std::nullopt;
}

bool cuda_fits(std::string_view text, std::uint32_t capability) {
  const std::optional<CudaArch> arch = parse_cuda_arch(text);
  if (!arch) {
    return false;
  }
  const std::uint32_t wanted = arch->major * 10 + arch->minor;
  if (arch->suffix == 'a') {  // PTX of such an arch is no newer device's either
    return capability == wanted;
  }
  const bool runs_on_newer = arch->ptx && arch->suffix == 0;
  return capability >= wanted && (runs_on_newer || capability / 10 == arch->major);
}

std::string_view without_features(std::string_view gfx) { return gfx.substr(0, gfx.find(':')); }

}  // namespace

std::optional<std::string> archs_misfit(const std::vector<std::string>& archs, std::string_view backend,
                                        std::uint32_t capability, std::string_view device_arch) {
  const bool is_cuda = backend == "cuda";
  if (archs.empty() || (!is_cuda && backend != "rocm")) {
    return std::nullopt;
  }
  const bool fits = std::any_of(archs.begin(), archs.end(), [&](const std::string& arch) {
    return is_cuda ? cuda_fits(arch, capability) : without_features(arch) == without_features(device_arch);
  });
  if (fits) {
    return std::nullopt;
  }
  const std::string device =
      is_cuda ? fmt::format("capability {}.{}", capability / 10, capability % 10) : std::string(device_arch);
  return fmt::format("its archs ({}) do not include {}", printable(fmt::format("{}", fmt::join(archs, ", "))), device);
}

}  // namespace layerhub::hub
