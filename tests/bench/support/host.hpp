// SPDX-License-Identifier: Apache-2.0
// A host for benches of kernels: tensors with memory of their own, the layers, and threads that the kernel and the
// limit that it is held against share.
//
// The threads are the loader's own, which still spin when the other side's turn comes: neither side pays for a wake-up.
// Nothing pins them, so that the system may move one; both sides have the same threads, and what a move costs is in the
// quartiles. Memory of 2 MiB and more asks for huge pages, whoever reads it.
#pragma once

#include "bench/support/pairs.hpp"

#include <layerhub/layerhub.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
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

inline constexpr DLDataType f32{kDLFloat, 32, 1}, f16{kDLFloat, 16, 1}, bf16{kDLBfloat, 16, 1}, u8{kDLUInt, 8, 1},
    i64{kDLInt, 64, 1};

// Layers whose own forward must never be what is measured. Out of line: it is no part of the call that is measured.
[[noreturn, gnu::cold, gnu::noinline]] inline void never_measured(const char* layer) {
  throw std::logic_error(std::string(layer) +
                         ": its own forward was called, which no bench measures; `layerhub explain` "
                         "says why no kernel took it");
}

struct SiluAndMul : use_kernel_forward_from_hub<SiluAndMul, "SiluAndMul"> {
  void forward(const DLTensor&, DLTensor&) const { never_measured("SiluAndMul"); }
};

struct RMSNorm : use_kernel_forward_from_hub<RMSNorm, "RMSNorm"> {
  explicit RMSNorm(std::int64_t width, DLDataType dtype = f32) : weight(dtype, {width}) {}
  HostTensor weight;
  auto hub_members() const { return members(param("weight", weight.view), attribute("variance_epsilon", 1e-5)); }
  void forward(const DLTensor&, DLTensor&) const { never_measured("RMSNorm"); }
};

struct ResidualRMSNorm : use_kernel_forward_from_hub<ResidualRMSNorm, "ResidualRMSNorm"> {
  explicit ResidualRMSNorm(std::int64_t width, DLDataType dtype = f32) : weight(dtype, {width}) {}
  HostTensor weight;
  auto hub_members() const { return members(param("weight", weight.view), attribute("variance_epsilon", 1e-5)); }
  void forward(const DLTensor&, const DLTensor&, DLTensor&, DLTensor&) const { never_measured("ResidualRMSNorm"); }
};

struct Linear : use_kernel_forward_from_hub<Linear, "Linear"> {
  // format: of sdk/formats.hpp, or "" for a plain float weight of this dtype
  Linear(std::int64_t rows, std::int64_t columns, const std::string& block_format, DLDataType dtype = f32);
  HostTensor weight;
  std::string format;
  auto hub_members() const { return members(param("weight", weight.view, format)); }
  void forward(const DLTensor&, DLTensor&) const { never_measured("Linear"); }
};

struct CausalAttention : use_kernel_forward_from_hub<CausalAttention, "CausalAttention"> {
  void forward(const DLTensor&, const DLTensor&, const DLTensor&, DLTensor&, DLTensor&, std::int64_t, float,
               DLTensor&) const {
    never_measured("CausalAttention");
  }
};

