// SPDX-License-Identifier: Apache-2.0
// What the loader has to say beside its results: a newer version exists, a root was ignored, a layer fell back. One
// level for the process, from LAYERHUB_LOG (off, error, warn, info, debug; default warn), and one sink, by default
// standard error with lines such as "layerhub: warn: ...". Nothing is formatted below the level.
// Every function may be called from any thread; the sink is called by the thread that logs, without a lock held.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace layerhub {

enum class LogLevel : std::int32_t { off = 0, error, warn, info, debug };  // 1 to 4 as in lh_host.log

std::string_view to_string(LogLevel level) noexcept;
std::optional<LogLevel> parse_log_level(std::string_view text) noexcept;

LogLevel log_level() noexcept;
void set_log_level(LogLevel level) noexcept;  // wins over LAYERHUB_LOG
inline bool log_enabled(LogLevel level) noexcept { return level <= log_level(); }

using LogSink = std::function<void(LogLevel, std::string_view message)>;
void set_log_sink(LogSink sink);  // an empty one brings standard error back

// Hands one message to the sink if the level is enabled. What the sink throws is dropped: no caller expects a log
// line to fail.
void log_line(LogLevel level, std::string_view message) noexcept;

template <class... Arguments>
void log(LogLevel level, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (log_enabled(level)) log_line(level, fmt::format(format, std::forward<Arguments>(arguments)...));
}

}  // namespace layerhub
