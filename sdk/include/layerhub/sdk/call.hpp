// SPDX-License-Identifier: Apache-2.0
// What a kernel's class sees of the boundary: its failures, its attributes and params in create, shapes in infer.
//
// forward and backward take lh_call itself: wrapping it would cost more than the smallest kernels do.
#pragma once

#include <layerhub/abi.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace layerhub::sdk {

// Thrown by a kernel's class; the boundary turns it into a status and one line of text.
class Failure : public std::runtime_error {
 public:
  Failure(std::int32_t status, const std::string& text) : std::runtime_error(text), status_(status) {}
  std::int32_t status() const noexcept { return status_; }

 private:
  std::int32_t status_;
};

inline std::string_view view(lh_str text) { return {text.data, text.size}; }
constexpr lh_str str(std::string_view text) { return {text.data(), text.size()}; }

// Writes text into the host's buffer, cut at a whole UTF-8 character where it does not fit. Returns status.
inline std::int32_t fail(lh_error* error, std::int32_t status, std::string_view text) noexcept {
  if (error == nullptr || error->text == nullptr) {
    return status;
  }
  std::size_t size = std::min<std::size_t>(text.size(), error->capacity);
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0u) == 0x80u) {
    --size;
  }
  std::memcpy(error->text, text.data(), size);
  error->length = static_cast<std::uint32_t>(size);
  return status;
}

// The one place where exceptions end. To be called from a catch (...) block.
inline std::int32_t fail_with_current_exception(lh_error* error) noexcept {
  try {
    throw;
  } catch (const Failure& failure) {
    return fail(error, failure.status(), failure.what());
  } catch (const std::bad_alloc&) {
    return fail(error, LH_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& exception) {
    return fail(error, LH_INTERNAL, exception.what());
  } catch (...) {
    return fail(error, LH_INTERNAL, "an exception that is no std::exception");
  }
}

// What create() gets, with names in place of indices. Valid for the length of the constructor, except params: see
// abi.h.
class CreateArgs {
 public:
  CreateArgs(const lh_create_args& args, std::span<const lh_arg> declared) : args_(args), declared_(declared) {}

  const lh_host* host() const { return args_.host; }
  const lh_device_info* device() const { return args_.device; }
  void* stream() const { return args_.stream; }  // on a device: where to enqueue what packs the params
  std::uint32_t mode() const { return args_.mode; }

  // Throws Failure for a name that the kernel did not declare, or of another kind: a defect of the plugin.
  std::int64_t integer(std::string_view name) const { return attribute(name, LH_ATTR_INT).value.i; }
  double real(std::string_view name) const { return attribute(name, LH_ATTR_FLOAT).value.f; }
  bool flag(std::string_view name) const { return attribute(name, LH_ATTR_BOOL).value.i != 0; }
  std::string_view text(std::string_view name) const { return view(attribute(name, LH_ATTR_STRING).value.s); }

  // NULL where the param is optional and absent.
  const DLTensor* param(std::string_view name) const { return args_.params[param_index(name)]; }
  // "" for a plain dtype, else the block format.
  std::string_view param_format(std::string_view name) const { return view(args_.param_formats[param_index(name)]); }

 private:
  const lh_attr& attribute(std::string_view name, std::uint32_t kind) const {
    for (std::uint32_t i = 0; i < args_.n_attrs; ++i) {
      if (view(args_.attrs[i].name) == name && args_.attrs[i].kind == kind) {
        return args_.attrs[i];
      }
    }
    throw Failure(LH_INTERNAL, "attribute `" + std::string(name) + "` is not declared with this kind");
  }
  std::uint32_t param_index(std::string_view name) const {
    std::uint32_t index = 0;
    for (const lh_arg& argument : declared_) {
      if (argument.kind == LH_ARG_PARAM) {
        if (view(argument.name) == name && index < args_.n_params) {
          return index;
        }
        ++index;
      }
    }
    throw Failure(LH_INTERNAL, "param `" + std::string(name) + "` is not declared");
  }

  const lh_create_args& args_;
  std::span<const lh_arg> declared_;
};

// What infer() gets and fills. Shapes stand in the declared order: inputs then states; outputs; saved.
struct InferCall {
  std::span<const lh_shape> in;
  std::span<lh_shape> out;
  std::span<lh_shape> saved;
  std::size_t& forward_workspace;   // bytes
  std::size_t& backward_workspace;  // bytes
};

}  // namespace layerhub::sdk
