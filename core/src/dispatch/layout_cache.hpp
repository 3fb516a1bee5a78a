// SPDX-License-Identifier: Apache-2.0
// How much workspace a kernel needs for the tensors of a call: infer() is asked when a layout is first seen, afterwards
// its answer is found by comparing dimensions.
//
// A layout is the dimensions and dtypes of inputs and states, in that order. Known layouts form a list that only grows,
// newest first, and the one that served last is tried before it; readers take no lock. A host whose layouts never
// repeat does not fill the memory: from 64 on infer() is asked each time.
#pragma once

#include <layerhub/detail/slot.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace layerhub::dispatch {

class LayoutCache {
 public:
  LayoutCache() = default;
  ~LayoutCache();
  LayoutCache(const LayoutCache&) = delete;
  LayoutCache& operator=(const LayoutCache&) = delete;

  // n_in: how many of frame.in are inputs, n_outputs: how many of frame.out are outputs (states follow).
  struct Arguments {
    std::uint32_t n_in = 0, n_outputs = 0, n_states = 0;
  };

  // LH_OK and *workspace in bytes, or the status that infer() gave, with its text in the frame's error. LH_INVALID with
  // a text where the outputs of the call are not of the shapes that infer() gives.
  std::int32_t workspace_of(const lh_kernel& kernel, const lh_instance* instance, Arguments arguments,
                            detail::CallFrame& frame, std::size_t* workspace) noexcept;

 private:
  static constexpr std::size_t max_tensors = detail::max_inputs + detail::max_outputs;
  static constexpr std::size_t max_words = max_tensors * (LH_MAX_RANK + 1);
  static constexpr std::uint32_t max_layouts = 64;

  struct Key {
    std::uint32_t n_words = 0;
    std::array<std::int64_t, max_words> words;  // per tensor: rank and dtype, then the dimensions
  };
  struct Layout;

  static bool same(const Layout& layout, const Key& key) noexcept;
  std::int32_t infer(const lh_kernel& kernel, const lh_instance* instance, Arguments arguments,
                     detail::CallFrame& frame, const Key& key, Layout*& made) noexcept;

  std::atomic<const Layout*> last_{nullptr};
  std::atomic<Layout*> first_{nullptr};
  std::atomic<std::uint32_t> count_{0};
};

}  // namespace layerhub::dispatch
