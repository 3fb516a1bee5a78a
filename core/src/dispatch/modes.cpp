// SPDX-License-Identifier: Apache-2.0
#include "dispatch/modes.hpp"

#include "base/reason.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace layerhub {
namespace dispatch {
namespace {

constexpr auto bits(Mode mode) { return static_cast<std::uint32_t>(mode); }
constexpr auto training_capture = Mode::training | Mode::capture, inference_capture = Mode::inference | Mode::capture;

struct ModeRow {
  Mode mode;
  std::string_view name;
  bool (*is_supported)(const hub::KernelInfo&);  // nullptr: by every kernel
};
constexpr ModeRow modes[] = {
    {Mode::inference, "inference", nullptr},
    {Mode::training, "training", [](const hub::KernelInfo& kernel) { return kernel.has_backward; }},
    {Mode::capture, "capture", [](const hub::KernelInfo& kernel) { return kernel.can_capture(); }},
    {Mode::deterministic, "deterministic", [](const hub::KernelInfo& kernel) { return kernel.is_deterministic(); }},
    {Mode::fallback, "fallback", nullptr},
};

// A request asks for what to compute; the rest of it says how.
struct OrderRow {
  Mode request;
  std::initializer_list<Mode> order;
};
const OrderRow orders[] = {
    {Mode::inference, {Mode::inference, inference_capture, Mode::training, training_capture, Mode::fallback}},
    {Mode::training, {Mode::training, training_capture, Mode::fallback}},
    {inference_capture, {inference_capture, training_capture, Mode::fallback}},
    {training_capture, {training_capture, Mode::fallback}},
};

struct PolicyRow {
  Fallback policy;
  std::string_view name;
  bool missing, unsupported, failed;  // whether that falls back
};
constexpr PolicyRow policies[] = {
    {Fallback::never, "never", false, false, false},
    {Fallback::when_missing, "when_missing", true, false, false},
    {Fallback::when_unsupported, "when_unsupported", true, true, false},
    {Fallback::always, "always", true, true, true},
};
const PolicyRow& row_of(Fallback policy) {
  return *std::find_if(std::begin(policies), std::end(policies),
                       [&](const PolicyRow& p) { return p.policy == policy; });
}

}  // namespace

std::vector<Mode> search_order(Mode request) {
  const auto what = static_cast<Mode>(bits(request) & ~bits(Mode::deterministic));
  const auto row =
      std::find_if(std::begin(orders), std::end(orders), [&](const OrderRow& r) { return r.request == what; });
  return row == std::end(orders) ? std::vector<Mode>{} : std::vector<Mode>(row->order);
}

std::string request_fault(Mode mode) {
  std::uint32_t known = 0;
  for (const ModeRow& row : modes) {
    known |= bits(row.mode);
  }
  if ((bits(mode) & ~bits(Mode::deterministic)) == 0 || (bits(mode) & ~known) != 0) {
    return "it is empty; use inference or training";
  }
  if (has(mode, Mode::fallback)) {
    return "fallback is for registration alone; use inference or training";
  }
  if (has(mode, Mode::inference) && has(mode, Mode::training)) {
    return "inference and training exclude each other; use one of them";
  }
  return search_order(mode).empty() ? "capture says how and not what; add inference or training" : "";
}

std::string registration_fault(Mode mode) {
  if (mode == Mode::fallback) {
    return "";
  }
  return has(mode, Mode::deterministic)
             ? "deterministic is asked of a kernel; leave it to kernelize or use_call_options"
             : request_fault(mode);
}

bool supports(const hub::KernelInfo& kernel, Mode mode) {
  return std::all_of(std::begin(modes), std::end(modes), [&](const ModeRow& row) {
    return !has(mode, row.mode) || row.is_supported == nullptr || row.is_supported(kernel);
  });
}

bool falls_back(Fallback policy, Refusal refusal) {
  const PolicyRow& row = row_of(policy);
  switch (refusal) {
    case Refusal::missing: return row.missing;
    case Refusal::unsupported: return row.unsupported;
    case Refusal::failed: return row.failed;
    case Refusal::no_device: break;
  }
  return false;
}

}  // namespace dispatch

std::string to_string(Mode mode) {
  std::string text;
  for (const dispatch::ModeRow& row : dispatch::modes) {
    if (has(mode, row.mode)) {
      text += fmt::format("{}{}", text.empty() ? "" : "|", row.name);
    }
  }
  return text.empty() ? "none" : text;
}

Mode parse_mode(std::string_view text) {
  auto mode = static_cast<Mode>(0);
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find('|'));
    const auto known = std::find_if(std::begin(dispatch::modes), std::end(dispatch::modes),
                                    [&](const dispatch::ModeRow& row) { return row.name == word; });
    if (known == std::end(dispatch::modes) || known->mode == Mode::fallback) {
      throw Error(make_reason(ErrorCode::invalid_argument, "mode",
                              fmt::format("mode `{}`: `{}` is none; write inference or training, with |capture or "
                                          "|deterministic behind it",
                                          printable(text), printable(word))));
    }
    mode = mode | known->mode;
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
  }
  return mode;
}

std::string_view to_string(Fallback policy) { return dispatch::row_of(policy).name; }

}  // namespace layerhub
