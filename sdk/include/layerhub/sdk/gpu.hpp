// SPDX-License-Identifier: Apache-2.0
// Kernels for CUDA and HIP from one source, x.gpu.cu: nvcc makes the cuda variant of it, hipcc the rocm variant.
//
//   template <class T>
//   __global__ void negate(gpu::Rows<const T> x, gpu::Rows<T> y, std::int64_t width) {...}
//
//   static void forward(const lh_call& call) {
//     gpu::launch(call, negate<T>, rows, 256, 0, gpu::rows_of<const T>(x), gpu::rows_of<T>(y), width);
//   }
//   LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, Negate, layerhub::layers::Negate, "by-row");
//
// This header is the host's side, gpu_device.hpp the kernels', gpu_api.hpp what the two vendors call differently; no
// other file tells them apart. Kernels are plain CUDA C++ and keep to the language's built-in indices, shared memory,
// __syncthreads, atomicAdd, float arithmetic and what gpu_device.hpp has: that subset also runs in the tests' emulator.
#pragma once

#include <layerhub/sdk/gpu_api.hpp>
#include <layerhub/sdk/gpu_device.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <array>
#include <atomic>
#include <utility>

// A pass that compiles for an AMD device alone has no use for the host's tables; kept in it, they would ask for the
// host's functions.
#if defined(__HIP_DEVICE_COMPILE__)
#undef LAYERHUB_KERNEL_ENTRY
#define LAYERHUB_KERNEL_ENTRY [[maybe_unused]]
#endif

namespace layerhub::sdk::gpu {

// Where work is enqueued: the stream of a call, or of the creation of an instance, and the device whose it is.
struct Stream {
  Stream(const lh_call& call) : ordinal(call.device.device_id), handle(static_cast<Handle>(call.stream)) {}
  Stream(const CreateArgs& args)
      : ordinal(args.device()->device.device_id), handle(static_cast<Handle>(args.stream())) {}

  using Handle = LAYERHUB_GPU(Stream_t);
  int ordinal;
  Handle handle;
};

// Enqueues kernel(arguments...) with these numbers of blocks and of threads of a block; shared_bytes: what
// dynamic_shared() has. Without a block there is nothing to do. Throws Failure.
template <class... Parameters, class... Arguments>
void launch(const Stream& stream, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, std::size_t shared_bytes,
            Arguments&&... arguments) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) {
    return;
  }
  const DeviceGuard guard(stream.ordinal);
#if defined(__HIP_PLATFORM_AMD__)
  hipLaunchKernelGGL(kernel, blocks, threads, static_cast<std::uint32_t>(shared_bytes), stream.handle,
                     static_cast<Parameters>(arguments)...);
  check(hipGetLastError(), "a launch");
#else
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream.handle;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "a launch");
#endif
}

// Blocks of `per_block` that n items need; per_block is large enough that the number fits a grid's first dimension.
inline unsigned blocks_for(std::int64_t n, std::int64_t per_block) {
  return static_cast<unsigned>((n + per_block - 1) / per_block);
}

// How many blocks run beside each other at least: for grids that fill the device and loop. [thread-safe]
inline int multiprocessors(int ordinal) {
  static constinit std::array<std::atomic<int>, 64> known{};
  const auto index = static_cast<std::size_t>(ordinal);
  int count = index < known.size() ? known[index].load(std::memory_order_relaxed) : 0;
  if (count == 0) {
#if defined(__HIP_PLATFORM_AMD__)
    constexpr auto attribute = hipDeviceAttributeMultiprocessorCount;
#else
    constexpr auto attribute = cudaDevAttrMultiProcessorCount;
#endif
    check(LAYERHUB_GPU(DeviceGetAttribute)(&count, attribute, ordinal), "to count the multiprocessors");
    if (index < known.size()) {
      known[index].store(count, std::memory_order_relaxed);
    }
  }
  return count;
}

// Memory of the device that an instance owns, for example for packed weights.
class Memory {
 public:
  Memory() = default;
  Memory(int ordinal, std::size_t bytes) : bytes_(bytes), ordinal_(ordinal) {
    if (bytes != 0) {
      const DeviceGuard guard(ordinal);
      check(LAYERHUB_GPU(Malloc)(&data_, bytes), "to allocate the instance's memory");
    }
  }
  ~Memory() {
    if (data_ != nullptr) {
      static_cast<void>(LAYERHUB_GPU(Free)(data_));  // by address, whatever device is current
    }
  }
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(ordinal_, other.ordinal_);
    return *this;
  }

  // Copies from memory of the same device, in the stream's order.
  void fill_from(const Stream& stream, const void* source, std::size_t bytes) {
    const DeviceGuard guard(ordinal_);
    check(LAYERHUB_GPU(MemcpyAsync)(data_, source, bytes, LAYERHUB_GPU(MemcpyDeviceToDevice), stream.handle),
          "to copy into the instance's memory");
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  int ordinal_ = 0;
};

// Divides by a number that a launch fixes, with products: no hardware here has a division of integers.
class Divisor {
 public:
  Divisor() = default;
  explicit Divisor(std::int64_t by) : by_(static_cast<std::uint64_t>(by)), reciprocal_(~std::uint64_t{0} / by_) {}

