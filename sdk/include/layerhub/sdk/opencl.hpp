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

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace layerhub::sdk::opencl {

// Helpers for kernels whose tensors are f32, f16 or bf16, all computed in float: XTYPE and WTYPE are 0, 1 or 2 for
// those (see float_type), X and W their types. Half arithmetic is optional in OpenCL, loading and storing halves is
// not.
inline constexpr std::string_view float_types = R"cl(
typedef float type_0;
typedef half type_1;
typedef ushort type_2;
inline float load_0(__global const float* p, long i) { return p[i]; }
inline float load_1(__global const half* p, long i) { return vload_half(i, p); }
inline float load_2(__global const ushort* p, long i) { return as_float((uint)p[i] << 16); }
inline void store_0(__global float* p, long i, float v) { p[i] = v; }
inline void store_1(__global half* p, long i, float v) { vstore_half_rte(v, i, p); }
inline void store_2(__global ushort* p, long i, float v) {
  const uint bits = as_uint(v);
  p[i] = isnan(v) ? (ushort)((bits >> 16) | 64) : (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
#define JOIN(a, b) a##b
#define JOINED(a, b) JOIN(a, b)
#define X JOINED(type_, XTYPE)
#define LOADX JOINED(load_, XTYPE)
#define STOREX JOINED(store_, XTYPE)
#ifdef WTYPE
#define W JOINED(type_, WTYPE)
#define LOADW JOINED(load_, WTYPE)
#define STOREW JOINED(store_, WTYPE)
#endif
)cl";

// The value of XTYPE and WTYPE for a dtype of the three.
inline int float_type(DLDataType dtype) { return dtype.code == kDLBfloat ? 2 : dtype.bits == 16 ? 1 : 0; }

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

  // Two arguments: the buffer, and the offset of the first element in elements (long: a buffer may hold a whole model).
  Launch& tensor(const DLTensor& x) {
    buffer(x.data);
    return value(static_cast<cl_long>(x.byte_offset / ((x.dtype.bits * x.dtype.lanes + 7) / 8)));
  }
  Launch& optional_tensor(const DLTensor* x) { return x == nullptr ? buffer(nullptr).value(cl_long{0}) : tensor(*x); }
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

// The programs of one source under different definitions, such as one for each dtype: each is built when a call first
// needs it and found again without a lock.
class Programs {
 public:
  struct Definition {
    const char* name;
    int value;
    bool operator==(const Definition& other) const { return name == other.name && value == other.value; }
  };
  static constexpr std::size_t max_definitions = 4;

  // source: behind float_types. options: the same for all.
  explicit Programs(std::string_view source, std::string options = {})
      : source_(std::string(float_types).append(source)), options_(std::move(options)) {}
  Programs(const Programs&) = delete;
  ~Programs() {
    for (Entry* entry = first_.load(); entry != nullptr;) {
      delete std::exchange(entry, entry->next);
    }
  }

  // [thread-safe]
  const Program& with(void* stream, std::initializer_list<Definition> definitions) const {
    for (Entry* entry = first_.load(std::memory_order_acquire); entry != nullptr; entry = entry->next) {
      if (std::equal(definitions.begin(), definitions.end(), entry->definitions.begin())) {
        return entry->program;
      }
    }
    std::string options = options_;
    for (const Definition& definition : definitions) {
      options += std::string(" -D") + definition.name + "=" + std::to_string(definition.value);
    }
    auto* entry = new Entry{{}, program_for(stream, source_, options), first_.load(std::memory_order_relaxed)};
    std::copy(definitions.begin(), definitions.end(), entry->definitions.begin());
    while (!first_.compare_exchange_weak(entry->next, entry, std::memory_order_release, std::memory_order_relaxed)) {
    }
    return entry->program;
  }

 private:
  struct Entry {
    std::array<Definition, max_definitions> definitions;
    const Program& program;
    Entry* next;
  };
  std::string source_, options_;
  mutable std::atomic<Entry*> first_{nullptr};
};

// Groups of `size` that n items need.
inline std::size_t groups_for(std::int64_t n, std::size_t size) {
  return (static_cast<std::size_t>(n) + size - 1) / size;
}

}  // namespace layerhub::sdk::opencl
