// SPDX-License-Identifier: Apache-2.0
#include "hub/variant.hpp"

#include "base/reason.hpp"

#include <layerhub/abi.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace layerhub::hub {
namespace {

struct BackendName {
  std::string_view name;
  bool versioned;
  std::string_view device;  // the device type that it serves
};
constexpr std::array backends{
    BackendName{"cpu", false, "cpu"}, BackendName{"metal", false, "mps"}, BackendName{"neuron", false, "neuron"},
    BackendName{"tpu", false, "tpu"}, BackendName{"cu", true, "cuda"},    BackendName{"rocm", true, "rocm"},
    BackendName{"xpu", true, "xpu"},  BackendName{"cann", true, "npu"},   BackendName{"opencl", true, "opencl"},
};
constexpr std::array noarch_backends{"cpu", "cuda", "rocm", "xpu",    "metal",
                                     "npu", "cann", "tpu",  "neuron", "universal"};

bool all_digits(std::string_view text) {
  return !text.empty() && text.size() <= 9 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::uint32_t number(std::string_view digits) {
  std::uint32_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

// The part before the next '-', and removes it with the '-'. Empty: there is no '-' left.
std::string_view take_part(std::string_view& text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) {
    return {};
  }
  const std::string_view part = text.substr(0, dash);
  text.remove_prefix(dash + 1);
  return part;
}

std::optional<Backend> parse_backend(std::string_view text) {
  for (const BackendName& known : backends) {
    if (!known.versioned && text == known.name) {
      return Backend{std::string(text), {}};
    }
    std::string_view digits = text;
    if (known.versioned && take(digits, known.name) && all_digits(digits) && digits.size() >= 2) {
      // Without leading zeros, or two names would be one variant.
      const BackendVersion version{number(digits.substr(0, digits.size() - 1)),
                                   number(digits.substr(digits.size() - 1))};
      if (digits.front() == '0') {
        return std::nullopt;
      }
      return Backend{std::string(known.name), version};
    }
  }
  return std::nullopt;
}

std::string backend_text(const Backend& backend) {
  return backend.version ? fmt::format("{}{}{}", backend.name, backend.version->major, backend.version->minor)
                         : backend.name;
}

std::string_view device_of(const Backend& backend) {
  const auto found =
      std::find_if(backends.begin(), backends.end(), [&](const BackendName& b) { return b.name == backend.name; });
  return found == backends.end() ? std::string_view(backend.name) : found->device;
}

Reason malformed(std::string_view name, const std::string& fact) {
  return make_reason(ErrorCode::no_variant, "variant", fmt::format("`{}`: {}", printable(name), fact));
}

std::string version_text(const std::optional<BackendVersion>& version) {
  return version ? fmt::format("{}.{}", version->major, version->minor) : "none";
}

// What the device type is called among variants on this system: "cu128", "cpu".
std::string selected_backend(const SystemFacts& facts, std::string_view device_type) {
  const auto with = [](std::string_view name, const std::optional<BackendVersion>& version) {
    return version ? fmt::format("{}{}{}", name, version->major, version->minor) : std::string(name);
  };
  if (device_type == "cuda") {
    return with("cu", facts.cuda);
  }
  if (device_type == "rocm") {
    return with("rocm", facts.rocm);
  }
  return device_type == "opencl" ? with("opencl", facts.opencl) : std::string(device_type);
}

std::optional<std::string> version_misfit(const Backend& backend, const SystemFacts& facts) {
  if (facts.runtimes_unasked) {
    return std::nullopt;
  }
  const auto differs = [&](const char* name, const std::optional<BackendVersion>& system) {
    return fmt::format("{} version ({}) is not compatible with system {} version ({})", name,
                       version_text(backend.version), name, version_text(system));
  };
  if (backend.name == "cu" &&
      !(facts.cuda && facts.cuda->major == backend.version->major && backend.version->minor <= facts.cuda->minor)) {
    return differs("CUDA", facts.cuda);
  }
  if (backend.name == "rocm" && facts.rocm != backend.version) {
    return differs("ROCm", facts.rocm);
  }
  if (backend.name == "opencl" && !(facts.opencl && (facts.opencl->major > backend.version->major ||
                                                     (facts.opencl->major == backend.version->major &&
                                                      facts.opencl->minor >= backend.version->minor)))) {
    return differs("OpenCL", facts.opencl);
  }
  return std::nullopt;
}

std::optional<std::string> framework_misfit(const Framework& framework) {
  switch (framework.kind) {
    case Framework::Kind::layerhub:
      if (number(framework.version) != LH_ABI_MAJOR) {
        return fmt::format("needs major {} of the ABI, this host has {}", framework.version, LH_ABI_MAJOR);
      }
      return std::nullopt;
    case Framework::Kind::tvm_ffi: return "needs tvm-ffi, this host has none";
    default: return "needs libtorch, this host has none";
  }
}

}  // namespace

Result<Variant> parse_variant(std::string_view name) {
  Variant variant;
  std::string_view rest = name;
  if (name.size() > 128) {
    return malformed(name, "a variant's name has at most 128 characters");
  }
  if (take(rest, "torch-stable-abi")) {
    variant.framework.kind = Framework::Kind::torch_stable_abi;
  } else if (rest.starts_with("torch-")) {
    variant.framework.kind = Framework::Kind::torch_noarch;
    const std::string_view backend = rest.substr(6);
    if (std::find(noarch_backends.begin(), noarch_backends.end(), backend) == noarch_backends.end()) {
      return malformed(name, "it names no known backend");
    }
    variant.backend.name = backend;
    return variant;
  } else if (take(rest, "torch")) {
    variant.framework.kind = Framework::Kind::torch;
  } else if (take(rest, "tvm-ffi")) {
    variant.framework.kind = Framework::Kind::tvm_ffi;
  } else if (!take(rest, "layerhub")) {
    return malformed(name, "it names no known framework (layerhub, torch, torch-stable-abi, tvm-ffi)");
  }
  variant.framework.version = take_part(rest);
  if (!all_digits(variant.framework.version)) {
    return malformed(name, "the framework has no version");
  }
  if (variant.framework.kind == Framework::Kind::torch && (rest.starts_with("cxx11-") || rest.starts_with("cxx98-"))) {
    variant.framework.cxx_abi = take_part(rest);
  }
  const std::optional<Backend> backend = parse_backend(take_part(rest));
  if (!backend) {
    return malformed(name, "it names no known backend");
  }
  variant.backend = *backend;
  variant.cpu = take_part(rest);
  variant.os = rest;
  const auto word = [](const std::string& text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
  };
  if (!word(variant.cpu) || !word(variant.os)) {
    return malformed(name, "it does not end in a processor and a system, as in x86_64-linux");
  }
  return variant;
}

std::string to_string(const Variant& variant) {
  constexpr std::array names{"layerhub", "torch", "torch-stable-abi", "torch", "tvm-ffi"};
  const std::string framework = names[static_cast<std::size_t>(variant.framework.kind)] + variant.framework.version;
  if (variant.framework.kind == Framework::Kind::torch_noarch) {
    return fmt::format("{}-{}", framework, variant.backend.name);
  }
  return fmt::format("{}-{}{}{}-{}-{}", framework, variant.framework.cxx_abi,
                     variant.framework.cxx_abi.empty() ? "" : "-", backend_text(variant.backend), variant.cpu,
                     variant.os);
}

std::optional<std::string> misfit(const Variant& variant, const SystemFacts& facts, std::string_view device_type) {
  if (auto reason = framework_misfit(variant.framework)) {
    return reason;
  }
  if (variant.cpu != facts.cpu_arch) {
    return fmt::format("CPU ({}) does not match system CPU ({})", variant.cpu, facts.cpu_arch);
  }
  if (variant.os != facts.os) {
    return fmt::format("OS ({}) does not match system OS ({})", variant.os, facts.os);
  }
  if (device_of(variant.backend) != device_type) {
    return fmt::format("backend ({}) does not match selected backend ({})", backend_text(variant.backend),
                       selected_backend(facts, device_type));
  }
  return version_misfit(variant.backend, facts);
}

bool preferred(const Variant& a, const Variant& b) {
  const BackendVersion va = a.backend.version.value_or(BackendVersion{}),
                       vb = b.backend.version.value_or(BackendVersion{});
  if (!(va == vb)) {
    return va.major != vb.major ? va.major > vb.major : va.minor > vb.minor;
  }
  return to_string(a) < to_string(b);
}

std::vector<VariantVerdict> judge_variants(const std::vector<std::string>& names, const SystemFacts& facts,
                                           std::string_view device_type) {
  std::vector<VariantVerdict> verdicts;
  for (const std::string& name : names) {
    VariantVerdict verdict{name, {}, {}};
    if (const Result<Variant> parsed = parse_variant(name)) {
      verdict.variant = parsed.value();
      verdict.reason = misfit(parsed.value(), facts, device_type).value_or("");
    } else {
      verdict.reason = parsed.error().text.substr(parsed.error().text.rfind("`: ") + 3);
    }
    verdicts.push_back(std::move(verdict));
  }
  std::sort(verdicts.begin(), verdicts.end(), [](const VariantVerdict& a, const VariantVerdict& b) {
    if (a.reason.empty() != b.reason.empty()) {
      return a.reason.empty();
    }
    return a.reason.empty() ? preferred(*a.variant, *b.variant) : a.name < b.name;
  });
  return verdicts;
}

std::vector<std::string> trace_lines(const std::vector<VariantVerdict>& verdicts) {
  std::vector<std::string> lines;
  bool have_preferred = false;  // not always the first: its archs may have refused it since
  for (const VariantVerdict& v : verdicts) {
    if (!v.reason.empty()) {
      lines.push_back(fmt::format("`{}`: {}", printable(v.name), v.reason));
      continue;
    }
    lines.push_back(fmt::format("`{}` compatible{}", printable(v.name), have_preferred ? "" : ", preferred"));
    have_preferred = true;
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace layerhub::hub
