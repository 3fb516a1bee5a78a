// SPDX-License-Identifier: Apache-2.0
#include "base/event.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace layerhub {
namespace {

using Hook = std::function<void(const LoaderEvent&)>;

std::atomic<const Hook*> current{nullptr};

// Every hook that ever was: a call may be inside one that has been replaced, and hosts replace them a few times.
struct Hooks {
  std::mutex mutex;
  std::vector<std::unique_ptr<const Hook>> all;
};
Hooks& hooks() {
  static Hooks& instance = *new Hooks;
  return instance;
}

}  // namespace

std::string_view to_string(EventKind kind) {
  constexpr std::string_view names[] = {"loaded", "bound", "fell_back", "declined", "refused"};
  return names[static_cast<std::size_t>(kind) - 1];
}

void set_event_hook(std::function<void(const LoaderEvent&)> hook) {
  std::lock_guard lock(hooks().mutex);
  if (!hook) {
    current.store(nullptr, std::memory_order_release);
    return;
  }
  hooks().all.push_back(std::make_unique<const Hook>(std::move(hook)));
  current.store(hooks().all.back().get(), std::memory_order_release);
}

bool has_event_hook() noexcept { return current.load(std::memory_order_acquire) != nullptr; }

void notify(const LoaderEvent& event) noexcept {
  if (const Hook* hook = current.load(std::memory_order_acquire)) {
    try {
      (*hook)(event);
    } catch (...) {  // no caller expects that telling of it fails
    }
  }
}

}  // namespace layerhub