// What the machine itself can do, as layers of the bench's own plugin: to be measured in the same loop as a kernel,
// over the same bytes and on the same threads. bench/limits has them.
struct ReadAll : use_kernel_forward_from_hub<ReadAll, "ReadAll"> {
  void forward(const DLTensor&, DLTensor&) const { never_measured("ReadAll"); }
};
struct ReadAhead : use_kernel_forward_from_hub<ReadAhead, "ReadAhead"> {
  void forward(const DLTensor&, DLTensor&) const { never_measured("ReadAhead"); }
};
struct ReadRuns : use_kernel_forward_from_hub<ReadRuns, "ReadRuns"> {
  void forward(const DLTensor&, DLTensor&) const { never_measured("ReadRuns"); }
};
struct CopyAll : use_kernel_forward_from_hub<CopyAll, "CopyAll"> {
  void forward(const DLTensor&, DLTensor&) const { never_measured("CopyAll"); }
};
struct ConvertAll : use_kernel_forward_from_hub<ConvertAll, "ConvertAll"> {
  void forward(const DLTensor&, DLTensor&) const { never_measured("ConvertAll"); }
};
struct AddAll : use_kernel_forward_from_hub<AddAll, "AddAll"> {
  void forward(const DLTensor&, const DLTensor&, DLTensor&) const { never_measured("AddAll"); }
};
struct MultiplyBytes : use_kernel_forward_from_hub<MultiplyBytes, "MultiplyBytes"> {
  void forward(const DLTensor&, DLTensor&) const { never_measured("MultiplyBytes"); }
};
struct MultiplyMatrices : use_kernel_forward_from_hub<MultiplyMatrices, "MultiplyMatrices"> {  // where there is AMX
  void forward(const DLTensor&, DLTensor&) const { never_measured("MultiplyMatrices"); }
};
struct MultiplyFloats : use_kernel_forward_from_hub<MultiplyFloats, "MultiplyFloats"> {
  void forward(const DLTensor&, DLTensor&) const { never_measured("MultiplyFloats"); }
};

// What calling costs, as layers of the plugin bench/nothing, whose kernels add one to the first int64 of y: without
// constraints and with those of most elementwise layers.
struct Unchecked : use_kernel_forward_from_hub<Unchecked, "Unchecked"> {
  void forward(const DLTensor&, DLTensor&) const { never_measured("Unchecked"); }
};
struct Checked : use_kernel_forward_from_hub<Checked, "Checked"> {
  void forward(const DLTensor&, DLTensor&) const { never_measured("Checked"); }
};

// The memory of a tensor as that many floats from an offset of floats on, for the limits: they only know float32.
class AsFloats {
 public:
  AsFloats(const HostTensor& tensor, std::size_t first, std::size_t count)
      : shape_(static_cast<std::int64_t>(count)),
        view{tensor.elements<float>() + first, {kDLCPU, 0}, 1, f32, &shape_, nullptr, 0} {}
  explicit AsFloats(const HostTensor& tensor) : AsFloats(tensor, 0, tensor.bytes / 4) {}
  AsFloats(const AsFloats&) = delete;
  AsFloats& operator=(const AsFloats&) = delete;

 private:
  std::int64_t shape_;

 public:
  DLTensor view;
};

// The plugins of this build and the limits: each layer by the one that has it, or an error.
Mapping built_plugins();

// Bytes that no cache of this machine holds: at least 128 MiB, and four times the largest cache that it tells of, so
// that each of two tensors is twice as large; but no more than an eighth of the memory.
std::size_t out_of_cache();

// What reading so many bytes takes, by the fastest of the reads of bench/limits.
class ReadLimit {
 public:
  explicit ReadLimit(std::size_t bytes) : bytes_(f32, {static_cast<std::int64_t>(bytes / 4)}) {}

  // Tries each with the threads that there are now, and keeps the fastest: which that is differs between processors.
  void choose();
  void operator()();

 private:
  HostTensor bytes_, kept_{f32, {1}};
  ReadAll plain_;
  ReadAhead ahead_;
  ReadRuns runs_;
  std::size_t fastest_ = 0;
};

// Nanoseconds of one multiply-add: of a call that makes so many, and of those that Limit makes in registers.
template <class Limit, class Call>
Ratio compare_multiply_adds(Call&& call, double made_by_call, int pairs) {
  Limit multiply;
  HostTensor unused(f32, {1}), made(f32, {1});
  const auto ours = [&] { return nanoseconds_of(call) / made_by_call; };
  const auto limit = [&] {
    const double took = nanoseconds_of([&] { multiply(unused.view, made.view); });
    return took / static_cast<double>(made.elements<float>()[0]);
  };
  ours(), limit();
  return compare_measured(ours, limit, pairs);
}

// The processors that this process may use, for benches that compare one thread with all.
unsigned processors();

}  // namespace layerhub::bench
