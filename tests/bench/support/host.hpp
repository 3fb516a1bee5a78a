// SPDX-License-Identifier: Apache-2.0
// A host for benches of kernels: tensors with memory of their own, the layers, and threads that the kernel and the
// limit that it is held against share.
//
// The threads are the bench's, pinned to a processor each, and spin between two runs: neither side pays for a wake-up.
// Memory of 2 MiB and more asks for huge pages, whoever reads it.
#pragma once

#include <layerhub/layerhub.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace layerhub::bench {

// Dense and filled with values in [-1, 1) of its dtype, or with any bytes. Rank 1 to 3.
class HostTensor {
 public:
  HostTensor(DLDataType dtype, std::vector<std::int64_t> shape);
  ~HostTensor();
  HostTensor(const HostTensor&) = delete;
  HostTensor& operator=(const HostTensor&) = delete;

  DLTensor view;
  std::size_t bytes = 0;

  template <class T>
  T* elements() const {
    return static_cast<T*>(view.data);
  }

 private:
  std::array<std::int64_t, 3> shape_{}, strides_{};
};

inline constexpr DLDataType f32{kDLFloat, 32, 1}, f16{kDLFloat, 16, 1}, bf16{kDLBfloat, 16, 1}, u8{kDLUInt, 8, 1};

// Layers whose own forward must never be what is measured.
struct SiluAndMul : use_kernel_forward_from_hub<SiluAndMul, "SiluAndMul"> {
  void forward(const DLTensor&, DLTensor&) const { std::abort(); }
};

struct RMSNorm : use_kernel_forward_from_hub<RMSNorm, "RMSNorm"> {
  explicit RMSNorm(std::int64_t width, DLDataType dtype = f32) : weight(dtype, {width}) {}
  HostTensor weight;
  auto hub_members() const { return members(param("weight", weight.view), attribute("variance_epsilon", 1e-5)); }
  void forward(const DLTensor&, DLTensor&) const { std::abort(); }
};

struct Linear : use_kernel_forward_from_hub<Linear, "Linear"> {
  // format: of sdk/formats.hpp, or "" for a plain float weight of this dtype
  Linear(std::int64_t rows, std::int64_t columns, const std::string& block_format, DLDataType dtype = f32);
  HostTensor weight;
  std::string format;
  auto hub_members() const { return members(param("weight", weight.view, format)); }
  void forward(const DLTensor&, DLTensor&) const { std::abort(); }
};

struct CausalAttention : use_kernel_forward_from_hub<CausalAttention, "CausalAttention"> {
  void forward(const DLTensor&, const DLTensor&, const DLTensor&, DLTensor&, DLTensor&, std::int64_t, float,
               DLTensor&) const {
    std::abort();
  }
};

// The plugins of this build, each layer with the one that serves it or an error.
Mapping built_plugins();

// Threads 0 (the caller) to width - 1. While a team exists layerhub's kernels run on it.
class Team {
 public:
  explicit Team(unsigned width);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  unsigned width() const { return width_; }
  // task(index) once for each index < n_tasks.
  void run(std::uint32_t n_tasks, const std::function<void(std::uint32_t)>& task);

 private:
  using Task = void (*)(void* user, std::uint32_t index, std::uint32_t worker);
  void run_raw(std::uint32_t n_tasks, Task task, void* user);
  void take(std::uint32_t worker);
  void work(std::uint32_t worker);

  unsigned width_;
  ParallelRunner runner_;
  std::vector<std::thread> workers_;
  Task task_ = nullptr;
  void* user_ = nullptr;
  std::uint32_t n_tasks_ = 0;
  alignas(64) std::atomic<std::uint32_t> next_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  alignas(64) std::atomic<std::uint32_t> finished_{0};
  std::atomic<bool> stopping_{false};
};

// The processors that this process may use, for benches that compare one thread with all.
unsigned processors();

}  // namespace layerhub::bench
