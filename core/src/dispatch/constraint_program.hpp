// SPDX-License-Identifier: Apache-2.0
// A kernel's declared constraints, compiled when a binding is made into the few comparisons that a call needs.
//
// Declared, a constraint names arguments and may speak of a weight. Compiled, weights have become numbers, what
// holds for one tensor (dtype, rank, density, alignment) is one record per tensor, and the rest is a list of
// relations between two dimensions. What a kernel does not state is closed: dense, aligned to the element, no
// overlap of what it writes with anything else. Each failure is a number by which describe() finds the declared
// constraint again; nothing is formatted on the call path.
#pragma once

#include "base/result.hpp"
#include "plugin/descriptor.hpp"

#include <layerhub/detail/slot.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace layerhub::dispatch {

// A weight as constraints see it: the logical shape of a block format, the memory that it takes.
struct ParamView {
  const DLTensor* tensor = nullptr;  // nullptr: optional and absent
  std::string format;                // "" for a plain dtype
  std::vector<std::int64_t> shape;   // logical
};

class ConstraintProgram {
 public:
  // Compiles what calls must check and checks at once what concerns weights alone. Refused: a weight that a constraint
  // rejects, or whose format or dtype the kernel does not have. n_host_in: how many inputs the host passes. The kernel
  // must outlive the program.
  static Result<ConstraintProgram> compile(const plugin::Kernel& kernel, std::span<const ParamView> params,
                                           std::uint32_t n_host_in);

  // 0, or 1 + the number of what does not hold. in: inputs and params, out: outputs and states, in the declared order.
  std::uint32_t check(const DLTensor* const* in, DLTensor* const* out) const noexcept;

  // "`x` is not dense", for a number that check returned less one. Made when it is asked for.
  std::string describe(std::uint32_t failure) const;

 private:
  friend class ConstraintCompiler;
  friend class DenseCheck;

  static constexpr std::int32_t no_dim = LH_MAX_RANK;
  // What can be wrong with one tensor: first_failure + one of these.
  enum : std::uint32_t { fails_dtype, fails_rank, fails_layout, fails_alignment, fails_device, fails_aliasing };
  enum class Layout : std::uint8_t { dense, last_dim_dense, any };
  struct Tensor {
    std::uint8_t index = 0;  // into in, or into out where `written`
    bool written = false;
    bool optional = false;
    Layout layout = Layout::dense;
    std::uint8_t n_dtypes = 0;
    std::int32_t min_rank = 1, max_rank = LH_MAX_RANK;
    std::uint32_t dtypes[6] = {};
    std::uint64_t alignment_mask = 0;
    std::uint32_t first_failure = 0;
  };
  enum class Op : std::uint8_t { range, multiple, ratio, same_shape, same_dtype };
  struct Relation {
    Op op;
    std::uint8_t tensor, other;   // into tensors_
    std::int32_t dim, other_dim;  // of same_shape: dim is left out, no_dim: none is
    std::int64_t a, b;
    std::uint32_t failure;
  };
  struct Span {
    std::uintptr_t begin, end;     // bytes; empty: begin == end
    const void* buffer = nullptr;  // where memory is named by handles: begin and end count from its start
  };

  const DLTensor* tensor_at(const Tensor& t, const DLTensor* const* in, DLTensor* const* out) const noexcept {
    return t.written ? out[t.index] : in[t.index];
  }
  // So many bytes from the tensor's first; begin is also what its alignment is judged by.
  Span span_of(const DLTensor& x, std::int64_t bytes) const noexcept;
  std::uint32_t check_tensor(const Tensor& t, const DLTensor& x, DLDevice device, Span& span) const noexcept;
  bool holds(const Relation& r, const DLTensor* const* all) const noexcept;
  std::uint32_t check_aliasing(const DLTensor* const* all, const Span* spans) const noexcept;
  // What can't hold, for describe(): of one tensor and no declared constraint, or of a constraint.
  struct Failure {
    std::uint32_t argument = 0;
    std::uint32_t rule = 0;                   // of one tensor: fails_dtype, ...
    const lh_constraint* declared = nullptr;  // the kernel's
    std::int64_t wanted = -1;                 // where a weight's size has become a number
  };
  std::uint32_t add_failure(Failure failure) {
    failures_.push_back(failure);
    return static_cast<std::uint32_t>(failures_.size()) - 1;
  }

  std::vector<Tensor> tensors_;
  std::vector<Relation> relations_;
  std::vector<std::uint32_t> may_alias_;  // per tensor: a bit for each other that it may be the same memory as
  std::vector<Span> weights_;             // memory that nothing written may overlap
  std::vector<Failure> failures_;
  bool data_is_handle_ = false;             // of the kernel's device, see device_types.hpp
  const plugin::Kernel* kernel_ = nullptr;  // outlives the program: both belong to a binding
};

}  // namespace layerhub::dispatch
