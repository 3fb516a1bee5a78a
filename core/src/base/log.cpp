// SPDX-License-Identifier: Apache-2.0
// The level is read from the environment once, at the first question, so that a host can set the variable before its
// first use of the library. The sink is shared, not copied under the lock: a sink that logs itself must not wait for
// its own caller.
#include "base/log.hpp"

#include "base/os.hpp"

#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

namespace layerhub {
namespace {

constexpr std::array<std::string_view, 5> names{"off", "error", "warn", "info", "debug"};
constexpr std::int32_t not_asked_yet = -1;
std::atomic<std::int32_t> level_in_use{not_asked_yet};

std::mutex sink_mutex;
// Never destroyed: threads may log while the process ends.
std::shared_ptr<const LogSink>& sink_in_use() {
  static auto* sink = new std::shared_ptr<const LogSink>;
  return *sink;
}

// One write per line, so that lines of different threads do not mix.
void write_to_standard_error(LogLevel level, std::string_view message) {
  const std::string line = fmt::format("layerhub: {}: {}\n", to_string(level), message);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

LogLevel level_from_environment() {
  const auto text = secure_environment("LAYERHUB_LOG");
  if (!text || text->empty()) return LogLevel::warn;
  if (const auto level = parse_log_level(*text)) return *level;
  write_to_standard_error(LogLevel::warn,
                          fmt::format("LAYERHUB_LOG: `{}` is no level; use off, error, warn, info or debug", *text));
  return LogLevel::warn;
}

}  // namespace

std::string_view to_string(LogLevel level) noexcept {
  const auto index = static_cast<std::size_t>(level);
  return index < names.size() ? names[index] : "unknown";
}

std::optional<LogLevel> parse_log_level(std::string_view text) noexcept {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

LogLevel log_level() noexcept {
  std::int32_t level = level_in_use.load(std::memory_order_relaxed);
  if (level == not_asked_yet) {
    // Of two first threads one wins; both then see its answer. set_log_level in between is not overwritten.
    const auto asked = static_cast<std::int32_t>(level_from_environment());
    if (level_in_use.compare_exchange_strong(level, asked, std::memory_order_relaxed)) level = asked;
  }
  return static_cast<LogLevel>(level);
}

void set_log_level(LogLevel level) noexcept {
  level_in_use.store(static_cast<std::int32_t>(level), std::memory_order_relaxed);
}

void set_log_sink(LogSink sink) {
  auto shared = sink ? std::make_shared<const LogSink>(std::move(sink)) : nullptr;
  const std::lock_guard lock(sink_mutex);
  sink_in_use() = std::move(shared);
}

void log_line(LogLevel level, std::string_view message) noexcept try {
  if (level == LogLevel::off || !log_enabled(level)) return;
  std::shared_ptr<const LogSink> sink;
  {
    const std::lock_guard lock(sink_mutex);
    sink = sink_in_use();
  }
  if (sink) {
    (*sink)(level, message);
  } else {
    write_to_standard_error(level, message);
  }
} catch (...) {
}

}  // namespace layerhub
