// SPDX-License-Identifier: Apache-2.0
#include "device/runtime.hpp"

#include "base/log.hpp"

#include <layerhub/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace layerhub::device {
namespace {

std::string text_of(lh_str text) { return text.data == nullptr ? "" : printable({text.data, text.size}, 200); }

// A function that every host relies on and this table lacks, or nullptr.
const char* missing_function(const lh_device_1& t) {
  const std::pair<bool, const char*> needed[] = {{t.count != nullptr, "count"},
                                                 {t.info != nullptr, "info"},
                                                 {t.version != nullptr, "version"},
                                                 {t.allocate != nullptr, "allocate"},
                                                 {t.release != nullptr, "release"},
                                                 {t.copy != nullptr, "copy"},
                                                 {t.fill != nullptr, "fill"},
                                                 {t.stream_create != nullptr, "stream_create"},
                                                 {t.stream_destroy != nullptr, "stream_destroy"},
                                                 {t.stream_synchronize != nullptr, "stream_synchronize"},
                                                 {t.stream_ordinal != nullptr, "stream_ordinal"},
                                                 {t.stream_wait_event != nullptr, "stream_wait_event"},
                                                 {t.event_record != nullptr, "event_record"},
                                                 {t.event_query != nullptr, "event_query"},
                                                 {t.event_synchronize != nullptr, "event_synchronize"},
                                                 {t.event_elapsed != nullptr, "event_elapsed"},
                                                 {t.event_destroy != nullptr, "event_destroy"},
                                                 {t.last_error != nullptr, "last_error"},
                                                 {(t.current == nullptr) == (t.set_current == nullptr), "set_current"}};
  const auto found = std::find_if(std::begin(needed), std::end(needed), [](const auto& f) { return !f.first; });
  return found == std::end(needed) ? nullptr : found->second;
}

}  // namespace

DeviceState::DeviceState(Runtime& from, std::uint32_t ordinal)
    : runtime(from), device{from.type(), static_cast<std::int32_t>(ordinal)} {}

Result<std::unique_ptr<Runtime>> Runtime::make(const lh_device_1& given, std::string name) {
  lh_device_1 table{};
  std::memcpy(&table, &given, std::min<std::size_t>(given.struct_size, sizeof table));
  if (const char* missing = missing_function(table)) {
    return make_reason(ErrorCode::bad_library, "runtime",
                       fmt::format("{}: its device runtime has no {}; install another build of it", name, missing));
  }
  std::unique_ptr<Runtime> runtime(new Runtime(table, std::move(name)));
  runtime->enumerate();
  return runtime;
}

void Runtime::enumerate() {
  plugin::ErrorText text;
  std::uint32_t count = 0;
  if (const std::int32_t status = table_.count(&count, &text.error); status != LH_OK) {
    count = 0;
  }
  why_none_ = text.said().empty() ? "its runtime names no reason" : text.said();
  for (std::uint32_t ordinal = 0; ordinal < count; ++ordinal) {
    devices_.emplace_back(*this, ordinal);
  }
  hub::BackendVersion version;
  if (count != 0 && table_.version(&version.major, &version.minor, &text.error) == LH_OK) {
    version_ = version;
  }
}

DeviceState* Runtime::find(std::int32_t ordinal) noexcept {
  return ordinal >= 0 && static_cast<std::size_t>(ordinal) < devices_.size()
             ? &devices_[static_cast<std::size_t>(ordinal)]
             : nullptr;
}

DeviceInfo Runtime::info(DeviceState& device) const {
  lh_device_info info{};
  info.struct_size = sizeof info;
  ask(device, "asking what it is", [&](const lh_device_1& table, lh_error* error) {
    return table.info(static_cast<std::uint32_t>(device.device.ordinal), &info, error);
  });
  return {device.device,      info.capability,      text_of(info.name), text_of(info.features),
          text_of(info.arch), text_of(info.driver), info.total_memory,  info.free_memory};
}

void lose(DeviceState& device, std::string_view said) {
  std::lock_guard lock(device.mutex);
  if (!device.lost.exchange(true, std::memory_order_acq_rel)) {
    device.lost_by = said.empty() ? "its runtime names no reason" : std::string(said);
    log(LogLevel::error, "{} is lost: {}", to_string(device.device), device.lost_by);
  }
}

void throw_lost(DeviceState& device) {
  std::lock_guard lock(device.mutex);
  throw Error(make_reason(ErrorCode::device_lost, "device",
                          fmt::format("{} is lost: {}; other devices go on, this one needs a new process",
                                      to_string(device.device), device.lost_by)));
}

// A runtime speaks of what it was asked for, a kernel of itself: what these mean to a host differs.
static ErrorCode code_of(std::int32_t status) {
  return plugin::error_code(status, status == LH_UNSUPPORTED ? ErrorCode::unsupported
                                    : status == LH_INVALID   ? ErrorCode::invalid_argument
                                                             : ErrorCode::kernel_failed);
}

void throw_failure(DeviceState& device, std::string_view act, std::int32_t status, const plugin::ErrorText& text) {
  const std::string said = text.said();
  if (status == LH_DEVICE_LOST) {
    lose(device, said);
    throw_lost(device);
  }
  throw Error(
      make_reason(code_of(status), "device",
                  fmt::format("{}: {} failed ({}){}{}", to_string(device.device), act, plugin::status_name(status),
                              said.empty() ? "" : ": ", said),
                  {{"runtime", device.runtime.name()}, {"native-code", std::to_string(text.error.native_code)}}));
}

CurrentDevice::CurrentDevice(const DeviceState& device) noexcept {
  const lh_device_1& table = device.runtime.table();
  if (table.current == nullptr) {
    return;
  }
  plugin::ErrorText text;
  const auto wanted = static_cast<std::uint32_t>(device.device.ordinal);
  if (table.current(&was_, &text.error) == LH_OK && was_ != wanted && table.set_current(wanted, &text.error) == LH_OK) {
    to_restore_ = &table;
  }
}

CurrentDevice::~CurrentDevice() {
  if (to_restore_ != nullptr) {
    plugin::ErrorText text;
    to_restore_->set_current(was_, &text.error);
  }
}

}  // namespace layerhub::device
