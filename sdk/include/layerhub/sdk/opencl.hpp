// SPDX-License-Identifier: Apache-2.0
// Kernels for OpenCL: programs from embedded source, built once for each device, and launches on the call's queue.
//
//   explicit Silu(const CreateArgs& args) : program_(program_for(args.stream(), source, "-DWIDTH=4")) {}
//   void forward(const lh_call& call) const {
//     Launch(program_, "silu").tensor(*call.in[0]).tensor(*call.out[0]).value(n).run(call.stream, {items}, {64});
//   }
//
// A cl_kernel holds its arguments, so that two threads can't share one: a launch takes one from the program's pool and
// gives it back. Built programs are kept on disk, see opencl_cache.hpp.
#pragma once

#include <dlpack/dlpack.h>
#include <layerhub/sdk/opencl_cache.hpp>

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace layerhub::sdk::opencl {

// Helpers for kernels whose tensors are f32, f16 or bf16, all computed in float: -DDTYPE=0, 1 or 2. Half arithmetic is
// optional in OpenCL, loading and storing halves is not.
inline constexpr std::string_view float_types = R"cl(
#if DTYPE == 0
typedef float T;
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#elif DTYPE == 1
typedef half T;
#define LOAD(p, i) vload_half((i), (p))
#define STORE(p, i, v) vstore_half_rte((v), (i), (p))
#else
typedef ushort T;
#define LOAD(p, i) as_float((uint)(p)[i] << 16)
inline ushort to_bf16(float v) {
  uint bits = as_uint(v);
  return isnan(v) ? (ushort)((bits >> 16) | 64) : (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
#define STORE(p, i, v) ((p)[i] = to_bf16(v))
#endif
)cl";

class Program {
 public:
  explicit Program(cl_program program) : program_(program) {}
  Program(const Program&) = delete;

  // A kernel that nobody else sets arguments of. [thread-safe]
  cl_kernel take(const std::string& name) const {
    {
      std::lock_guard lock(mutex_);
      std::vector<cl_kernel>& free = free_[name];
      if (!free.empty()) {
        const cl_kernel kernel = free.back();
        free.pop_back();
        return kernel;
      }
    }
    cl_int code = CL_SUCCESS;
    const cl_kernel kernel = api().clCreateKernel(program_, name.c_str(), &code);
    check(code, ("clCreateKernel " + name).c_str());
    return kernel;
  }
  void give_back(const std::string& name, cl_kernel kernel) const {
    std::lock_guard lock(mutex_);
    free_[name].push_back(kernel);
  }

 private:
  cl_program program_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::vector<cl_kernel>> free_;
};

// The program of this source for the queue's device: built at the first need, or read from disk, and kept for the life
// of the process. Throws Failure with the compiler's first lines. [thread-safe]
inline const Program& program_for(void* stream, std::string_view source, const std::string& options = {}) {
  using Key = std::tuple<cl_context, std::string, std::string>;
  struct Built {
    std::mutex mutex;
    std::map<Key, std::unique_ptr<Program>> programs;
  };
  static Built& built = *new Built;
  const QueueTarget target = target_of(static_cast<cl_command_queue>(stream));
  std::lock_guard lock(built.mutex);  // held while it builds: whoever needs the same program waits for it
  std::unique_ptr<Program>& program = built.programs[{target.context, std::string(source), options}];
  if (program == nullptr) {
    program = std::make_unique<Program>(build_cached(target, std::string(source), options));
  }
  return *program;
}

// One launch: arguments in the order of the kernel's, then run. Throws Failure.
class Launch {
 public:
  Launch(const Program& program, std::string name)
      : program_(program), name_(std::move(name)), kernel_(program.take(name_)) {}
  ~Launch() { program_.give_back(name_, kernel_); }
  Launch(const Launch&) = delete;

  // Two arguments: the buffer, and the offset of the first element in elements (int).
  Launch& tensor(const DLTensor& x) {
    buffer(x.data);
    return value(static_cast<cl_int>(x.byte_offset / ((x.dtype.bits * x.dtype.lanes + 7) / 8)));
  }
  Launch& optional_tensor(const DLTensor* x) { return x == nullptr ? buffer(nullptr).value(cl_int{0}) : tensor(*x); }
  Launch& buffer(void* memory) { return argument(sizeof(cl_mem), &memory); }
  template <class T>
  Launch& value(T number) {
    return argument(sizeof number, &number);
  }
  Launch& local(std::size_t bytes) { return argument(bytes, nullptr); }

  // Groups of `group` work items, so many in each dimension.
  void run(void* stream, std::array<std::size_t, 3> groups, std::array<std::size_t, 3> group) {
    std::array<std::size_t, 3> items{};
    for (std::size_t d = 0; d < 3; ++d) {
      items[d] = groups[d] * group[d];
      if (items[d] == 0) {
        return;  // of an empty tensor nothing is computed
      }
    }
    const auto queue = static_cast<cl_command_queue>(stream);
    check(api().clEnqueueNDRangeKernel(queue, kernel_, 3, nullptr, items.data(), group.data(), 0, nullptr, nullptr),
          name_.c_str());
    check(api().clFlush(queue), "clFlush");
  }

 private:
  Launch& argument(std::size_t size, const void* value) {
    check(api().clSetKernelArg(kernel_, next_++, size, value), name_.c_str());
    return *this;
  }

  const Program& program_;
  const std::string name_;
  cl_kernel kernel_;
  cl_uint next_ = 0;
};

// 0, 1, 2 for f32, f16, bf16: the DTYPE of float_types, and the place of its program in a kernel's table.
inline std::size_t float_type_index(DLDataType dtype) { return dtype.code == kDLBfloat ? 2 : dtype.bits == 16 ? 1 : 0; }

// The programs of one source for each of the three dtypes, each built when a call first needs it.
class FloatPrograms {
 public:
  explicit FloatPrograms(std::string source, std::string options = {})
      : source_(std::string(float_types) + source), options_(std::move(options)) {}
  const Program& at(DLDataType dtype, void* stream) const {
    const std::size_t index = float_type_index(dtype);
    const Program* program = programs_[index].load(std::memory_order_acquire);
    if (program == nullptr) {
      program = &program_for(stream, source_, "-DDTYPE=" + std::to_string(index) + " " + options_);
      programs_[index].store(program, std::memory_order_release);
    }
    return *program;
  }

 private:
  std::string source_, options_;
  mutable std::array<std::atomic<const Program*>, 3> programs_{};
};

}  // namespace layerhub::sdk::opencl
