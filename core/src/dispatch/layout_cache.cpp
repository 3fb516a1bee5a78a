// SPDX-License-Identifier: Apache-2.0
#include "dispatch/layout_cache.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace layerhub::dispatch {
namespace {

void add_words(const DLTensor* x, std::int64_t* words, std::uint32_t& n) {
  if (x == nullptr) {
    words[n++] = -1;
    return;
  }
  words[n++] = (std::int64_t{x->ndim} << 32) | (x->dtype.code << 24) | (x->dtype.bits << 16) | x->dtype.lanes;
  for (std::int32_t d = 0; d < x->ndim; ++d) {
    words[n++] = x->shape[d];
  }
}

lh_shape shape_of(const DLTensor* x) {
  lh_shape shape{};
  if (x != nullptr) {
    shape.ndim = x->ndim;
    shape.dtype = x->dtype;
    std::copy(x->shape, x->shape + x->ndim, shape.dim);
  }
  return shape;
}

std::int32_t fail(detail::CallFrame& frame, std::int32_t status, const char* text) noexcept {
  const int n = std::snprintf(frame.text, sizeof frame.text, "%s", text);
  frame.error.length = static_cast<std::uint32_t>(std::clamp<int>(n, 0, sizeof frame.text - 1));
  return status;
}

bool fits(const lh_shape& inferred, const DLTensor* x) {
  return inferred.ndim == 0 || x == nullptr ||
         (x->ndim == inferred.ndim && std::equal(x->shape, x->shape + x->ndim, inferred.dim));
}

}  // namespace

struct LayoutCache::Layout {
  std::vector<std::int64_t> words;
  std::vector<lh_shape> outputs;  // ndim 0: infer() leaves it to the constraints
  std::size_t workspace = 0;
  Layout* next = nullptr;
};

LayoutCache::~LayoutCache() {
  for (Layout* layout = first_.load(); layout != nullptr;) {
    delete std::exchange(layout, layout->next);
  }
}

bool LayoutCache::same(const Layout& layout, const Key& key) noexcept {
  return layout.words.size() == key.n_words && std::equal(layout.words.begin(), layout.words.end(), key.words.begin());
}

std::int32_t LayoutCache::workspace_of(const lh_kernel& kernel, const lh_instance* instance, Arguments arguments,
                                       detail::CallFrame& frame, std::size_t* workspace) noexcept {
  Key key;
  for (std::uint32_t i = 0; i < arguments.n_in; ++i) {
    add_words(frame.in[i], key.words.data(), key.n_words);
  }
  for (std::uint32_t i = 0; i < arguments.n_states; ++i) {
    add_words(frame.out[arguments.n_outputs + i], key.words.data(), key.n_words);
  }
  const Layout* layout = last_.load(std::memory_order_acquire);
  if (layout == nullptr || !same(*layout, key)) {
    layout = first_.load(std::memory_order_acquire);
    while (layout != nullptr && !same(*layout, key)) {
      layout = layout->next;
    }
    if (layout != nullptr) {
      last_.store(layout, std::memory_order_release);
    }
  }
  std::unique_ptr<Layout> passing;  // one that the list has no room for
  if (layout == nullptr) {
    Layout* made = nullptr;
    if (const std::int32_t status = infer(kernel, instance, arguments, frame, key, made); status != LH_OK) {
      return status;
    }
    layout = made;
    if (count_.fetch_add(1, std::memory_order_relaxed) < max_layouts) {
      made->next = first_.load(std::memory_order_relaxed);
      while (!first_.compare_exchange_weak(made->next, made, std::memory_order_release, std::memory_order_relaxed)) {
      }
      last_.store(made, std::memory_order_release);
    } else {
      count_.store(max_layouts, std::memory_order_relaxed);
      passing.reset(made);
    }
  }
  for (std::uint32_t i = 0; i < arguments.n_outputs; ++i) {
    if (!fits(layout->outputs[i], frame.out[i])) {
      return fail(frame, LH_INVALID, "an output is not of the shape that the kernel gives for these inputs");
    }
  }
  *workspace = layout->workspace;
  return LH_OK;
}

std::int32_t LayoutCache::infer(const lh_kernel& kernel, const lh_instance* instance, Arguments arguments,
                                detail::CallFrame& frame, const Key& key, Layout*& made) noexcept {
  try {
    auto layout = std::make_unique<Layout>();
    layout->words.assign(key.words.begin(), key.words.begin() + key.n_words);
    layout->outputs.resize(arguments.n_outputs);
    std::array<lh_shape, max_tensors> in{};
    for (std::uint32_t i = 0; i < arguments.n_in; ++i) {
      in[i] = shape_of(frame.in[i]);
    }
    for (std::uint32_t i = 0; i < arguments.n_states; ++i) {
      in[arguments.n_in + i] = shape_of(frame.out[arguments.n_outputs + i]);
    }
    std::size_t backward_workspace = 0;
    const std::int32_t status =
        kernel.infer(instance, in.data(), arguments.n_in + arguments.n_states, layout->outputs.data(),
                     arguments.n_outputs, nullptr, 0, &layout->workspace, &backward_workspace, &frame.error);
    if (status == LH_OK) {
      made = layout.release();
    }
    return status;
  } catch (const std::bad_alloc&) {
    return fail(frame, LH_OUT_OF_MEMORY, "out of memory");
  }
}

}  // namespace layerhub::dispatch