  struct Result {
    std::int64_t quotient, remainder;
  };
  // n >= 0. The product with a reciprocal that is cut gives the quotient, or one less.
  __device__ Result divide(std::int64_t n) const {
    const auto number = static_cast<std::uint64_t>(n);
    if ((number | by_) >> 32 == 0) {  // so for all but the largest tensors: half as wide, and a quarter of the work
      const auto low = static_cast<std::uint32_t>(number), by = static_cast<std::uint32_t>(by_);
      const auto product = static_cast<std::uint64_t>(low) * static_cast<std::uint32_t>(reciprocal_ >> 32);
      return corrected<std::uint32_t>(low, by, static_cast<std::uint32_t>(product >> 32));
    }
    const auto product = static_cast<unsigned __int128>(number) * reciprocal_;
    return corrected<std::uint64_t>(number, by_, static_cast<std::uint64_t>(product >> 64));
  }

 private:
  template <class Word>
  __device__ static Result corrected(Word number, Word by, Word quotient) {
    Word remainder = number - quotient * by;
    if (remainder >= by) {
      ++quotient;
      remainder -= by;
    }
    return {static_cast<std::int64_t>(quotient), static_cast<std::int64_t>(remainder)};
  }
  std::uint64_t by_ = 1, reciprocal_ = ~std::uint64_t{0};
};

// A dense tensor of one of the three float dtypes, told apart when the kernel runs: what is read little, such as params
// and angles, is not worth an instantiation for each pair of dtypes.
struct AnyFloats {
  const void* data = nullptr;  // NULL: an absent tensor
  bool is_wide = false;        // float
  bool is_bfloat = false;

  AnyFloats() = default;
  explicit AnyFloats(const DLTensor* tensor) {
    if (tensor != nullptr) {
      data = sdk::data<const char>(*tensor);
      is_wide = same(tensor->dtype, f32);
      is_bfloat = same(tensor->dtype, bf16);
    }
  }
  bool takes_packs() const { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; }

  // `size` elements from `first` on, a multiple of size. size > 1: takes_packs().
  template <int size>
  __device__ void load(std::int64_t first, float (&to)[size]) const {
    if (is_wide) {
      load_as<float>(first, to);
    } else if (is_bfloat) {
      load_as<bfloat16>(first, to);
    } else {
      load_as<float16>(first, to);
    }
  }

 private:
  template <class T, int size>
  __device__ void load_as(std::int64_t first, float (&to)[size]) const {
    const Pack<T, size> pack = load_pack<size>(static_cast<const T*>(data) + first);
#pragma unroll
    for (int i = 0; i < size; ++i) {
      to[i] = widen(pack[i]);
    }
  }
};

// The rows of a tensor whose last dimension is dense and whose others have any strides, to be passed to a kernel by
// value. Dimensions that lie behind each other as one are joined: of a dense tensor one is left, and at() multiplies.
template <class T>
struct Rows {
  T* data = nullptr;
  std::int64_t inner = 1;  // rows of the innermost dimension
  std::int64_t pitch = 0;  // from one of them to the next
  int n_outer = 0;
  std::int64_t extent[LH_MAX_RANK - 2] = {};  // of the others, from the inside
  std::int64_t stride[LH_MAX_RANK - 2] = {};

  __device__ T* at(std::int64_t row) const {
    if (row < inner) {
      return data + row * pitch;
    }
    T* found = data + row % inner * pitch;
    row /= inner;
#pragma unroll 1  // seldom needed; unrolled, the divisions are most of a small kernel's code
    for (int d = 0; d < n_outer; ++d) {
      found += row % extent[d] * stride[d];
      row /= extent[d];
    }
    return found;
  }

  // Whether a row of `width` elements can be read and written in packs, wherever it begins.
  bool takes_packs(std::int64_t width) const {
    constexpr int step = 16 / static_cast<int>(sizeof(T));
    bool fits = reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && width % step == 0 && pitch % step == 0;
    for (int d = 0; d < n_outer; ++d) {
      fits = fits && stride[d] % step == 0;
    }
    return fits;
  }
};

template <class T>
Rows<T> rows_of(const DLTensor& tensor) {
  Rows<T> rows;
  rows.data = data<T>(tensor);
  int found = 0;  // dimensions of rows so far
  std::int64_t* last_extent = nullptr;
  std::int64_t last_stride = 0;
  for (int d = tensor.ndim - 2; d >= 0; --d) {
    if (tensor.shape[d] == 1) {
      continue;
    }
    if (found != 0 && tensor.strides[d] == last_stride * *last_extent) {
      *last_extent *= tensor.shape[d];
      continue;
    }
    last_stride = tensor.strides[d];
    if (found++ == 0) {
      rows.inner = tensor.shape[d];
      rows.pitch = last_stride;
      last_extent = &rows.inner;
    } else {
      rows.extent[rows.n_outer] = tensor.shape[d];
      rows.stride[rows.n_outer] = last_stride;
      last_extent = &rows.extent[rows.n_outer++];
    }
  }
  return rows;
}

}  // namespace layerhub::sdk::gpu
