// SPDX-License-Identifier: Apache-2.0
// What is in force: a mapping and call options for the process, and for each thread a stack of scopes.
//
//   layerhub::register_kernel_mapping(mapping);           // for the process, or for the scope it is called in
//   layerhub::use_kernel_mapping scope(mapping);          // until the end of the block, for this thread
//
// Names as in the Hub's Python package; use_kernel_mapping is a type and keeps its name. Scopes nest and belong to one
// thread: threads that are started inside see what is in force for the process. capture_scope() and adopt_scope carry a
// scope over. A scope object is destroyed in the thread and in the reverse of the order in which it was made.
#pragma once

#include <layerhub/export.hpp>
#include <layerhub/mapping.hpp>

#include <memory>
#include <optional>

namespace layerhub {

// How layers that were not kernelized are served at their calls.
struct CallOptions {
  Mode mode = Mode::inference;
  std::optional<Fallback> fallback{};  // nothing: as the entry says, see Fallback
  bool operator==(const CallOptions&) const = default;
};

// Adds the mapping to the current context: inside a scope to that scope, and it ends with it; else to the process-wide
// default, which every thread without a scope of its own sees. inherit_mapping = false clears what was there first, for
// all threads. [thread-safe]
LAYERHUB_API void register_kernel_mapping(const Mapping& mapping, bool inherit_mapping = true);

// The same for the options: inside a scope for that scope, else for the process.
// Throws Error(invalid_argument) for a mode that no call can have. [thread-safe]
LAYERHUB_API void register_call_options(const CallOptions& options);

// What is in force for the calling thread. [thread-safe]
LAYERHUB_API Mapping current_kernel_mapping();
LAYERHUB_API CallOptions current_call_options();

namespace detail {

// Puts a context in force for this thread until it is destroyed; then exactly what was in force before, also when an
// exception passes.
class LAYERHUB_API Scope {
 public:
  explicit Scope(std::shared_ptr<const dispatch::MappingValue> context);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  std::shared_ptr<const dispatch::MappingValue> outer_;
};

}  // namespace detail

// The current mapping (or nothing, with inherit_mapping = false) and the new entries, until the object is destroyed.
class LAYERHUB_API use_kernel_mapping : detail::Scope {
 public:
  explicit use_kernel_mapping(const Mapping& mapping, bool inherit_mapping = true);
};

// Other options under the same mapping, until the object is destroyed.
// Throws Error(invalid_argument) for a mode that no call can have; then nothing has changed.
class LAYERHUB_API use_call_options : detail::Scope {
 public:
  explicit use_call_options(const CallOptions& options);
};

// The scope that a thread is in, or that it is in none; a value that may go to another thread. [thread-safe]
class CapturedScope {
 public:
  CapturedScope() = default;

 private:
  friend class adopt_scope;
  friend LAYERHUB_API CapturedScope capture_scope();
  std::shared_ptr<const dispatch::MappingValue> context_;
};
LAYERHUB_API CapturedScope capture_scope();

// Puts the calling thread into a captured scope until the object is destroyed. Layers that are bound under that scope
// are bound here too.
class LAYERHUB_API adopt_scope : detail::Scope {
 public:
  explicit adopt_scope(const CapturedScope& captured) : Scope(captured.context_) {}
};

}  // namespace layerhub
